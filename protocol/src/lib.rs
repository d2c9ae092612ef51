//! The rules. No IO, no clock, no randomness, no NATS.
#![warn(missing_docs, clippy::missing_errors_doc)]
// A rule names every variant, so that a new one is decided everywhere; a test may say "anything else".
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

/// Whether a bug is planted here: never without the feature, and then without any code.
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}
#[cfg(feature = "planted")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is($crate::planted::Bug::$bug)
    };
}

pub mod answer;
pub mod backlog;
pub mod config;
pub mod coordinator;
pub mod core_subject;
pub mod crew;
pub mod door;
mod early;
pub mod effects;
pub mod errands;
pub mod id;
pub mod ignored;
pub mod job;
pub mod leader;
pub mod leadership;
pub mod ledger;
pub mod message;
pub mod number;
pub mod outcome;
#[cfg(feature = "planted")]
pub mod planted;
pub mod proxy;
pub mod retry;
pub mod singleton;
pub mod subject;
pub mod submission;
pub mod takeover;
pub mod time;
pub mod window;
pub mod worker;
pub mod workers;
