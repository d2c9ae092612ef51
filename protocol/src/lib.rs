//! The rules. No IO, no clock, no randomness, no NATS.
#![warn(missing_docs, clippy::missing_errors_doc, clippy::wildcard_enum_match_arm)]

pub mod number;
pub mod time;
