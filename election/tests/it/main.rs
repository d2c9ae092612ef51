//! Elections on real servers, with real processes that are killed and stopped.
#![expect(clippy::print_stdout, reason = "a test reports what it measured")]

mod bucket;
mod child;
mod cluster;
mod faults;
mod handover;
mod process;
mod progress;
mod server;
mod stand;
