//! Singletons as real processes on a real server, under SIGKILL, SIGSTOP, SIGTERM and misbehaviour of
//! their own, and those who call them.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod calls;
mod container;
mod faults;
mod services;
mod stand;
