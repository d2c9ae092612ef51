//! A real server, and a leader made of the test.

pub mod leader;
pub mod server;
