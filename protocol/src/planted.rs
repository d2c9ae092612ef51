//! Bugs on demand: each takes one step of the rules out, to see that the simulation notices. Only
//! with the feature `planted`, which no release has; one bug at a time, for the whole process.

use std::sync::atomic::{AtomicUsize, Ordering};

static PLANTED: AtomicUsize = AtomicUsize::new(0);

macro_rules! bugs {
    ($($bug:ident: $what:literal,)*) => {
        /// A step of the rules that is taken out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        /// All of them, with what each takes out.
        pub const BUGS: &[(Bug, &str, &str)] = &[$((Bug::$bug, stringify!($bug), $what),)*];
    };
}

bugs! {
    ShortFence: "the fence is one record long",
    BarrierFirst: "the barrier is written before the listing",
    UnconditionalFence: "the fence expects no sequence and looks at no newer one",
    StaleListing: "a listing counts although it does not show the fence",
    NoCatchUp: "the leader starts before it has folded up to its barrier",
    UnreadIsLed: "the leader starts before the payload of a listed job is read",
    TimeoutIsWin: "an unanswered claim of the lease is taken for a win",
    RefusalIsLoss: "a new epoch that was refused is taken for the end of a leadership won since",
    NewerEpochIgnored: "a leader that folds a newer epoch goes on",
    OldTags: "the tags of a new leadership begin at one again",
    WindowTooWide: "there is always room for one more write",
    SettledEarly: "the first refusal settles the window",
    UnexplainedIsResent: "a refusal that none of its own writes explains is taken for a late one",
    UnansweredIsRefused: "a dispatch without an answer is taken for refused",
    UnansweredIsStored: "a dispatch without an answer is taken for stored",
    KeyFreedByCancel: "a cancel frees the key while its job is outstanding",
    AdoptedKeyFree: "a new leader does not take the keys of what it lists",
    AdoptsNothing: "a new leader takes nothing of what it lists as outstanding",
    LimitIgnored: "a queue's limit of outstanding jobs is not looked at",
    RequestedIsDispatched: "a job with a folded request is dispatched",
    ExpiredIsDispatched: "what expired stays in the backlog",
    RunAtIgnored: "a job is due when it is accepted",
    NoBackoff: "a failed job is due at once",
    EndsWhatIsOut: "a leader ends an attempt that is outstanding",
    EndsWithoutRequest: "a leader ends a job before its request is folded",
    AttemptReused: "a failed attempt's number is used again",
    OneAttemptMore: "a job may fail once more than it says",
    AnyAttemptCounts: "an outcome counts whatever attempt it names",
    EarlyIsNotPassedOver: "an attempt whose outcome came too early is dispatched all the same",
    ReplayOfAnyAttempt: "a replay counts whatever attempt it names",
    OldCancelCounts: "a cancel from before the replay counts",
    IdIgnored: "a record counts for the number alone, whatever id it names",
    OldConfigCounts: "an older configuration replaces a newer one",
    FoldedAgain: "a record that comes again is folded again",
    HeldIsDropped: "what was folded before the payload was read is forgotten",
    WentBackUnnoticed: "a store that went back is not noticed",
    LedgerReplacedUnnoticed: "another record in the place of the last is not noticed",
    AuditJudgesAll: "the audit judges dispatches that were stored after its listing",
    AuditWithoutCatchUp: "the audit judges before the ledger is folded far enough",
    SpentStays: "what no consumer hands out any more stays in the work queue",
    UnspentIsDeleted: "work without an outcome is deleted like what is spent",
    RescuedAgain: "a nak is sent again",
    RescueOfWhatIsOver: "what is not outstanding is handed on, too",
    KeyedRescuedSoon: "jobs with a key are handed on as soon as those without",
    RescuedUnknowing: "jobs with a key are handed on before all holders are known",
    RescuedLate: "jobs with a key are handed on whenever their worker was missed",
    OlderAnnouncementCounts: "an announcement that was overtaken counts",
    LetGoOfAnother: "what a worker let go is handed on whoever holds it",
    LetGoByCount: "what was let go is told by its count alone, which a killed broker starts anew",
    GoneIsForgotten: "that a worker which stopped held something is forgotten",
    LetGoLate: "what was let go long ago is handed on",
    AckFirst: "the ack goes out before the outcome is stored",
    UnansweredIsRecorded: "an outcome without an answer is taken for stored",
    NoRespondersIsRecorded: "an outcome that nobody took is taken for stored",
    NoCheckOnRedelivery: "a delivery that was handed out before is run unread",
    CountAloneIsSuspect: "only a delivery's count makes it suspect",
    NakAfterDeadline: "a delivery is given back after its lease",
    LeaseByHope: "a progress ack extends the lease when it is sent",
    LeaseFromArrival: "the lease of a delivery counts from its arrival",
    LateConfirmationCounts: "a confirmation after the deadline extends the lease",
    LostIsIgnored: "a worker that lost the broker runs its keyed jobs on",
    RunsForEver: "an attempt is run however often it was handed out",
    LetGoAfterHandedOn: "what was handed on is let go, too",
    LetGoBesideHandler: "a delivery is let go while its handler runs",
    ContentIgnored: "a repeat with another key or priority is taken for the same",
}

/// Whether `bug` is the one.
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == place(bug)
}

const fn place(bug: Bug) -> usize {
    bug as usize + 1
}

/// Whether the bug of this name is the one.
#[must_use]
pub fn is_named(name: &str) -> bool {
    BUGS.iter()
        .any(|(bug, known, _)| *known == name && is(*bug))
}

/// Plants the bug of this name in place of the one before. Returns whether there is such a bug.
pub fn plant(name: &str) -> bool {
    let found = BUGS.iter().find(|(_, known, _)| *known == name);
    if let Some((bug, ..)) = found {
        PLANTED.store(place(*bug), Ordering::Relaxed);
    }
    found.is_some()
}
