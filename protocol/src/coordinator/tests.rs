//! What a coordinator decides, as transcripts: an event, and below it all that follows from it.

mod audit;
mod dispatch;
mod endings;
mod fold;
mod ground;
mod leading;
mod people;
mod script;
mod shown;
