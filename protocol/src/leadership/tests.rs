//! The rules of leadership as transcripts of one candidate, and as promises over many under faults.

mod actor;
mod beats;
mod candidate;
mod holder;
mod play;
mod progress;
mod sim;
mod unsure;
