//! Whether the connection on which workers are heard is there, and is still the same one: asked of the
//! client each time that the driver wakes up. It decides nothing.

use std::sync::atomic::Ordering;

use async_nats::Client;
use async_nats::connection::State;

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct ConnectionWatch {
    /// How many connections there were so far.
    connections: u64,
    is_up: bool,
}

/// What became of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// There is one, a new one.
    New,
    /// It is gone.
    Gone,
}

impl ConnectionWatch {
    /// What is new since the last look. A connection that was lost and made anew in between is a new
    /// one.
    pub(crate) fn look(&mut self, client: &Client) -> Option<Link> {
        let connections = client.statistics().connects.load(Ordering::Acquire);
        let is_up = match client.connection_state() {
            State::Connected => true,
            State::Pending | State::Disconnected => false,
        };
        let was = std::mem::replace(self, Self { connections, is_up });
        match (is_up, was.is_up) {
            (true, false) => Some(Link::New),
            (true, true) if connections != was.connections => Some(Link::New),
            (false, true) => Some(Link::Gone),
            (true, true) | (false, false) => None,
        }
    }
}
