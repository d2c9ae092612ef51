//! What hostile bytes must never do to a decoder or to the rules: panic, or break what is checked
//! here. Each function takes one input of the fuzzer; the files in `bin` hand it over, and
//! `tests/seeds.rs` replays what was kept.

mod coordinator;
mod decoders;
mod fold;
mod people;
mod script;
mod wire;
mod worker;

pub use coordinator::{coordinator, dispatched};
pub use decoders::{answer, bodies, names, subjects, submission};
pub use fold::fold;
pub use people::{arguments, connection, context, credentials, settings};
pub use wire::{headers, lease, messages};
pub use worker::worker;
