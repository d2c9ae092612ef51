//! The simulation: three coordinators and four workers with the rules of the product, on a model of
//! the broker, in any order of events that a seed gives, with crashes, pauses, cuts, late writes and
//! lost answers. The promises are checked at each step, and at the end nothing may be left open.
//!
//! Everything in a run follows from its schedule: no clock, no thread, no IO. It is never part of a
//! release.

mod book;
mod broker;
mod compare;
mod consumer;
mod count;
mod election;
mod fleet;
mod hands;
mod lag;
mod packet;
mod people;
mod rng;
mod schedule;
mod search;
mod shrink;
mod stream;
mod world;

pub use consumer::{Consumer, Handout};
pub use count::{Broken, Counts, PROMISES};
pub use rng::Rng;
pub use schedule::{STEPS, Schedule};
pub use search::{Search, search};
pub use shrink::shrink;
pub use stream::{Publish, Refused, Second, Stream, StreamRules};
pub use world::{Report, run, tell};

/// On how many threads seeds are run if nobody says.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
