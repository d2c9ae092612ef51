//! `./x prove`: runs every part of the proof as a child, adds up what each says it checked, and writes
//! one page. It checks nothing by itself, and starts no system.

pub mod arguments;
pub mod child;
pub mod page;
pub mod parts;
pub mod tally;
