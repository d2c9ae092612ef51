//! Workers and clients against a real nats-server; the test plays the leader.

mod asking;
mod calls;
mod client;
mod crews;
mod outage;
mod redelivery;
mod roles;
mod running;
mod singletons;
mod stopping;
mod support;
mod talking;
