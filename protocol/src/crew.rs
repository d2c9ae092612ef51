//! Who holds which share, among the live members of a crew: the rules by which each of them runs, and
//! of which one writes the plan. No IO, no clock, no randomness: time arrives as a
//! [`Moment`](crate::leadership::Moment), what the broker holds and answers as [`Input`]s.
//!
//! What is authoritative: the **plan**, one record, changed by compare-and-set alone. A member's own
//! record says that it is here and which plan it obeys; nobody else writes it, but for its end.
//!
//! Why no share has two holders
//!
//! * A member runs a share only while the newest plan it knows grants it the share, and only under
//!   its permit: until the moment before it sent its last stored record, plus the lease, less a
//!   margin. No information, an unreadable plan, an answer that did not come: it holds nothing.
//! * A plan takes a share from its holder first, and gives it to another only in a later plan. That
//!   later plan rests on a fact that stays true: the holder's record names the plan that took the
//!   share, which it does not before the share's work has ended; or the holder is gone, by its own
//!   word, or because its record stood unchanged for a whole lease of the observer's clock and was
//!   then replaced by compare-and-set, so that no permit can ever be renewed.
//! * So it does not matter who writes a plan, or when it lands: it lands on the plan that it follows
//!   from, or not at all. The election of a planner saves work; no promise rests on it.
//! * A plan that is missing, because it was never written or because somebody removed it, is founded
//!   by one that grants nothing, and nothing is granted before every older permit has ended.
//!
//! What a share's token is: the revision of the plan that granted it. Revisions grow in the order of
//! the stream, also over a plan that was removed and written anew, so an outside system can refuse
//! what an older holder still sends.

mod exchange;
mod generations;
mod holding;
mod member;
mod partitions;
mod plan;
mod planner;
mod presence;
mod reading;
mod record;
mod roll;
mod rules;

#[cfg(test)]
mod tests;

pub use exchange::{
    Content, Effect, Grant, Input, Key, Notice, OutReason, ReadAnswer, RevokeReason, Standing,
};
pub use member::Member;
pub use plan::{PARTITIONS_MAX, PLAN_BYTES_MAX, Plan, Share, Spread};
pub use record::{MEMBER_BYTES_MAX, MemberRecord, MemberState, RecordError};
pub use rules::{CrewRules, Identity, RulesError, Sharing};
