//! Every promise that needs a real nats-server but nobody's death: those stand in `kills`. And the
//! demo, whose kills are its own.
#![expect(
    clippy::unwrap_used,
    reason = "what tests share panics as they do, and clippy knows the marked functions alone"
)]

mod accepted_once;
mod attackers;
mod canary;
mod credentials;
mod demo;
mod elections;
mod environment;
mod front_door;
mod harness;
mod life;
mod natscli;
