//! The program as its users meet it: what it prints, what it says on stderr, and its exit codes,
//! against real servers.

mod connect;
mod dev;
mod jobs;
mod program;
mod queue;
mod server;
mod status;
mod usage;
mod verify;
