//! A whole system on this machine, for trying things out and for tests: a NATS server with
//! `JetStream`, coordinators, workers, each a process of its own.
//!
//! It never outlives the process that started it, and never touches a server that it did not start.

mod child;
mod error;
mod folder;
mod nats_server;
mod process;
mod system;

pub use self::child::become_child;
pub use self::error::DevError;
pub use self::nats_server::NatsServerBinary;
pub use self::process::{Exited, ProcessSpec, RunningProcess};
pub use self::system::{Stopped, System, SystemOptions, sample_queues};
pub use rustix::process::Signal;
