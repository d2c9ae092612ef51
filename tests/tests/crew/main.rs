//! Crews of real processes on a real server, under SIGKILL, SIGSTOP, SIGTERM and a broker that goes away.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod example;
mod index;
mod partitions;
mod stand;
