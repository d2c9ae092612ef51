//! The rules of leadership as transcripts of one candidate, and as promises over many under faults.

mod actor;
mod candidate;
mod holder;
mod play;
mod sim;
mod unsure;
