//! The harness: real NATS servers, real processes, the real command line tool, for tests, bench and demo.
//!
//! Everything here starts something, listens to it or waits for it, and takes it down when it is
//! dropped. It never decides whether the system is right: that is said by the tests.
//!
//! A test fails by panicking (`unwrap`, `expect`, `assert!`): then each server and process prints the
//! end of its output and the folder of the server is kept. A test that returns an `Err` loses both.

pub mod act_log;
pub mod bench;
pub mod book;
pub mod chaos;
pub mod cluster;
pub mod demo;
pub mod hand;
pub mod natscli;
pub mod port;
pub mod process;
pub mod program;
pub mod proof;
pub mod prove;
pub mod proxy;
pub mod raw;
pub mod roles;
pub mod runs;
pub mod server;
mod servers;
pub mod system;
pub mod tap;
pub mod wait;
pub mod work_tap;

pub use cluster::Cluster;
pub use natscli::NatsCli;
pub use process::Process;
pub use server::{Server, ServerOptions};
pub use system::{Lease, Size, System};
