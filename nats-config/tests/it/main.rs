//! This crate against a real nats-server: `NATS_SERVER_BIN`, or the one on the PATH.

mod accounts;
mod broker;
mod permissions;
mod provision;
mod server;
