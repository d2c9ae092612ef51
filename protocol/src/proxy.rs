//! Calls to whoever leads, by the name of the singleton: the rules of those who call and of the one who
//! answers. No IO, no clock, no randomness: time arrives as a [`Moment`](crate::leadership::Moment),
//! what the broker brings as inputs.
//!
//! A call is asked on a subject that names one tenure, its incarnation and epoch, and each answer says
//! the epoch again. So a question that was meant for one leader never gets an answer of the next.
//!
//! What holds
//!
//! * Under one epoch a call is carried out once, however often it is asked: the desk remembers each
//!   answer for [`DeskRules::remember_for`], which is longer than a caller asks, and begins nothing
//!   for which it would have no room to remember.
//! * Across epochs it is carried out at least once, if it is answered at all: a leader may die between
//!   its act and its answer, and the next one is asked the same. It is given the call's id and its own
//!   epoch, for outside systems to tell a repeat.
//! * A leader answers while its permit holds, and the permit is looked at when the answer is given.
//! * A caller takes no answer of an older tenure once it knows of a newer one.
//! * A call ends once, at its deadline at the latest, and its error says whether it may have been carried out:
//!   [`CallFailure::Unknown`] alone leaves that open, [`CallFailure::Refused`] and
//!   [`CallFailure::AnswerTooLong`] come from the leader, all others say that no leader began it.

mod answer;
mod caller;
mod desk;
mod exchange;

#[cfg(test)]
mod tests;

pub use answer::{
    Fingerprint, Refusal, Said, TenureName, Verdict, VerdictError, WireVerdict, header,
};
pub use caller::{Caller, CallerRules};
pub use desk::{Desk, DeskEffect, DeskInput, DeskRules, Right};
pub use exchange::{AskingName, CallFailure, CallerEffect, CallerInput, Overflow, Reply};
