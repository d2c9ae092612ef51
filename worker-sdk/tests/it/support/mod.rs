//! A real server, a leader made of the test, and workers.

pub(crate) mod leader;
pub(crate) mod server;
pub(crate) mod workers;
