//! Faults that change what can be promised, or that an operator must act on: a foreign hand on what
//! exists on the broker, stores that went back, full disks, clocks. Each against real servers and
//! real processes.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod clocks;
mod deleted;
mod disk;
mod drift;
mod parted;
mod rolled_back;
mod scene;
mod upgrade;
