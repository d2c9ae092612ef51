//! A TCP port that no other test takes, also while its server is down between two starts.
//!
//! It never hands out ports of the kernel's own range: a client that dials a dead port of that range
//! can be given the same port as its own and then talks to itself.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::{Result, bail};

/// Below the range from which Linux takes ports for outgoing connections.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port on 127.0.0.1, ours until dropped.
///
/// The UDP port of the same number is held as the sign that it is taken: the kernel keeps that sign
/// unique across processes, takes it back when a process dies, and it is in no TCP server's way.
pub struct Port {
    number: u16,
    _taken: UdpSocket,
}

impl Port {
    /// Takes a free one, from a random place on.
    ///
    /// # Errors
    /// When every port of the range is in use.
    pub fn take() -> Result<Self> {
        let count = PORTS.end - PORTS.start;
        let offset = u16::try_from(RandomState::new().hash_one(0) % u64::from(count))?;
        for step in 0..count {
            let number = PORTS.start + (offset + step) % count;
            let Ok(taken) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _taken: taken,
                });
            }
        }
        bail!(
            "no port between {} and {} is free: end some test runs",
            PORTS.start,
            PORTS.end
        )
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}
