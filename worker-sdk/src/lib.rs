//! Submit jobs and write workers for them.
//!
//! A job is accepted once, is never lost once accepted, and is recorded as done once, whatever is
//! killed on the way. What runs it may run more than once: recording is exactly once, running is at
//! least once. This crate is both ends: the [`Client`] that submits and asks, and the [`Worker`]
//! that runs handlers.
//!
//! # A job, its handler, a worker
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use serde::{Deserialize, Serialize};
//! use worker_sdk::{Client, Job, JobContext, JobError, Worker, WorkerOptions};
//!
//! #[derive(Serialize, Deserialize)]
//! struct CheckInvoice {
//!     number: String,
//!     market: String,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Verdict {
//!     sums_fit: bool,
//! }
//!
//! impl Job for CheckInvoice {
//!     const KIND: &'static str = "invoice.check";
//!     type Output = Verdict;
//!
//!     // No two invoices of one market run at the same time.
//!     fn key(&self) -> Option<String> {
//!         Some(self.market.clone())
//!     }
//! }
//!
//! async fn check(invoice: CheckInvoice, job: JobContext) -> Result<Verdict, JobError> {
//!     // Any error may be returned with `?`: another attempt follows, as the queue is configured.
//!     let text = std::fs::read_to_string(&invoice.number)?;
//!     if text.is_empty() {
//!         // No attempt can succeed: a dead letter with this code.
//!         return Err(JobError::permanent("empty", "the invoice is empty"));
//!     }
//!     // Hand the token to outside systems: they can refuse an older run of the same job.
//!     println!("{} runs as {}", job.id(), job.token());
//!     Ok(Verdict { sums_fit: true })
//! }
//!
//! # async fn shutdown_signal() {}
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let options = WorkerOptions::new("nats://127.0.0.1:4222", "checker").slots(64);
//!     let worker = Worker::builder(options)
//!         .handle("invoices", check)
//!         .start()
//!         .await?;
//!     worker.run_until(shutdown_signal(), Duration::from_secs(30)).await;
//!     Ok(())
//! }
//! ```
//!
//! # Submitting
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! # use worker_sdk::{Client, Job};
//! # #[derive(Serialize, Deserialize)]
//! # struct CheckInvoice { number: String }
//! # impl Job for CheckInvoice { const KIND: &'static str = "invoice.check"; type Output = (); }
//! use worker_sdk::Submitted;
//!
//! # async fn submit(job: CheckInvoice) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("nats://127.0.0.1:4222", Default::default(), "jobs".parse()?).await?;
//! match client.submit("invoices", "INV-1001", &job).await {
//!     Ok(Submitted::Accepted { accepted }) => println!("accepted as {accepted}"),
//!     Ok(Submitted::Duplicate { .. }) => println!("the same job was accepted before"),
//!     Ok(Submitted::Conflict { differs, .. }) => println!("another job has this id: {differs}"),
//!     Err(error) if error.is_retryable() => println!("call it again with the same id: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! let outcome = client.wait("invoices", "INV-1001", std::time::Duration::from_secs(60)).await?;
//! println!("{:?}: {}", outcome.status, outcome.result);
//! # Ok(())
//! # }
//! ```
//!
//! The id makes it once: the same id in the same queue is accepted once for as long as the ledger
//! keeps the job. So a submission that failed in any retryable way is simply repeated.
//! [`Client::submit_many`] sends many at once; [`Client::front_door`] goes through a coordinator,
//! for submitters that may not write into the ledger.
//!
//! # What a handler must know
//!
//! * It may run twice: after a crash, or when the broker was out of reach for longer than the work
//!   lease. Of two runs of an attempt the first recorded outcome counts. Make outside effects
//!   repeatable, or guard them with [`JobContext::token`].
//! * It is asked to stop by [`JobContext::cancelled`]: by the job's time-out, by somebody who
//!   cancels the job, by a stop of the worker, or because the job may be another worker's now.
//!   After a grace it is aborted at its next `.await`.
//! * It may block: leases are kept, and outcomes written, on a thread of the worker's own. But a
//!   blocked handler can neither be asked to stop nor be aborted; use
//!   `tokio::task::spawn_blocking` for long computations.
//! * A panic is a failed attempt with code `panic`, not the end of the worker.
//!
//! # What ends an attempt
//!
//! | the handler | recorded as | then |
//! |---|---|---|
//! | returns `Ok` | completed, with the result | the job is done |
//! | returns an error by `?`, or [`JobError::retry`] | failed | another attempt, until they are used up |
//! | returns [`JobError::permanent`] | failed, permanent | a dead letter |
//! | returns [`JobError::cancelled`] | cancelled | the job is over |
//! | panics | failed, code `panic` | another attempt |
//! | runs longer than the job's time-out | failed, code `timeout` | another attempt |
//! | gets a payload that is none of its kind | failed, permanent, code `bad-payload` | a dead letter |
//! | is stopped with its worker | nothing | the same attempt runs elsewhere |
//! | kills its process five times | failed, code `handed-out-too-often` | another attempt |
//!
//! # Only one at a time
//!
//! A program that needs no queue, but must be the only one:
//!
//! ```no_run
//! use worker_sdk::{Singleton, Tenure};
//!
//! async fn manage(tenure: Tenure) {
//!     loop {
//!         tokio::select! {
//!             () = tenure.cancelled() => return,
//!             () = tokio::time::sleep(std::time::Duration::from_secs(5)) => {}
//!         }
//!         // Check where it is used, and hand the token to whatever is changed.
//!         if tenure.check().is_ok() {
//!             println!("looking for markets as {}", tenure.token());
//!         }
//!     }
//! }
//!
//! # async fn shutdown_signal() {}
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = Singleton::in_group("job-manager")
//!     .servers("nats://127.0.0.1:4222")
//!     .strict()
//!     .start(manage)
//!     .await?;
//! manager.run_until(shutdown_signal()).await;
//! # Ok(())
//! # }
//! ```
//!
//! | | [strict](SingletonBuilder::strict) | [fenced](SingletonBuilder::fenced) |
//! |---|---|---|
//! | two at once | never, as long as the hosts' clocks run at about the same rate: a paused process is killed by a timer of the kernel before its successor begins | for a moment, when one is paused or cut off |
//! | after a crash | when the lease has run out | within some 100 ms |
//! | after a stop | at once | at once |
//! | for | what cannot refuse an older writer | what keeps the highest [token](Tenure::token) it has seen and refuses a lower one |
//!
//! # Shares among all that are here
//!
//! A program of which many processes run, each of which must know its share:
//!
//! ```no_run
//! use worker_sdk::{Coordinated, Share};
//!
//! async fn poll(share: Share) {
//!     loop {
//!         tokio::select! {
//!             () = share.cancelled() => return,
//!             () = tokio::time::sleep(std::time::Duration::from_secs(5)) => {}
//!         }
//!         // Check where it is used, and hand the token to whatever is changed.
//!         if share.check().is_ok() {
//!             println!("customers of partition {} of {}", share.number(), share.of());
//!         }
//!     }
//! }
//!
//! # async fn shutdown_signal() {}
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let crew = Coordinated::partitions("customers", 64)
//!     .servers("nats://127.0.0.1:4222")
//!     .start(poll)
//!     .await?;
//! crew.run_until(shutdown_signal()).await;
//! # Ok(())
//! # }
//! ```
//!
//! | | [partitions](Coordinated::partitions) | [index](Coordinated::index) |
//! |---|---|---|
//! | a share is | one of a fixed number of partitions; the work is called for each that is held | the index i of n members that are here |
//! | somebody comes or goes | only what moves is paused | all stop before anybody begins again, with another n |
//! | after a stop | the others take over at once | the same |
//! | after a crash | when the lease has run out | the same |
//! | the broker is out of reach for a lease | nothing is held | the same |
//!
//! The very first start of a crew takes a lease: nobody knows yet that nobody else is there.
//!
//! # Calls to whoever leads
//!
//! The work answers calls while its permit holds, and any process calls it by the singleton's name:
//!
//! ```no_run
//! use worker_sdk::{Bytes, Call, CallRequest, LeaderProxy, Refusal, Tenure};
//!
//! async fn manage(tenure: Tenure) {
//!     let answer = async |call: Call| match call.payload().as_ref() {
//!         b"status" => Ok(Bytes::from("looking for markets")),
//!         _ => Err(Refusal::new("unknown", "ask for `status`")),
//!     };
//!     if let Err(error) = tenure.serve(answer).await {
//!         eprintln!("{error}");
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = LeaderProxy::in_group("job-manager")
//!     .servers("nats://127.0.0.1:4222")
//!     .start()
//!     .await?;
//! match manager.call(CallRequest::new("status")).await {
//!     Ok(answer) => println!("{:?}, says the leader of {}", answer.payload, answer.epoch),
//!     Err(error) if error.may_be_done() => println!("again with the same id only: {error}"),
//!     Err(error) => println!("not done: {error}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! While nobody leads a call waits, within its own time and the proxy's limits; what exceeds them is an
//! error, never dropped in silence. A call is carried out once under each epoch, and at least once if
//! it is answered.
//!
//! # Tests
//!
//! [`testing`] runs a handler without a broker.
#![warn(missing_docs, clippy::missing_errors_doc)]

/// A place at which chaos may end or delay this program; nothing without the feature.
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "fail-points")]
        ::fail_point::visit($name);
    };
}

mod client;
mod clock;
mod context;
mod coordinated;
mod delivery;
mod engine;
mod handler;
mod identity;
mod inbox;
mod job;
mod leader_proxy;
mod lookup;
mod observer;
mod opening;
mod options;
mod outbox;
mod own_thread;
mod place;
mod pull;
mod running;
mod scope;
mod singleton;
pub mod testing;
mod under_way;
mod worker;

pub use async_nats;
pub use bytes::Bytes;
pub use protocol;
pub use protocol::crew::{Grant, Notice as CrewNotice, OutReason};
pub use protocol::id::CallId;
pub use protocol::proxy::{CallFailure, Overflow, Refusal};
pub use protocol::worker::CancelReason;

pub use client::{
    Client, ClientError, ConnectError, PATIENCE_DEFAULT, SubmitError, SubmitRequest, Submitted,
};
pub use context::{FencingToken, JobContext, JobInfo};
pub use coordinated::{
    AGAIN_AFTER_DEFAULT, Coordinated, CoordinatedBuilder, CoordinatedEnd, CoordinatedError,
    CrewStatus, NotHeld, Share,
};
pub use election::{
    Event, Expired, Leader, LeaseTimings, LostReason, Provision, Standing, run_below_init,
};
pub use engine::Stopped;
pub use identity::{
    EnvironmentIdentity, ExplicitIdentity, Identity, IdentityError, IdentityProvider,
};
pub use job::{Job, JobError};
pub use leader_proxy::{
    CALL_WITHIN_DEFAULT, CALL_WITHIN_MAX, CallAnswer, CallRequest, LeaderProxy, LeaderProxyBuilder,
    LeaderProxyError,
};
pub use observer::{JobEnd, JobLog, Observer};
pub use options::{
    CANCEL_GRACE_DEFAULT, SLOTS_DEFAULT, SLOTS_MAX, StartError, WorkerBuilder, WorkerOptions,
};
pub use place::ServersError;
pub use singleton::{
    Call, END_WITHIN_DEFAULT, ServeError, Singleton, SingletonBuilder, SingletonEnd,
    SingletonError, SingletonStatus, Tenure,
};
pub use worker::Worker;
