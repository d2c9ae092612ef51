//! The hands of the coordinators: they carry out effects, whose writes arrive in time, late or
//! without an answer, and bring events back. What the rules say is held against the truth here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use protocol::answer::Answer;
use protocol::coordinator::{Coordinator, Event};
use protocol::effects::{Dispatch, Effects, Stop};
use protocol::id::WorkerId;
use protocol::job::{Job, JobState};
use protocol::leadership::Input;
use protocol::message::WorkerSays;
use protocol::number::{Accepted, Sequence};
use protocol::subject::JobName;
use protocol::takeover::Step;
use protocol::time::Timestamp;
use protocol::workers::{Pong, Rescue};

use crate::book::Stage;
use crate::election::Candidate;
use crate::packet::Packet;
use crate::world::World;

/// After this time a leader must not act any more on what it heard that a worker let go.
const LET_GO_WITHIN: Duration = Duration::from_secs(1);
/// After that time on a connection every worker has said what it holds.
const SAID_WITHIN: Duration = Duration::from_secs(6);

/// One start of a coordinator.
pub(crate) struct Hands {
    pub(crate) rules: Coordinator,
    pub(crate) candidate: Candidate,
    pub(crate) start: u64,
    /// How far its ledger consumer has come.
    pub(crate) folded: u64,
    /// What the election has to say, in order.
    pub(crate) news: VecDeque<Event<'static>>,
    /// Writes into the work queue without an answer.
    in_flight: BTreeSet<u64>,
    /// Deliveries that it handed on.
    handed_on: BTreeSet<u64>,
    /// The newest delivery of each attempt that it heard of, and what was let go, and when.
    pub(crate) heard: BTreeMap<(Accepted, u64), u64>,
    let_go: BTreeMap<String, Timestamp>,
    missing: BTreeSet<WorkerId>,
    /// When it last heard of each delivery, by its ack subject.
    said: BTreeMap<String, Timestamp>,
    /// Until then it has no connection on which it hears workers.
    pub(crate) deaf_until: Option<Timestamp>,
    /// Since its connection, all holders are known from here on.
    known_from: Timestamp,
    /// No write after this tag was sent.
    last_tag: u64,
    /// It folded records that the ledger has lost since.
    pub(crate) is_ahead: bool,
}

/// Whom an answer goes to: a coordinator, and which start of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) who: usize,
    pub(crate) start: u64,
}

/// The writes of one leadership into the work queue.
pub(crate) struct Pipe {
    pub(crate) owner: Option<Owner>,
    pub(crate) writes: VecDeque<Dispatch>,
}

impl Hands {
    pub(crate) fn new(
        now: Timestamp,
        rules: Coordinator,
        candidate: Candidate,
        start: u64,
    ) -> Self {
        Self {
            rules,
            candidate,
            start,
            folded: 0,
            news: VecDeque::new(),
            in_flight: BTreeSet::new(),
            handed_on: BTreeSet::new(),
            heard: BTreeMap::new(),
            let_go: BTreeMap::new(),
            missing: BTreeSet::new(),
            said: BTreeMap::new(),
            deaf_until: None,
            known_from: now.after(SAID_WITHIN),
            last_tag: 0,
            is_ahead: false,
        }
    }

    /// Notes what an event tells, to judge what follows from it.
    fn note(&mut self, now: Timestamp, event: &Event<'_>) {
        match event {
            Event::Connected => self.known_from = now.after(SAID_WITHIN),
            Event::Said(WorkerSays::Here(presence)) => {
                let running = presence.running.iter();
                self.said
                    .extend(running.map(|taken| (taken.ack.clone(), now)));
            }
            Event::Dispatched { tag, .. } => {
                self.in_flight.remove(tag);
            }
            Event::Said(WorkerSays::Took { took: taken, .. }) => {
                for taken in taken {
                    self.said.insert(taken.ack.clone(), now);
                    let at = (taken.accepted, taken.attempt.get());
                    let job = self.rules.ledger().job(taken.accepted);
                    let is_open = |job: &Job| match &job.state {
                        JobState::Open(open) => open.next() == taken.attempt,
                        _ => false,
                    };
                    // What it does not know yet it cannot hold anybody's announcement of.
                    if !job.is_some_and(is_open) {
                        continue;
                    }
                    let newest = self.heard.entry(at).or_default();
                    *newest = taken.delivery.max(*newest);
                }
            }
            Event::Said(WorkerSays::LetGo { let_go, .. }) => {
                let known = let_go.iter().map(|taken| (taken.ack.clone(), now));
                self.let_go.extend(known);
            }
            Event::Ponged(worker, Pong::NoResponders) => {
                self.missing.insert(worker.clone());
            }
            Event::Ponged(worker, Pong::Answered) => {
                self.missing.remove(worker);
            }
            _ => {}
        }
    }

    /// Whether the lease of what is handed on may have ended, or who holds it by now is not known: then
    /// the nak may hit another delivery. It is asked of jobs with a key alone.
    fn is_rash(&self, now: Timestamp, rescue: &Rescue) -> bool {
        let ledger = self.rules.ledger();
        let lease = ledger.job(rescue.accepted).and_then(|job| {
            let (JobName::Named { queue, .. }, JobState::Open(open)) = (&job.name, &job.state)
            else {
                return None;
            };
            open.spec.key.as_ref()?;
            Some(ledger.queue_config(queue)?.work_lease_ms)
        });
        lease.is_some_and(|millis| {
            let half = Duration::from_millis(millis / 2);
            let said = self.said.get(&rescue.ack);
            let is_fresh = said.is_some_and(|at| now.since(*at) < half);
            self.deaf_until.is_some() || now < self.known_from || !is_fresh
        })
    }
}

/// One handing out of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    /// Which message.
    pub(crate) at: u64,
    /// How often it was handed out, as far as the broker remembers.
    pub(crate) count: u64,
    /// Tells it from all others.
    pub(crate) handout: u64,
}

impl Token {
    /// The ack subject of the delivery.
    pub(crate) fn ack(self) -> String {
        format!("{}/{}/{}", self.at, self.count, self.handout)
    }

    fn parse(ack: &str) -> Self {
        let mut numbers = ack.split('/').map(|text| text.parse().expect("a number"));
        let mut next = || numbers.next().expect("an ack subject of ours");
        Self {
            at: next(),
            count: next(),
            handout: next(),
        }
    }
}

impl World {
    pub(crate) fn owner(&self, who: usize) -> Owner {
        let start = self.hands[who].start;
        Owner { who, start }
    }

    /// One event for a coordinator, and all that it wants done.
    pub(crate) fn event(&mut self, who: usize, event: Event<'_>) {
        self.hands[who].note(self.now, &event);
        let effects = self.hands[who].rules.handle(self.now, event);
        self.perform(who, effects);
    }

    pub(crate) fn perform(&mut self, who: usize, effects: Effects) {
        self.look_at(who, &effects);
        self.hand_over(who, effects);
    }

    /// What must hold of a decision, whatever becomes of it.
    fn look_at(&mut self, who: usize, effects: &Effects) {
        let (now, start) = (self.now, self.owner(who).start);
        if !effects.is_empty() {
            let only_pings = Effects {
                pings: effects.pings.clone(),
                ..Effects::default()
            };
            if *effects != only_pings {
                let line = || format!("{now} c{who}.{start}: {effects:?}");
                self.broker.book.tell(line);
            }
        }
        if let Some(stop) = &effects.stop {
            self.stopped(who, stop);
        }
        if self.hands[who].is_ahead && self.hands[who].rules.is_leading() {
            let what = format!("coordinator {who} leads although it folded what is lost");
            self.broker.book.breaks("rolled back", what);
        }
        let rules = &self.hands[who].rules;
        let newest = rules.ledger().newest_epoch();
        if rules.is_leading() && rules.epoch().is_some_and(|own| own < newest) {
            let what = format!("coordinator {who} leads on although it has folded {newest}");
            self.broker.book.breaks("stops at a newer epoch", what);
        }
        for alarm in &effects.alarms {
            let is_find = alarm.contains("vanished") || alarm.contains("no dispatch of ours");
            if is_find && !self.broker.is_touched {
                self.broker.book.breaks("audit", alarm.clone());
            }
        }
    }

    fn hand_over(&mut self, who: usize, effects: Effects) {
        let owner = self.owner(who);
        if effects.drop_writes {
            self.hands[who].in_flight.clear();
            self.drop_pipe(owner);
        }
        if let Some(floor) = effects.advance {
            self.stands(who, Input::Advance(floor));
        }
        if let Some((epoch, step)) = effects.step {
            let folded = self.hands[who].rules.ledger().last_sequence();
            if self.granted.get(&epoch) != Some(&owner) {
                let what = format!("coordinator {who} takes {epoch} for its own");
                self.broker.book.breaks("one leader an epoch", what);
            }
            if step == Step::Look {
                self.broker.book.counts.did("takeovers");
            }
            self.packets.push_back(Packet::Step {
                owner: Some(owner),
                epoch,
                step,
                folded,
            });
        }
        self.send(owner, effects.dispatch);
        for record in effects.records {
            self.packets.push_back(Packet::Write {
                owner: Some(owner),
                record,
            });
        }
        for rescue in effects.rescues {
            self.rescue(who, &rescue);
        }
        for (worker, told) in effects.told {
            self.packets.push_back(Packet::Told { worker, told });
        }
        for worker in effects.pings {
            let pong = match self.hands[who].deaf_until {
                Some(_) => Pong::Silent,
                None => self.pong(&worker),
            };
            let event = Event::Ponged(worker, pong);
            self.packets.push_back(Packet::Answer { owner, event });
        }
        for name in effects.spent {
            self.packets.push_back(Packet::DeleteSpent { name });
        }
        for accepted in effects.reread {
            self.packets.push_back(Packet::Read { owner, accepted });
        }
    }

    fn stopped(&mut self, who: usize, stop: &Stop) {
        if self.hands[who].is_ahead {
            self.broker.book.counts.did("stops");
        } else {
            let what = format!("coordinator {who} stopped: {stop:?}");
            self.broker.book.breaks("goes on", what);
        }
    }

    /// Dispatches, held against what their leader has folded.
    fn send(&mut self, owner: Owner, writes: Vec<Dispatch>) {
        if writes.is_empty() {
            return;
        }
        let hands = &mut self.hands[owner.who];
        let folded = Sequence::new(hands.folded);
        for write in &writes {
            hands.in_flight.insert(write.tag);
            if write.tag <= hands.last_tag {
                let what = format!("the tag {} again", write.tag);
                self.broker.book.breaks("each answer is told apart", what);
            }
            hands.last_tag = write.tag;
            if hands.in_flight.len() > self.width {
                let what = format!(
                    "{} are under way, {} may",
                    hands.in_flight.len(),
                    self.width
                );
                self.broker.book.breaks("window", what);
            }
            let (accepted, attempt) = (write.name.accepted, write.name.attempt.get());
            let Some(entry) = self.broker.book.jobs.get(&accepted) else {
                continue;
            };
            if entry.stage != Stage::Open || attempt != entry.last + 1 {
                continue;
            }
            let is_asked = entry.request.is_some_and(|(_, at)| at <= folded);
            let is_late = |at: Timestamp| at < self.now && entry.replayed == 0;
            let is_late = entry.expires_at.is_some_and(is_late);
            let is_early = entry.due > self.now;
            let what = format!("{accepted} a{attempt} at {} by {:?}", self.now, write.epoch);
            if is_asked {
                self.broker.book.breaks("no dispatch after a request", what);
            } else if is_late {
                self.broker.book.breaks("no start after its time", what);
            } else if is_early {
                self.broker.book.breaks("no start before its time", what);
            }
        }
        let pipe = self.pipes.iter_mut().find(|pipe| pipe.owner == Some(owner));
        match pipe {
            Some(pipe) => pipe.writes.extend(writes),
            None => self.pipes.push(Pipe {
                owner: Some(owner),
                writes: writes.into(),
            }),
        }
    }

    /// What was not handed to the socket is dropped; what was arrives some time.
    fn drop_pipe(&mut self, owner: Owner) {
        let at = self.pipes.iter().position(|pipe| pipe.owner == Some(owner));
        if let Some(at) = at {
            let sent = self.rng.index(self.pipes[at].writes.len() + 1);
            self.pipes[at].writes.truncate(sent);
            self.pipes[at].owner = None;
            if sent > 0 {
                self.fault("ghost dispatches");
            }
        }
    }

    /// A nak of a leader is sent once, and only for what its worker runs no longer.
    fn rescue(&mut self, who: usize, rescue: &Rescue) {
        self.broker.book.counts.did("rescues");
        let token = Token::parse(&rescue.ack);
        let hands = &mut self.hands[who];
        let at = (rescue.accepted, rescue.attempt.get());
        let newest = hands.heard.get(&at).copied().unwrap_or_default();
        let is_repeated = !hands.handed_on.insert(token.handout);
        let let_go = hands.let_go.get(&rescue.ack).copied();
        let is_here = !hands.missing.contains(&rescue.worker);
        let is_over = hands
            .rules
            .ledger()
            .job(rescue.accepted)
            .is_none_or(|job| job.state.last() >= rescue.attempt);
        let holder = self.holders.get(&token.handout).copied();
        let is_anothers = holder.is_some_and(|n| self.workers[n].id != rescue.worker);
        let known_from = hands.known_from;
        let is_rash = hands.is_rash(self.now, rescue);
        let is_late = let_go.is_some_and(|at| self.now.since(known_from.max(at)) >= LET_GO_WITHIN);
        let wrong = [
            (is_repeated, "is repeated"),
            (
                token.count < newest,
                "is for a delivery that a newer one replaced",
            ),
            (is_anothers, "hits another worker's delivery"),
            (is_over, "is for an attempt with its outcome"),
            (is_here && let_go.is_none(), "is for a worker that is here"),
            (is_here && is_late, "comes long after it was let go"),
            (is_rash, "of a job with a key may hit another delivery"),
        ];
        if let Some((_, why)) = wrong.iter().find(|(is, _)| *is) {
            let what = format!("a nak of {} {} {why}", rescue.accepted, rescue.attempt);
            self.broker.book.breaks("nak", what);
        }
        // Its worker is back and nobody has heard of it yet: a second run, as the design says.
        if holder.is_some_and(|n| self.workers[n].is_reached() || self.workers[n].is_paused)
            && let Some(work) = self.broker.work_mut(token.at)
            && let_go.is_none()
        {
            work.is_tainted = true;
        }
        let delay = rescue.delay;
        self.packets.push_back(Packet::Nak { token, delay });
    }

    /// An epoch for a coordinator without an election.
    pub(crate) fn grant(&mut self, who: usize) {
        let newest = self.granted.keys().last().copied().unwrap_or_default();
        self.granted(self.owner(who), newest.next());
        self.hands[who].news.push_back(Event::Won(newest.next()));
    }

    /// The process dies and starts again, having folded nothing.
    pub(crate) fn crash(&mut self, who: usize) {
        self.drop_pipe(self.owner(who));
        let start = self.hands[who].start + 1;
        let candidate = self.candidate(Owner { who, start });
        self.hands[who] = Hands::new(self.now, self.coordinator(), candidate, start);
    }

    /// Up to `most` records are folded.
    pub(crate) fn fold(&mut self, who: usize, most: u64) -> bool {
        let mut has_folded = false;
        for _ in 0..most {
            let next = self.hands[who].folded + 1;
            let (now, rules) = (self.now, &mut self.hands[who].rules);
            let Some(stored) = self.broker.stored(next) else {
                break;
            };
            let effects = crate::broker::with_record(stored, next, |record| {
                rules.handle(now, Event::Record(record))
            });
            self.hands[who].folded = next;
            self.perform(who, effects);
            has_folded = true;
        }
        has_folded
    }

    pub(crate) fn news(&mut self, who: usize) -> bool {
        let news = self.hands[who].news.pop_front();
        let has_news = news.is_some();
        if let Some(event) = news {
            self.event(who, event);
        }
        has_news
    }

    /// The next write of a pipe arrives; or its leader gave up waiting before (`is_late`).
    pub(crate) fn pipe(&mut self, at: usize, is_late: bool) {
        let owner = self.pipes[at].owner;
        if is_late && self.pipes[at].writes.len() > 1 && self.rng.once_in(2) {
            self.fault("reordered dispatches");
            self.pipes[at].writes.swap(0, 1);
        }
        if let (true, Some(owner), Some(write)) = (is_late, owner, self.pipes[at].writes.front()) {
            let (tag, answer) = (write.tag, Answer::Unanswered);
            let event = Event::Dispatched { tag, answer };
            self.packets.push_back(Packet::Answer { owner, event });
            // The write itself is on its way all the same, and what follows it too; or it is lost.
            if self.rng.once_in(2) {
                self.pipes[at].writes.pop_front();
            }
            self.fault("unanswered dispatches");
        } else if let Some(write) = self.pipes[at].writes.pop_front() {
            let answer = self.broker.dispatch(self.now, &write);
            let event = Event::Dispatched {
                tag: write.tag,
                answer,
            };
            self.packets
                .extend(owner.map(|owner| Packet::Answer { owner, event }));
        }
        self.pipes.retain(|pipe| !pipe.writes.is_empty());
    }
}
