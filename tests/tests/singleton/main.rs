//! Singletons as real processes on a real server, under SIGKILL, SIGSTOP, SIGTERM and misbehaviour of
//! their own.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod container;
mod faults;
mod stand;
