//! Workers and clients against a real nats-server; the test plays the leader.

mod support;
mod worker;
