//! Every promise that needs a real nats-server but nobody's death: those stand in `kills`. And the
//! demo, whose kills are its own.

mod demo;
mod harness;
