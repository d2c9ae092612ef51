//! What exists on the broker, and the raw requests that every program of this project makes to it.
//!
//! Names and the desired form of streams, consumers and buckets stand here once; nobody else spells
//! them. This crate never decides what becomes of a job.
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod broker;
pub mod connection;
pub mod names;
pub mod read_error;
pub mod stored;

pub use broker::{BatchMessage, Broker, StreamState};
pub use names::Names;
pub use read_error::ReadError;
pub use stored::Stored;
