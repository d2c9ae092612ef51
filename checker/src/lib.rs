//! The judge. It takes what is stored (the ledger, the work queue, a tap of all work there ever
//! was) and what was seen (histories of submitters and of handlers), and says of each promise how
//! many things were checked and what broke it.
//!
//! It does no IO, and shares no rule with the fold, the leader or the worker that it judges: only
//! names, numbers, subjects and the decoders of what crosses the wire. What it cannot know it does
//! not judge: records of a newer version, and what only a payload says that came before its
//! queue's first configuration.
#![warn(missing_docs, clippy::missing_errors_doc)]
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

pub mod digest;
pub mod history;
pub mod report;
pub mod rule;

mod judge;
mod life;
mod present;
mod records;
mod runs;
mod submits;
mod tap;

pub use digest::Digest;
pub use judge::Judge;
pub use present::Present;
pub use records::Record;
pub use report::{Figures, Report, Verdict, Violation};
pub use rule::Rule;
pub use tap::Tapped;
