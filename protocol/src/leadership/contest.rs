//! One process's part in one election: what it knows, what it is, and what follows from each input.

use std::time::Duration;

use super::damping::Damping;
use super::exchange::{Effect, Input, Leader, LostReason, Notice, ReadAnswer, Standing, Tally};
use super::moment::Moment;
use super::observation::{Content, Sighting};
use super::reading::Reading;
use super::record::{Incarnation, LEASE_MAX, LeaseRecord, LeaseState, is_name};
use super::rules::{Identity, Mode, Rules};
use super::suspicion::{PingAnswer, Suspicion, Verdict};
use super::tenure::{End, Tenure};
use super::timings::TimingsError;
use super::writing::{Over, Pending, Purpose, Writing};
use crate::answer::Answer;
use crate::number::Epoch;

/// One process's part in one election.
#[derive(Debug)]
pub struct Contest {
    pub(super) rules: Rules,
    pub(super) me: Identity,
    pub(super) now: Moment,
    pub(super) connected: Option<Moment>,
    pub(super) campaigning: bool,
    /// When the program last reported that it does something useful.
    progressed: Moment,
    pub(super) tenure: Option<Tenure>,
    pub(super) trusted: Option<(Epoch, Moment)>,
    pub(super) seen: Option<Sighting>,
    pub(super) highest: Epoch,
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    pub(super) behind_since: Option<Moment>,
    pub(super) suspicion: Suspicion,
    pub(super) damping: Damping,
    pub(super) told: Option<Leader>,
    pub(super) tally: Tally,
}

impl Contest {
    /// Begins as a follower without a connection.
    ///
    /// # Errors
    /// The times do not fit together.
    pub fn new(mut rules: Rules, mut me: Identity) -> Result<Self, TimingsError> {
        rules.timings.validate()?;
        // Our own record must be legible to us.
        if !is_name(&me.holder) {
            me.holder = me.incarnation.to_string();
        }
        if !is_name(&me.host) {
            me.host = String::new();
        }
        // No record may name a longer lease than that, and ours must be among those waited out.
        rules.lease_max = rules.lease_max.min(LEASE_MAX).max(rules.timings.lease);
        Ok(Self {
            now: me.started.0,
            progressed: me.started.0,
            me,
            connected: None,
            campaigning: false,
            tenure: None,
            trusted: None,
            seen: None,
            highest: Epoch::default(),
            reading: Reading::default(),
            writing: Writing::default(),
            behind_since: None,
            suspicion: Suspicion::default(),
            damping: Damping::new(rules.detection.pause_first, rules.detection.pause_max),
            told: None,
            tally: Tally::default(),
            rules,
        })
    }

    /// Takes an input and says what must be done, in this order.
    #[must_use]
    pub fn handle(&mut self, now: Moment, input: Input) -> Vec<Effect> {
        // A clock that went back would lengthen trust.
        self.now = self.now.max(now);
        let now = self.now;
        let mut effects = Vec::new();
        // What has run out by now has run out before this input came.
        self.watch_trust(now, &mut effects);
        self.take(now, input, &mut effects);
        self.settle(now, &mut effects);
        self.tell_leader(&mut effects);
        effects
    }

    /// When to come back with [`Input::Tick`] if nothing else happens before.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        let never = Moment::from_nanos(u64::MAX);
        let mut wake = never;
        if let Some(pending) = &self.writing.pending {
            wake = wake.min(pending.deadline);
        }
        if let Some(tenure) = &self.tenure {
            wake = wake.min(tenure.wake(self.now));
            wake = wake.min(self.stalls_at(tenure).unwrap_or(never));
        }
        if self.connected.is_none() {
            return wake;
        }
        wake = wake.min(self.reading.wake());
        if self.writing.pending.is_none() && !self.reading.in_doubt() {
            wake = wake.min(self.write_due().unwrap_or(never));
        }
        let look = self.suspicion.wake(&self.rules.detection);
        let beat = self.next_beat();
        wake.min(look.unwrap_or(never)).min(beat.unwrap_or(never))
    }

    /// What this process is now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (&self.tenure, self.campaigning) {
            (Some(tenure), _) => tenure.standing(),
            (None, true) => Standing::Candidate,
            (None, false) => Standing::Follower,
        }
    }

    /// Whom the record names, as far as seen.
    #[must_use]
    pub const fn leader(&self) -> Option<&Leader> {
        self.told.as_ref()
    }

    /// Counts since the start.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    fn take(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Connected => self.connect(now),
            Input::Disconnected => self.disconnect(now),
            Input::Campaign => {
                if !self.campaigning && self.tenure.is_none() {
                    effects.push(Effect::Notify(Notice::Candidate));
                }
                self.campaigning = true;
            }
            Input::Withdraw => self.campaigning = false,
            Input::Resign => self.resign(now, effects),
            Input::Advance(floor) => self.advance(now, floor, effects),
            Input::Floor(floor) => self.highest = self.highest.max(floor),
            Input::StepDownAsked(epoch) => {
                if matches!(self.standing(), Standing::Leading(own, _) if own == epoch) {
                    effects.push(Effect::Notify(Notice::StepDownAsked { epoch }));
                }
            }
            Input::Hint(author) => self.hint(now, author),
            Input::Read(id, answer) => self.read(now, id, answer, effects),
            Input::Wrote(nonce, answer) => self.wrote(now, nonce, &answer, effects),
            Input::Pinged(number, answer) => self.pinged(now, number, answer),
            Input::Beat(from) => self.beat(now, &from),
            Input::Progressed(at) => self.progressed = self.progressed.max(at),
            Input::BucketReplaced => self.forget_bucket(now, effects),
            Input::Stop => {
                self.campaigning = false;
                self.end(now, End::Lost(LostReason::Stopped), effects);
            }
        }
    }

    fn connect(&mut self, now: Moment) {
        self.connected = Some(now);
        self.suspicion.forget();
        self.writing.failures = 0;
        self.writing.due = now;
        self.reading.doubt(now);
    }

    /// Whether the program has reported progress as lately as it must.
    pub(super) fn progresses(&self) -> bool {
        let within = self.rules.progress_within;
        within.is_none_or(|within| self.now < self.progressed.after(within))
    }

    fn stalls_at(&self, tenure: &Tenure) -> Option<Moment> {
        let within = self.rules.progress_within?;
        (!tenure.is_ending()).then(|| self.progressed.after(within))
    }

    fn disconnect(&mut self, now: Moment) {
        self.connected = None;
        self.suspicion.forget();
        self.reading.abandon();
        self.writing.lose_sight();
        self.reading.doubt(now);
    }

    fn hint(&mut self, now: Moment, author: Option<(Incarnation, u64)>) {
        let under_way = self.writing.pending.as_ref().map(|pending| pending.nonce);
        let ours = author.is_some_and(|(incarnation, nonce)| {
            incarnation == self.me.incarnation && Some(nonce) == under_way
        });
        if !ours {
            self.reading.hint(now);
        }
    }

    fn beat(&mut self, now: Moment, from: &Incarnation) {
        if let Some(verdict) = self.suspicion.beat(now, from) {
            self.tally.beats_heard += 1;
            self.count(verdict);
        }
    }

    fn pinged(&mut self, now: Moment, number: u64, answer: PingAnswer) {
        if self.suspicion.take_echo(now, number, answer) {
            return;
        }
        self.tally.pings_answered += u64::from(answer == PingAnswer::Alive);
        let quiet = self.quiet(now);
        let every = self.rules.detection.every;
        let verdict = self
            .suspicion
            .answered(now, (number, answer), (every, quiet));
        self.count(verdict);
    }

    pub(super) const fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Unchanged => {}
            Verdict::Confirmed => self.tally.suspicions += 1,
            Verdict::Withdrawn => self.tally.suspicions_withdrawn += 1,
        }
    }

    fn read(&mut self, now: Moment, id: u64, answer: ReadAnswer, effects: &mut Vec<Effect>) {
        if !self.reading.take(id) {
            return;
        }
        match answer {
            ReadAnswer::Seen(observation) => self.observe(now, observation, effects),
            ReadAnswer::Failed => self.reading.failed(now, &self.rules.timings),
        }
    }

    fn wrote(&mut self, now: Moment, nonce: u64, answer: &Answer, effects: &mut Vec<Effect>) {
        let Some(write) = self.writing.take(nonce) else {
            // Given up before: the record itself decides.
            return;
        };
        match answer {
            Answer::Stored(revision) if *revision > write.expected => {
                self.stored(now, &write, *revision, effects);
            }
            Answer::WrongLast => {
                self.tally.conflicts += 1;
                self.failed(now);
                self.reading.doubt(now);
            }
            Answer::Busy => {
                self.tally.busy += 1;
                self.failed(now);
                let step = Duration::from_millis(5) * self.writing.failures.min(10);
                self.writing.due = now.after(step + self.spread(write.expected));
            }
            Answer::Full(_) | Answer::NoResponders | Answer::Refused { .. } => {
                self.tally.refused += 1;
                self.failed(now);
                // A refusal comes back in no time, and would be asked for again as fast.
                let least = now.after(self.rules.timings.renew / 16);
                self.writing.due = self.writing.due.max(least);
            }
            Answer::Stored(_) | Answer::Duplicate(_) | Answer::Occupied | Answer::Unanswered => {
                self.unanswered(now, write, effects);
            }
        }
    }

    pub(super) fn failed(&mut self, now: Moment) {
        self.writing.failures = self.writing.failures.saturating_add(1);
        self.writing.due = now.after(self.rules.timings.pause(self.writing.failures));
    }

    fn unanswered(&mut self, now: Moment, write: Pending, effects: &mut Vec<Effect>) {
        self.tally.unanswered += 1;
        if planted!(TimeoutIsWin) && matches!(write.purpose, Purpose::Acquire { .. }) {
            return self.stored(now, &write, write.expected.next(), effects);
        }
        self.failed(now);
        self.writing.remember(write);
        self.reading.doubt(now);
    }

    fn settle(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(write) = self.writing.pending.take_if(|write| write.deadline <= now) {
            self.unanswered(now, write, effects);
        }
        self.reading.expire(now, &self.rules.timings);
        self.watch_progress(now, effects);
        self.watch_trust(now, effects);
        if self.connected.is_none() {
            return;
        }
        self.watch_holder(now, effects);
        self.send_beat(now, effects);
        if let Some(id) = self.reading.start(now, self.rules.timings.request) {
            effects.push(Effect::Read(id));
        }
        self.write(now, effects);
    }

    fn write(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.writing.pending.is_some() || self.reading.in_doubt() {
            return;
        }
        if self.write_due().is_none_or(|due| now < due) {
            return;
        }
        let Some((purpose, expected, epoch)) = self.next_write() else {
            return;
        };
        let nonce = self.writing.next_nonce();
        let wait = self.trust_left(now).min(self.rules.timings.request);
        self.writing.pending = Some(Pending {
            nonce,
            purpose,
            epoch,
            expected,
            sent: now,
            deadline: now.after(wait),
        });
        let record = self.record(purpose, epoch, nonce);
        effects.push(Effect::Write { expected, record });
    }

    pub(super) fn record(&self, purpose: Purpose, epoch: Epoch, nonce: u64) -> LeaseRecord {
        let (started, wall) = self.me.started;
        let acquired = self.tenure.as_ref().map_or_else(
            || wall.after(self.now.since(started)),
            |tenure| tenure.acquired,
        );
        let state = match purpose {
            Purpose::Acquire { .. } | Purpose::Renew => LeaseState::Held,
            Purpose::Release => LeaseState::Released,
        };
        LeaseRecord {
            v: LeaseRecord::VERSION,
            holder: self.me.holder.clone(),
            incarnation: self.me.incarnation.clone(),
            nonce,
            epoch,
            lease_ms: u64::try_from(self.lease_to_name(purpose).as_millis()).unwrap_or(u64::MAX),
            state,
            acquired,
            host: self.me.host.clone(),
        }
    }

    /// The lease that others must wait out. While older leases may still be trusted of which nothing
    /// is known, it is the longest there is, in case that we die before they end.
    fn lease_to_name(&self, purpose: Purpose) -> Duration {
        let strict = self.rules.mode == Mode::Strict;
        let preceded = match (&self.tenure, purpose) {
            (Some(tenure), _) => tenure.is_preceded(self.now),
            (None, Purpose::Acquire { over, .. }) => over == Over::Vacancy && strict,
            (None, Purpose::Renew | Purpose::Release) => false,
        };
        if preceded {
            self.rules.lease_max
        } else {
            self.rules.timings.lease
        }
    }

    fn forget_bucket(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.seen = None;
        self.behind_since = None;
        self.end(now, End::Lost(LostReason::WentBack), effects);
        self.reading.doubt(now);
    }

    fn tell_leader(&mut self, effects: &mut Vec<Effect>) {
        let leader = self.seen.as_ref().and_then(|seen| leader_of(&seen.content));
        if leader != self.told {
            self.told.clone_from(&leader);
            effects.push(Effect::Notify(Notice::LeaderChanged(leader)));
        }
    }
}

pub(super) fn leader_of(content: &Content) -> Option<Leader> {
    match content {
        Content::Lease(record) if record.state == LeaseState::Held => Some(leader(record)),
        Content::Lease(_) | Content::Vacant | Content::Foreign(_) => None,
    }
}

pub(super) fn leader(record: &LeaseRecord) -> Leader {
    Leader {
        holder: record.holder.clone(),
        incarnation: record.incarnation.clone(),
        epoch: record.epoch,
    }
}
