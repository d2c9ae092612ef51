//! Every promise that needs a real nats-server but nobody's death: those stand in `kills`.

mod harness;
