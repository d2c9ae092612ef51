//! The coordinator as a library, for its binary and for tests.

pub mod dev;
pub mod queue_record;
pub mod roll_call;
mod run;
pub mod settings;

pub use run::{ExitKind, RunError, run};
