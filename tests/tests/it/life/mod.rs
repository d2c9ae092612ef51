//! The life of a job, from its submission to its end, with nobody dying.

mod audit;
mod cancel;
mod door;
mod keys;
mod kinds;
mod malformed;
mod order;
mod outcomes;
mod queues;
mod retries;
mod times;
