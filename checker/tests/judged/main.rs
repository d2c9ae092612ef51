//! The judge judged: bad histories, each flagged with exactly its rule; nasty good ones, which pass;
//! and valid runs with one thing changed, which are caught.

mod cases;
mod generate;
mod mutation;
mod script;
