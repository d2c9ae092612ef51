//! The measurements of `./x bench`: the bare flow of messages, and the system beside it.
//!
//! They measure and print; they never judge. The bare flow is what the broker allows on this machine
//! with no logic at all, so that a ratio says what the system costs wherever it is measured.

pub mod bare;
pub mod cpu;
pub mod flow;
pub mod kills;
pub mod machine;
pub mod report;
pub mod system;
pub mod table;
