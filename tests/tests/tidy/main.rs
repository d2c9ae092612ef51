//! The repository's own rules, as tests: each says what it found and what to do about it.
//!
//! They read files and never build anything. A rule about files that do not exist yet passes.

mod dependencies;
mod docs;
mod replaces;
mod source;
mod tree;
