//! The dead man's timer: the kernel kills this process at a moment that is put off as long as all is
//! well. It needs no thread of ours to run, so it also ends a process that is stopped, starved or
//! stuck, before anybody else may do what this one did.
//!
//! It kills the whole process, not a task. A pause of the whole machine is covered as far as its boot
//! clock has caught up before programs run again.

use std::time::Duration;

use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use protocol::leadership::Moment;

/// A timer of the kernel that kills this process. Dropped, it is disarmed.
///
/// It stays on the thread that made it.
#[derive(Debug)]
pub struct DeadMan {
    timer: Timer,
}

/// No such timer.
#[derive(Debug, thiserror::Error)]
pub enum DeadManError {
    /// The kernel does not kill the first process of a container, or of a machine, by a signal of its
    /// own.
    #[error(
        "make a dead man's timer: this is process 1, which the kernel does not kill; run it below an init, such as `docker run --init`, or by `run_below_init`"
    )]
    Init,
    /// The kernel has no room for a timer.
    #[error("make a dead man's timer: {0}")]
    Kernel(std::io::Error),
}

impl DeadMan {
    /// Makes a timer that is not armed.
    ///
    /// # Errors
    /// This process is the first of its process namespace, or the kernel refuses.
    pub fn new() -> Result<Self, DeadManError> {
        if std::process::id() == 1 {
            return Err(DeadManError::Init);
        }
        let kill = SigevNotify::SigevSignal {
            signal: Signal::SIGKILL,
            si_value: 0,
        };
        let timer = Timer::new(ClockId::CLOCK_BOOTTIME, SigEvent::new(kill));
        let timer = timer.map_err(|errno| DeadManError::Kernel(errno.into()))?;
        Ok(Self { timer })
    }

    /// From now on this process is killed at `at`, a moment of [`boot_now`](crate::boot_now)'s clock,
    /// and at no other; at once if that has passed.
    ///
    /// # Panics
    /// Never: the kernel takes every moment.
    pub fn arm(&mut self, at: Moment) {
        // Nought would disarm it.
        let at = Duration::from_nanos(at.as_nanos().max(1));
        self.set(at);
    }

    /// From now on it kills nobody.
    ///
    /// # Panics
    /// Never: the kernel takes this.
    pub fn disarm(&mut self) {
        self.set(Duration::ZERO);
    }

    fn set(&mut self, at: Duration) {
        let expiration = Expiration::OneShot(at.into());
        let set = self
            .timer
            .set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME);
        set.expect("a timer of ours takes every moment");
    }
}
