//! `./x demo`: thousands of invoices through a real system, with a leader and a worker killed on the
//! way, and the figures read back from the ledger and from the workers' own logs.
//!
//! The way through: `documents` and `plan` say what is submitted and how it is paced, `stage` starts
//! the system, submits, watches and kills, `evidence` gathers what was recorded, `findings` judges
//! it, `report` prints. What is hoped and counted on the way is shown, but never judged by.

pub mod arguments;
pub mod clock;
pub mod documents;
pub mod evidence;
pub mod findings;
pub mod observer;
pub mod plan;
pub mod records;
pub mod report;
pub mod runs;
pub mod screen;
pub mod stage;
pub mod submitter;
pub mod watch;
