//! The rules. No IO, no clock, no randomness, no NATS.
#![warn(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::wildcard_enum_match_arm
)]

pub mod answer;
pub mod config;
pub mod core_subject;
pub mod id;
pub mod leadership;
pub mod message;
pub mod number;
pub mod outcome;
pub mod subject;
pub mod submission;
pub mod time;
pub mod worker;
