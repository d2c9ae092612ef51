//! The caller's side: which calls wait, whom each is asked, when it is asked again, and how it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{Said, TenureName, Verdict};
use super::exchange::{AskingName, CallFailure, CallerEffect, CallerInput, Overflow, Reply};
use crate::leadership::Moment;
use crate::number::{CallNumber, Epoch};

/// The first pause after a question that began nothing, and the longest; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// How often a record is read again that does not show what a hint said: the write may be on its way,
/// or refused.
const HINT_READS_MAX: u32 = 5;
/// How long a record must name an older epoch than it did before it is believed: then the bucket is
/// another one. Until then a server that is behind may have answered.
const OLDER_AFTER: Duration = Duration::from_secs(30);

/// The limits of one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerRules {
    /// Most calls without an end.
    pub calls_max: usize,
    /// Most bytes of their payloads.
    pub len_max: usize,
    /// Most bytes of one payload.
    pub call_len_max: usize,
    /// How long a question waits for its answer before it is asked again.
    pub ask_again: Duration,
    /// How often the record is read while a call waits and nobody is known to lead.
    pub look_again: Duration,
}

impl Default for CallerRules {
    /// 1,000 calls, 8 MiB of them, 128 KiB each; asked again each second, looked for twice a second.
    fn default() -> Self {
        Self {
            calls_max: 1_000,
            len_max: 8 << 20,
            call_len_max: 128 << 10,
            ask_again: Duration::from_secs(1),
            look_again: Duration::from_millis(500),
        }
    }
}

#[derive(Debug)]
struct Asked {
    tenure: TenureName,
    /// The first turn at which this tenure was asked: an answer to an earlier one is another's.
    first: u64,
    /// Under which epoch it may have been carried out before the last turn.
    doubt_before: Option<Epoch>,
}

#[derive(Debug)]
struct Open {
    len: usize,
    deadline: Moment,
    /// When it is asked next, if somebody leads.
    due: Moment,
    pause: Duration,
    turn: u64,
    asked: Option<Asked>,
    /// Under which epoch it may have been carried out, last.
    doubt: Option<Epoch>,
    /// Who had no room last.
    busy: Option<Epoch>,
}

/// One process's calls to the leader of one singleton.
#[derive(Debug)]
pub struct Caller {
    rules: CallerRules,
    now: Moment,
    leader: Option<TenureName>,
    /// The newest epoch that a record named.
    newest: Epoch,
    /// Who was named with an older one, and since when.
    older: Option<(TenureName, Moment)>,
    open: BTreeMap<CallNumber, Open>,
    len: usize,
    /// Whether a read is under way, and whether one more must follow.
    reading: bool,
    read_again: bool,
    look_due: Moment,
    /// Whom the last hint named, and how often it was looked for.
    hinted: Option<(Option<TenureName>, u32)>,
}

impl Caller {
    /// Knows nobody yet.
    #[must_use]
    pub const fn new(rules: CallerRules, now: Moment) -> Self {
        Self {
            rules,
            now,
            leader: None,
            newest: Epoch::new(0),
            older: None,
            open: BTreeMap::new(),
            len: 0,
            reading: false,
            read_again: false,
            look_due: now,
            hinted: None,
        }
    }

    /// Whether a call of this many bytes would overflow the buffer.
    #[must_use]
    pub fn overflow(&self, len: usize) -> Option<Overflow> {
        if self.open.len() >= self.rules.calls_max {
            return Some(Overflow::Calls(self.rules.calls_max));
        }
        let over = self.len.saturating_add(len) > self.rules.len_max;
        over.then_some(Overflow::Len(self.rules.len_max))
    }

    /// Takes an input and says what must be done, in this order.
    #[must_use]
    pub fn handle(&mut self, now: Moment, input: CallerInput) -> Vec<CallerEffect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        self.take(input, &mut effects);
        self.expire(&mut effects);
        self.ask(&mut effects);
        self.look(&mut effects);
        effects
    }

    /// When to come back with [`CallerInput::Tick`] if nothing else happens before.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        let never = Moment::from_nanos(u64::MAX);
        let leads = self.leader.is_some();
        let next = |open: &Open| {
            if leads {
                open.deadline.min(open.due)
            } else {
                open.deadline
            }
        };
        let calls = self.open.values().map(next).min().unwrap_or(never);
        if self.wants_look() {
            calls.min(self.look_due)
        } else {
            calls
        }
    }

    fn take(&mut self, input: CallerInput, effects: &mut Vec<CallerEffect>) {
        match input {
            CallerInput::Tick => {}
            // Who renews is no news. A read that is under way may show what was before.
            CallerInput::Hint(named) if named == self.leader => {}
            CallerInput::Hint(named) => {
                self.read_again = true;
                self.look_due = self.now;
                self.hinted = Some((named, 0));
            }
            CallerInput::Read(named) => {
                self.reading = false;
                self.compare_hint(named.as_ref());
                if self.is_believed(named.as_ref()) {
                    self.found(named);
                }
            }
            CallerInput::ReadFailed => self.reading = false,
            CallerInput::Call { call, len, within } => self.call(call, len, within, effects),
            CallerInput::Withdrawn(call) => self.remove(call),
            CallerInput::Replied(asking, reply) => self.replied(asking, reply, effects),
        }
    }

    fn call(
        &mut self,
        call: CallNumber,
        len: usize,
        within: Duration,
        effects: &mut Vec<CallerEffect>,
    ) {
        let len_max = self.rules.call_len_max;
        let refused = if len > len_max {
            Some(CallFailure::TooLarge { len, len_max })
        } else {
            self.overflow(len).map(CallFailure::Overflow)
        };
        if let Some(failure) = refused {
            effects.push(CallerEffect::End(call, Err(failure)));
            return;
        }
        self.len += len;
        let open = Open {
            len,
            deadline: self.now.after(within),
            due: self.now,
            pause: PAUSE_FIRST,
            turn: 0,
            asked: None,
            doubt: None,
            busy: None,
        };
        self.open.insert(call, open);
    }

    fn remove(&mut self, call: CallNumber) {
        if let Some(open) = self.open.remove(&call) {
            self.len -= open.len;
        }
    }

    fn compare_hint(&mut self, named: Option<&TenureName>) {
        let Some((hinted, reads)) = &mut self.hinted else {
            return;
        };
        if hinted.as_ref() == named || *reads >= HINT_READS_MAX {
            self.hinted = None;
            return;
        }
        self.read_again = true;
        self.look_due = self.now.after(PAUSE_FIRST * 2_u32.pow(*reads));
        *reads += 1;
    }

    /// Whether a read shows who leads now.
    fn is_believed(&mut self, named: Option<&TenureName>) -> bool {
        let Some(named) = named else {
            return true;
        };
        if named.epoch >= self.newest {
            self.older = None;
            self.newest = named.epoch;
            return true;
        }
        let since = self.older.as_ref().filter(|(older, _)| older == named);
        let since = since.map_or(self.now, |(_, since)| *since);
        let believed = self.now.since(since) >= OLDER_AFTER;
        if believed {
            self.newest = named.epoch;
        }
        self.older = (!believed).then(|| (named.clone(), since));
        believed
    }

    /// Whoever was asked and leads no more is not waited for once another one leads: its answer may
    /// be older than what the other one says.
    fn found(&mut self, named: Option<TenureName>) {
        if named == self.leader {
            return;
        }
        self.leader = named;
        let Some(leader) = &self.leader else {
            return;
        };
        for open in self.open.values_mut() {
            let asked = open.asked.as_ref();
            if asked.is_none_or(|asked| asked.tenure != *leader) {
                open.asked = None;
                open.due = self.now;
                open.pause = PAUSE_FIRST;
            }
        }
    }

    fn replied(&mut self, asking: AskingName, reply: Reply, effects: &mut Vec<CallerEffect>) {
        let now = self.now;
        let Some(open) = self.open.get_mut(&asking.call) else {
            return;
        };
        let is_last = asking.turn == open.turn;
        let Some(asked) = &open.asked else {
            return;
        };
        if asking.turn < asked.first {
            return;
        }
        let doubt_before = asked.doubt_before;
        match reply {
            Reply::Verdict(epoch, _) if epoch != asked.tenure.epoch => {}
            Reply::Verdict(epoch, Verdict::Said(said)) => {
                self.remove(asking.call);
                effects.push(CallerEffect::End(asking.call, ending(epoch, said)));
            }
            Reply::Verdict(epoch, Verdict::Conflict) => {
                self.remove(asking.call);
                let failure = CallFailure::Conflict(epoch);
                effects.push(CallerEffect::End(asking.call, Err(failure)));
            }
            Reply::Verdict(epoch, Verdict::Busy) if is_last => {
                open.doubt = doubt_before;
                open.busy = Some(epoch);
                open.pause(now);
            }
            Reply::Unreached | Reply::Verdict(_, Verdict::NotLeading) if is_last => {
                open.doubt = doubt_before;
                open.busy = None;
                open.pause(now);
                self.read_again = true;
            }
            // What an earlier turn came to says nothing of the last one.
            Reply::Unreached | Reply::Verdict(_, Verdict::Busy | Verdict::NotLeading) => {}
        }
    }

    fn expire(&mut self, effects: &mut Vec<CallerEffect>) {
        let late = |open: &Open| open.deadline <= self.now;
        let ended = self.open.iter().filter(|(_, open)| late(open));
        let ended: Vec<(CallNumber, CallFailure)> = ended
            .map(|(call, open)| {
                let failure = match (open.doubt, open.busy) {
                    (Some(epoch), _) => CallFailure::Unknown(epoch),
                    (None, Some(epoch)) => CallFailure::Busy(epoch),
                    (None, None) => CallFailure::NoLeader,
                };
                (*call, failure)
            })
            .collect();
        for (call, failure) in ended {
            self.remove(call);
            effects.push(CallerEffect::End(call, Err(failure)));
        }
    }

    fn ask(&mut self, effects: &mut Vec<CallerEffect>) {
        let Some(leader) = &self.leader else {
            return;
        };
        for (&call, open) in &mut self.open {
            if open.due > self.now {
                continue;
            }
            open.turn += 1;
            let again = open.asked.is_some();
            let first = open.asked.take().map_or(open.turn, |asked| asked.first);
            open.asked = Some(Asked {
                tenure: leader.clone(),
                first,
                doubt_before: open.doubt,
            });
            open.doubt = Some(leader.epoch);
            open.due = self.now.after(self.rules.ask_again);
            let turn = open.turn;
            effects.push(CallerEffect::Ask(AskingName { call, turn }, leader.clone()));
            if again {
                // It was silent, or did not begin it: it may lead no more.
                self.read_again = true;
            }
        }
    }

    fn wants_look(&self) -> bool {
        !self.reading && (self.read_again || (self.leader.is_none() && !self.open.is_empty()))
    }

    fn look(&mut self, effects: &mut Vec<CallerEffect>) {
        if self.wants_look() && self.look_due <= self.now {
            self.reading = true;
            self.read_again = false;
            self.look_due = self.now.after(self.rules.look_again);
            effects.push(CallerEffect::Read);
        }
    }
}

impl Open {
    fn pause(&mut self, now: Moment) {
        self.due = now.after(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

fn ending(epoch: Epoch, said: Said) -> Result<(Arc<[u8]>, Epoch), CallFailure> {
    match said {
        Said::Done(payload) => Ok((payload, epoch)),
        Said::Refused(refusal) => Err(CallFailure::Refused { epoch, refusal }),
        Said::TooLong { len, len_max } => Err(CallFailure::AnswerTooLong {
            epoch,
            len,
            len_max,
        }),
    }
}
