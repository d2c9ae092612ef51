//! The election: the product's own rules for the lease, each coordinator on a clock and a connection
//! of its own, against a bucket that is a stream. What they say reaches the coordinators as news.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::coordinator::Event;
use protocol::leadership::{
    Contest, Detection, Effect, Identity, Incarnation, Input, LeaseRecord, LeaseState,
    LeaseTimings, Mode, Moment, Notice, Observation, PingAnswer, ReadAnswer, Rules,
};
use protocol::number::{Epoch, Sequence};
use protocol::time::Timestamp;

use crate::hands::Owner;
use crate::packet::Packet;
use crate::stream::{self, Publish, Second, Stream, StreamRules};
use crate::world::World;

const KEY: &str = "leader";
/// How long a connection is gone at most, and the bucket silent.
const AWAY_MAX: u64 = 4_000;

/// How many nanoseconds more than ours a clock shows, and how much faster it runs, in millionths.
#[derive(Clone, Copy)]
struct Clock {
    ahead: u64,
    faster: i64,
}

/// A coordinator's part in the election.
pub(crate) struct Candidate {
    contest: Contest,
    me: Incarnation,
    clock: Clock,
    connection: u64,
    is_connected: bool,
}

impl Clock {
    fn local(&self, now: Timestamp) -> Moment {
        let nanos = i128::from(now.as_millis()) * 1_000_000;
        let drift = nanos * i128::from(self.faster) / 1_000_000;
        let local = nanos + drift + i128::from(self.ahead);
        Moment::from_nanos(u64::try_from(local).expect("a clock of some days"))
    }
}

/// What is on its way between a candidate and the bucket.
enum Mail {
    /// To a candidate, on this connection of it.
    Input(Owner, u64, Input),
    /// To the bucket: also from the dead.
    Write(Owner, u64, Sequence, LeaseRecord),
    Read(Owner, u64, u64),
    /// A candidate connects again.
    Connect(Owner, u64),
}

/// The bucket, and what is on its way.
pub(crate) struct Election {
    bucket: Stream<LeaseRecord>,
    mail: BTreeMap<(Timestamp, u64), Mail>,
    order: u64,
    silent_until: Timestamp,
    /// Off: epochs are granted by hand, in a world whose stores went back.
    pub(crate) is_on: bool,
}

impl Election {
    pub(crate) const fn new() -> Self {
        let rules = StreamRules {
            second: Second::Replaces,
            bytes_max: None,
        };
        Self {
            bucket: Stream::new(rules),
            mail: BTreeMap::new(),
            order: 0,
            silent_until: Timestamp::from_millis(0),
            is_on: true,
        }
    }

    /// When the next message arrives.
    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        let first = self.mail.first_key_value().filter(|_| self.is_on);
        first.map(|((at, _), _)| *at)
    }

    fn record(&self) -> Option<(Sequence, &LeaseRecord)> {
        let at = self.bucket.newest(KEY)?;
        Some((Sequence::new(at), self.bucket.get(at)?))
    }
}

impl World {
    /// The part of a start of a coordinator, which connects by and by.
    pub(crate) fn candidate(&mut self, owner: Owner) -> Candidate {
        let me: Incarnation = format!("c{}x{}", owner.who, owner.start)
            .parse()
            .expect("letters and digits");
        let ahead = self.rng.below(1_000_000) * 1_000_000;
        let faster = i64::try_from(self.rng.below(4_000)).expect("small") - 2_000;
        let rules = Rules {
            timings: LeaseTimings::test(),
            mode: Mode::Fenced,
            lease_max: Duration::from_secs(2),
            detection: Detection {
                // More takeovers than anybody wants to see.
                pause_first: Duration::from_millis(30),
                pause_max: Duration::from_millis(300),
                ..Detection::default()
            },
            progress_within: None,
        };
        let clock = Clock { ahead, faster };
        let identity = Identity {
            holder: me.to_string(),
            incarnation: me.clone(),
            host: String::new(),
            started: (clock.local(self.now), Timestamp::default()),
        };
        let delay = self.rng.below(300);
        self.mail(delay, Mail::Connect(owner, 1));
        Candidate {
            contest: Contest::new(rules, identity).expect("times that fit"),
            me,
            clock,
            connection: 1,
            is_connected: false,
        }
    }

    fn mail(&mut self, delay: u64, mail: Mail) {
        let at = self.now.after(Duration::from_millis(delay));
        self.election.order += 1;
        let order = self.election.order;
        self.election.mail.insert((at, order), mail);
    }

    /// How long a message of the election travels.
    fn travel(&mut self) -> u64 {
        match self.is_calm || !self.rng.once_in(12) {
            true => self.rng.below(3),
            false => self.rng.below(900),
        }
    }

    fn is_lost(&mut self) -> bool {
        !self.is_calm && self.rng.once_in(20)
    }

    /// Mail arrives, and time passes for the candidates.
    pub(crate) fn elect(&mut self) {
        if !self.election.is_on {
            return;
        }
        while let Some(first) = self.election.mail.first_entry()
            && first.key().0 <= self.now
        {
            let mail = first.remove();
            self.arrives(mail);
        }
        for who in 0..self.hands.len() {
            let candidate = &self.hands[who].candidate;
            if candidate.contest.wake_at() <= candidate.clock.local(self.now) {
                self.stands(who, Input::Tick);
            }
        }
    }

    fn arrives(&mut self, mail: Mail) {
        match mail {
            Mail::Input(owner, connection, input) => {
                if self.is_on_line(owner, connection) {
                    self.stands(owner.who, input);
                }
            }
            Mail::Write(owner, connection, expected, record) => {
                self.claimed((owner, connection), expected, &record);
            }
            Mail::Read(owner, connection, id) => self.shown(owner, connection, id),
            Mail::Connect(owner, connection) => {
                let hands = &mut self.hands[owner.who];
                if hands.start == owner.start && hands.candidate.connection == connection {
                    hands.candidate.is_connected = true;
                    self.stands(owner.who, Input::Connected);
                    self.stands(owner.who, Input::Campaign);
                }
            }
        }
    }

    fn is_on_line(&self, owner: Owner, connection: u64) -> bool {
        let hands = &self.hands[owner.who];
        hands.start == owner.start
            && hands.candidate.is_connected
            && hands.candidate.connection == connection
    }

    fn is_bucket_silent(&self) -> bool {
        self.now < self.election.silent_until.max(self.broker.silent_until)
    }

    /// A claim, a renewal or a release reaches the bucket.
    fn claimed(&mut self, to: (Owner, u64), expected: Sequence, record: &LeaseRecord) {
        if self.is_bucket_silent() {
            return;
        }
        let claim = Publish {
            expected_on_subject: Some(expected.get()),
            ..Publish::new(KEY.to_owned(), record.clone())
        };
        let stored = self.election.bucket.publish(claim);
        if stored.is_ok() {
            self.granted(to.0, record.epoch);
            let author = Some((record.incarnation.clone(), record.nonce));
            for who in 0..self.hands.len() {
                self.answer_candidate(who, Input::Hint(author.clone()));
            }
        }
        if self.is_lost() {
            self.fault("unanswered claims of the lease");
        } else {
            let delay = self.travel();
            let input = Input::Wrote(record.nonce, stream::answer(stored));
            self.mail(delay, Mail::Input(to.0, to.1, input));
        }
    }

    fn answer_candidate(&mut self, who: usize, input: Input) {
        let connection = self.hands[who].candidate.connection;
        let (owner, delay) = (self.owner(who), self.travel());
        self.mail(delay, Mail::Input(owner, connection, input));
    }

    /// An epoch is whose the bucket says.
    pub(crate) fn granted(&mut self, owner: Owner, epoch: Epoch) {
        let before = *self.granted.entry(epoch).or_insert(owner);
        if before != owner {
            let what = format!("{epoch} is that of {before:?} and of {owner:?}");
            self.broker.book.breaks("one leader an epoch", what);
        }
    }

    fn shown(&mut self, owner: Owner, connection: u64, id: u64) {
        if self.is_bucket_silent() || self.is_lost() {
            return;
        }
        let seen = match self.election.record() {
            Some((revision, record)) => Observation::of(revision, &record.encode()),
            None => Observation::ABSENT,
        };
        let delay = self.travel();
        let input = Input::Read(id, ReadAnswer::Seen(seen));
        self.mail(delay, Mail::Input(owner, connection, input));
    }

    /// One input for a candidate, and all that it wants done.
    pub(crate) fn stands(&mut self, who: usize, input: Input) {
        let candidate = &mut self.hands[who].candidate;
        let local = candidate.clock.local(self.now);
        for effect in candidate.contest.handle(local, input) {
            self.stood(who, effect);
        }
    }

    fn stood(&mut self, who: usize, effect: Effect) {
        let owner = self.owner(who);
        let connection = self.hands[who].candidate.connection;
        let delay = self.travel();
        match effect {
            Effect::Notify(notice) => self.noticed(who, &notice),
            Effect::Write { expected, record } => {
                if !self.is_lost() {
                    self.mail(delay, Mail::Write(owner, connection, expected, record));
                }
            }
            Effect::Read(id) => self.mail(delay, Mail::Read(owner, connection, id)),
            Effect::Ping(number, target) => {
                let mut all = self.hands.iter().map(|hands| &hands.candidate);
                let is_there = all.any(|other| other.is_connected && other.me == target);
                let answer = match is_there {
                    true => PingAnswer::Alive,
                    false => PingAnswer::NoResponders,
                };
                self.answer_candidate(who, Input::Pinged(number, answer));
            }
            Effect::Beat => {
                let me = self.hands[who].candidate.me.clone();
                for other in (0..self.hands.len()).filter(|other| *other != who) {
                    self.answer_candidate(other, Input::Beat(me.clone()));
                }
            }
            Effect::Advanced(Ok(epoch)) => self.hear(owner, Event::Won(epoch)),
            Effect::Advanced(Err(_)) => self.hear(owner, Event::NotAdvanced),
            Effect::Resigned(_) | Effect::Distrust | Effect::Trust(..) => {}
        }
    }

    /// What became of a wish of the coordinator's comes on another way than the news.
    fn hear(&mut self, owner: Owner, event: Event<'static>) {
        self.packets.push_back(Packet::Answer { owner, event });
    }

    fn noticed(&mut self, who: usize, notice: &Notice) {
        let news = match notice {
            Notice::Acquired { epoch } => {
                self.broker.book.counts.did("elections won");
                Event::Won(*epoch)
            }
            Notice::Suspended { .. } => Event::Suspended,
            Notice::Resumed { .. } => Event::Resumed,
            Notice::Released { .. } | Notice::Lost { .. } => Event::Lost,
            Notice::StepDownAsked { .. } | Notice::Candidate | Notice::LeaderChanged(_) => return,
        };
        let now = self.now;
        self.broker
            .book
            .tell(|| format!("{now} c{who}: {notice:?}"));
        self.hands[who].news.push_back(news);
    }

    /// Whom the record names.
    pub(crate) fn holder(&self) -> Option<usize> {
        let (_, record) = self.election.record()?;
        let is_it = |who: &usize| self.hands[*who].candidate.me == record.incarnation;
        let held = record.state == LeaseState::Held;
        (0..self.hands.len()).find(is_it).filter(|_| held)
    }

    /// The election's connection of a coordinator is gone for a while; its others are not.
    pub(crate) fn cut(&mut self, who: usize, most: u64) {
        let candidate = &mut self.hands[who].candidate;
        candidate.connection += 1;
        candidate.is_connected = false;
        let connection = candidate.connection;
        self.stands(who, Input::Disconnected);
        let (owner, away) = (self.owner(who), self.rng.below(most));
        self.mail(away, Mail::Connect(owner, connection));
    }

    /// Somebody else is to lead: the holder is cut off, or gives the lease back.
    pub(crate) fn depose(&mut self) {
        let Some(who) = self.holder() else {
            return;
        };
        self.fault("leaders cut off from the election");
        if self.rng.once_in(4) {
            self.stands(who, Input::Resign);
        }
        self.cut(who, AWAY_MAX);
    }

    /// The bucket answers nobody for a while: the holder is suspended if it lasts.
    pub(crate) fn silence(&mut self) {
        self.fault("elections of the bucket");
        let span = Duration::from_millis(self.rng.below(AWAY_MAX));
        self.election.silent_until = self.now.after(span);
    }
}
