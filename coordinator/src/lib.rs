//! The coordinator as a library, for its binary and for tests.

pub mod dev;
pub mod queue_record;
pub mod roll_call;
pub mod run;
pub mod settings;

pub use run::{RunError, run};
