//! What must hold of each state machine of the rules, whatever comes in whatever order. The lease has
//! its simulation beside its rules; backlog, ids, times and retry have theirs in their files.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod delivery;
mod door;
mod job;
mod ledger;
mod takeover;
mod window;
mod workers;
