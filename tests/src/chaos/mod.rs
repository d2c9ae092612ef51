//! Chaos: real servers, coordinators and workers under a load, hurt by a plan that a seed makes, and
//! judged by what the broker stored and what the workers ran.
//!
//! Nothing here knows how the system works inside: it kills, cuts, listens and reads back. What a run
//! must show stands in [`judge`], how much must have happened for it to count in [`valid`].

pub mod altered;
pub mod arguments;
pub mod dice;
pub mod faults;
mod foreign;
mod heap;
pub mod judge;
pub mod load;
pub mod members;
pub mod nemesis;
pub mod plan;
pub mod play;
pub mod points;
pub mod read_back;
pub mod report;
pub mod resources;
pub mod stage;
pub mod submitter;
pub mod valid;
pub mod wire;
