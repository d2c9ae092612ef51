//! Every kill, pause and ghost test, on one server and on three, and the traps of the broker. `./x test
//! --repeat 50 kills` runs them all many times: a test that fails once in fifty rounds has found something.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod accepted;
mod broker;
mod cluster;
mod fleet;
mod ghosts;
mod judged;
mod leader;
mod start;
mod takeover;
mod traps;
mod worker;
