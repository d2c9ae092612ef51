//! Submit jobs and write workers for them.
#![warn(missing_docs, clippy::missing_errors_doc)]

mod client;
mod clock;
mod context;
mod delivery;
mod engine;
mod handler;
mod job;
mod lookup;
mod observer;
mod options;
mod outbox;
mod pull;
mod running;
mod worker;

pub use async_nats;
pub use bytes::Bytes;
pub use protocol;
pub use protocol::worker::CancelReason;

pub use client::{
    Client, ClientError, ConnectError, PATIENCE_DEFAULT, SubmitError, SubmitRequest, Submitted,
};
pub use context::{FencingToken, JobContext, JobInfo};
pub use engine::Stopped;
pub use job::{Job, JobError};
pub use observer::{JobEnd, JobLog, Observer};
pub use options::{
    CANCEL_GRACE_DEFAULT, SLOTS_DEFAULT, SLOTS_MAX, StartError, WorkerBuilder, WorkerOptions,
};
pub use worker::Worker;
