//! The rules of an electronic invoice (EN 16931), read from UBL and recomputed with exact decimals.
//!
//! A document goes one way: bytes become a [`Document`](document::Document) in [`ubl`], its sums are
//! recomputed in [`rules`], [`check`] turns both into a verdict. [`generate`] makes
//! documents to try it with. This library never does input or output and knows nothing of jobs:
//! the programs beside it do.

pub mod amount;
mod breakdown;
pub mod check;
mod decimals;
pub mod document;
pub mod finding;
pub mod generate;
pub mod notice;
pub mod rules;
pub mod ubl;
