//! Who leads: the rules of an election by a lease record, of the one who holds it and of those who
//! would. No IO, no clock, no randomness: time arrives as a [`Moment`], answers as [`Input`]s.
//!
//! What is authoritative: the lease record in the broker, changed by compare-and-set on its revision
//! alone. Nobody is elected by a read, a time-out, an expired key or a watch.
//!
//! What local time is for: the holder trusts its lease until the moment *before it sent* its last
//! successful write, plus the lease, less a margin. An observer counts the lease from the moment it
//! *first saw* a revision. Both clocks count suspended time; no wall clock and no clock of the
//! broker decides anything.
//!
//! What happens when
//!
//! * a write is not answered: it is unknown, and stays so until the record is read back. The record
//!   names incarnation and nonce, so its author knows it again, even if it lands seconds later.
//! * the broker is silent past the trusted time: the holder is suspended. It goes on by
//!   compare-and-set on its own revision; success proves that nobody took over in between.
//! * the holder dies: in [`Mode::Fenced`] its ping subject has no responder, and a candidate that
//!   saw it twice takes over at once, because what the leader writes is fenced elsewhere by epoch. A
//!   holder that is stopped but connected is found by its missing beats and an unanswered ping.
//!   In [`Mode::Strict`] the lease is waited out.
//! * the holder's program reports no progress: its permits end and the lease is not renewed, as far
//!   as the program asks for that.
//! * the holder stops in good order: it stores a released record, and the next one takes over.
//! * the record is no lease that we can read: nobody is elected by it and nobody crashes; it is
//!   waited out like the longest lease that the bucket allows.
//! * somebody deletes or overwrites the record: the epoch that stood there is known to those who saw
//!   it. A program that keeps epochs elsewhere says so by [`Input::Floor`], and so never sees one
//!   twice.

mod beats;
mod candidacy;
mod contest;
mod damping;
mod exchange;
mod moment;
mod observation;
mod reading;
mod record;
mod request;
mod rules;
mod suspicion;
mod tenure;
mod timings;
mod writing;

#[cfg(test)]
mod tests;

pub use contest::Contest;
pub use exchange::{
    AdvanceRefused, Effect, Input, Leader, LostReason, Notice, ReadAnswer, ResignRefused, Standing,
    Tally,
};
pub use moment::Moment;
pub use observation::{Content, Observation};
pub(crate) use record::is_name;
pub use record::{
    EPOCH_MAX, Incarnation, IncarnationError, LEASE_MAX, LeaseRecord, LeaseState, RECORD_BYTES_MAX,
    RecordError,
};
pub use request::{eviction, step_down_asked, step_down_request};
pub use rules::{Detection, Identity, Mode, Rules};
pub use suspicion::PingAnswer;
pub use timings::{LeaseTimings, TimingsError};
