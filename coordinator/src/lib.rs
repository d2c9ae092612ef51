//! The coordinator as a library, for its binary and for tests.
//!
//! The way of an event: `follower`, `presence`, `work_queue` or `steps` brings it in, `driver` gives
//! it to the rules (`protocol::coordinator`), `perform` carries out what they decide.

/// A place at which chaos may end or delay this program; nothing without the feature.
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "fail-points")]
        ::fail_point::visit($name);
    };
}

pub mod cli;
pub mod dev;
pub mod elections;
pub mod payloads;
pub mod queue_record;
pub mod roll_call;
pub mod run;
pub mod settings;
pub mod verify;

mod clock;
mod connection_watch;
mod done;
mod drift_watch;
mod driver;
mod follower;
mod front_door;
mod inputs;
mod ledger_watch;
mod perform;
mod presence;
mod questions;
mod reread;
mod spent;
mod steps;
mod work_queue;
mod write_watch;

pub use run::{RunError, run};
