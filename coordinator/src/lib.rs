//! The coordinator as a library, for its binary and for tests.

pub mod settings;
