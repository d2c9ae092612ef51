//! The observer's and the candidate's part: what stands at the key, since when, and from when it may
//! be replaced.

use std::cmp::Ordering;
use std::time::Duration;

use super::beats::Look;
use super::contest::Contest;
use super::exchange::{Effect, LostReason};
use super::moment::Moment;
use super::observation::{Content, Observation, Sighting};
use super::record::{EPOCH_MAX, LeaseRecord, LeaseState};
use super::rules::Mode;
use super::suspicion::Quiet;
use super::tenure::End;
use super::timings::LeaseTimings;
use super::writing::{Early, Over, Purpose};
use crate::number::{Epoch, Sequence};

/// From when a takeover may be tried, and what it would be.
type Opening = (Moment, Over, Early);

impl Contest {
    /// Takes what a read by the stream leader showed.
    pub(super) fn observe(
        &mut self,
        now: Moment,
        observation: Observation,
        effects: &mut Vec<Effect>,
    ) {
        let Some(known) = self.known_revision() else {
            self.news(now, observation, effects);
            return;
        };
        match observation.revision.cmp(&known) {
            Ordering::Equal => {
                self.behind_since = None;
                self.reading.unchanged(now, &self.rules.timings);
            }
            Ordering::Greater => self.news(now, observation, effects),
            Ordering::Less if self.went_back(now) => {
                self.seen = None;
                self.end(now, End::Lost(LostReason::WentBack), effects);
                self.news(now, observation, effects);
            }
            // An older state than one already seen: the answer of a deposed stream leader.
            Ordering::Less => self.reading.failed(now, &self.rules.timings),
        }
    }

    /// Whether reads have shown an older state for a whole lease: then the store has lost records.
    fn went_back(&mut self, now: Moment) -> bool {
        let since = *self.behind_since.get_or_insert(now);
        now.since(since) >= self.rules.timings.lease
    }

    fn known_revision(&self) -> Option<Sequence> {
        let seen = self.seen.as_ref().map(|seen| seen.revision);
        let held = self.tenure.as_ref().map(|tenure| tenure.revision);
        seen.max(held)
    }

    fn news(&mut self, now: Moment, observation: Observation, effects: &mut Vec<Effect>) {
        let Observation { revision, content } = observation;
        self.behind_since = None;
        self.reading.news(now, self.rules.timings.renew);
        if let Content::Lease(record) = &content
            && record.incarnation == self.me.incarnation
        {
            let write = self.writing.recognise(record.nonce);
            self.ours(now, (revision, record.clone()), write.as_ref(), effects);
            return;
        }
        self.displaced(now, &content, effects);
        self.writing.failures = 0;
        self.writing.due = now;
        if let Content::Lease(record) = &content {
            self.highest = self.highest.max(record.epoch);
            self.compare(now, record);
        }
        self.seen = Some(Sighting {
            revision,
            at: now,
            content,
        });
    }

    /// Notes a renewal, or a takeover before its time, by somebody else.
    fn compare(&mut self, now: Moment, record: &LeaseRecord) {
        let Some(Sighting {
            at,
            content: Content::Lease(before),
            ..
        }) = &self.seen
        else {
            return;
        };
        if before.incarnation == record.incarnation {
            let verdict = self.suspicion.renewed(now);
            self.count(verdict);
            return;
        }
        let lasts = at.after(LeaseTimings::outwait(before.lease()));
        if before.state == LeaseState::Held && now < lasts {
            self.damping.note(now);
        }
    }

    /// Whether the holder has not been seen to write for longer than a renewal takes, on this
    /// connection.
    pub(super) fn quiet(&self, now: Moment) -> Quiet {
        let seen = self.seen.as_ref().map(|seen| seen.at);
        let Some(since) = seen.max(self.connected) else {
            return Quiet::Short;
        };
        if now.since(since) > self.rules.timings.come_back() {
            Quiet::Long
        } else {
            Quiet::Short
        }
    }

    /// Pings the holder where its silence would count.
    pub(super) fn watch_holder(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let stands = self.campaigning && self.tenure.is_none();
        let target = match self.seen.as_ref().map(|seen| &seen.content) {
            Some(Content::Lease(record))
                if stands
                    && self.rules.mode == Mode::Fenced
                    && record.state == LeaseState::Held =>
            {
                record.incarnation.clone()
            }
            Some(Content::Lease(_) | Content::Vacant | Content::Foreign(_)) | None => {
                self.suspicion.forget();
                return;
            }
        };
        self.suspicion.watch(&target, now);
        let (look, verdict) = self.suspicion.look(now, &self.rules.detection);
        self.count(verdict);
        if self.suspicion.next_ping().is_some_and(|due| due <= now)
            && let Some((number, target)) = self.suspicion.ping(now, self.rules.detection.every)
        {
            effects.push(Effect::Ping(number, target));
        }
        if look == Look::Missing {
            // The broker takes the pings of one connection in order: our own echo shows that the
            // holder has been asked.
            let echo = self.suspicion.probe(now);
            effects.push(Effect::Ping(echo, self.me.incarnation.clone()));
        }
    }

    /// When the next write is due, as holder or as candidate.
    pub(super) fn write_due(&self) -> Option<Moment> {
        self.next_write()?;
        if self.tenure.is_some() {
            return Some(self.writing.due);
        }
        let (opens, _, _) = self.opening()?;
        Some(opens.max(self.writing.due))
    }

    /// What to write now: purpose, the revision it replaces, the epoch.
    pub(super) fn next_write(&self) -> Option<(Purpose, Sequence, Epoch)> {
        if let Some(tenure) = &self.tenure {
            let (purpose, epoch) = tenure.next_write(self.now, self.above_all())?;
            return Some((purpose, tenure.revision, epoch));
        }
        let (_, over, early) = self.opening()?;
        let revision = self.seen.as_ref()?.revision;
        Some((
            Purpose::Acquire { over, early },
            revision,
            self.above_all()?,
        ))
    }

    /// The epoch after the highest known one, if it can be written down.
    fn above_all(&self) -> Option<Epoch> {
        (self.highest < EPOCH_MAX).then(|| self.highest.next())
    }

    fn opening(&self) -> Option<Opening> {
        let seen = self.seen.as_ref()?;
        if !self.campaigning || !self.progresses() {
            return None;
        }
        let (opens, over, early) = match &seen.content {
            Content::Vacant => (seen.at, Over::Vacancy, Early::No),
            Content::Foreign(_) => {
                let opens = seen.at.after(LeaseTimings::outwait(self.rules.lease_max));
                (opens, Over::Lease, Early::No)
            }
            Content::Lease(record) => match record.state {
                LeaseState::Released => (seen.at, Over::Lease, Early::No),
                LeaseState::Held => self.opening_over(seen, record),
            },
        };
        let wait = self.spread(seen.revision) + self.rules.detection.rank_wait();
        Some((opens.after(wait), over, early))
    }

    fn opening_over(&self, seen: &Sighting, record: &LeaseRecord) -> Opening {
        // After a broker's outage the holder comes back at about the same time as we: it goes first.
        let comes_back = self
            .connected
            .map(|since| since.after(self.rules.timings.come_back()));
        let lease_ends = seen.at.after(LeaseTimings::outwait(record.lease()));
        let lease_ends = lease_ends.max(comes_back.unwrap_or(lease_ends));
        let waited = (lease_ends, Over::Lease, Early::No);
        if self.rules.mode == Mode::Strict {
            return waited;
        }
        let Some(confirmed) = self.suspicion.confirmed() else {
            return waited;
        };
        let opens = confirmed.max(self.damping.allows_from().unwrap_or(confirmed));
        if opens < lease_ends {
            (opens, Over::Lease, Early::Yes)
        } else {
            waited
        }
    }

    /// This process's place among the candidates for one revision: spread evenly, without a draw.
    pub(super) fn spread(&self, revision: Sequence) -> Duration {
        let text = self.me.incarnation.as_str().bytes();
        let hash = text
            .chain(revision.get().to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let span = u64::try_from(self.rules.detection.spread.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(hash % span.max(1))
    }
}
