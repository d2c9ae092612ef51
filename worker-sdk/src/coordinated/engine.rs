//! The one loop of a crew's member: picks what happens next, gives it to the rules, and carries out what
//! follows from the top. It decides nothing about shares. The work runs on the user's runtime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use election::{
    DeadMan, Election, ElectionConfig, Mode, Moment, Provision, Snapshot, boot_now, wall_now,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::answer::Answer;
use protocol::crew::{
    Content, CrewRules, Effect, Identity, Input, Key, Member, Notice, ReadAnswer, Standing,
};
use protocol::leadership::{Incarnation, Standing as Elected};
use protocol::number::{Epoch, Sequence};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::contact::{BucketIs, Contact, Inbound, Way};
use super::runs::{Patience, Runs, Work};
use super::share::Trust;
use super::{CoordinatedEnd, CoordinatedError, CrewStatus};
use crate::under_way::under_way;

/// The longest sleep: on a clock that stands still in suspension, a timer may be late by that.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// What the engine is made of.
pub(super) struct Setup {
    pub(super) way: Way,
    pub(super) provision: Provision,
    pub(super) mode: Mode,
    pub(super) rules: CrewRules,
    /// The election of the planner.
    pub(super) planner: ElectionConfig,
    pub(super) work: Work,
    pub(super) user: Handle,
    pub(super) patience: Patience,
    pub(super) notices: Option<mpsc::Sender<Notice>>,
}

/// The ends of the channels to the program.
pub(super) struct Ends {
    pub(super) stop: CancellationToken,
    pub(super) status: watch::Sender<CrewStatus>,
}

/// What happened next.
enum Turn {
    Inbound(Inbound),
    Elected,
    Ended(u32),
    Stop,
    /// The planner's lease was given back.
    Resigned,
    Tick,
}

struct Engine {
    member: Member,
    rules: CrewRules,
    /// Of the process, in each of its lives.
    name: String,
    host: String,
    contact: Contact,
    connected: bool,
    election: Arc<Election>,
    elected: watch::Receiver<Snapshot>,
    planning: Option<Epoch>,
    resigning: Option<BoxFuture<'static, ()>>,
    runs: Runs,
    trust: Arc<Trust>,
    /// In strict mode only. It lives on this thread.
    dead_man: Option<DeadMan>,
    notices: Option<mpsc::Sender<Notice>>,
    ends: Ends,
    stopping: bool,
    /// Who is out joins again from here on.
    rejoin_at: Option<Moment>,
    /// Who has ended all work and cannot say so gives up here.
    give_up_at: Option<Moment>,
}

/// The life of the member's thread. `None`: it did not begin.
pub(super) async fn live(
    setup: Setup,
    ends: Ends,
    ready: oneshot::Sender<Result<(), CoordinatedError>>,
) -> Option<CoordinatedEnd> {
    let told = |told: Result<(), CoordinatedError>| {
        if let Err(Err(error)) = ready.send(told) {
            tracing::warn!(%error, "nobody waits for the crew any more");
        }
    };
    match Engine::begin(setup, ends).await {
        Ok(engine) => {
            told(Ok(()));
            Some(engine.run().await)
        }
        Err(error) => {
            told(Err(error));
            None
        }
    }
}

fn incarnation() -> Incarnation {
    Incarnation::try_from(nuid::next().to_string()).expect("a nuid is letters and digits")
}

impl Engine {
    async fn begin(setup: Setup, ends: Ends) -> Result<Self, CoordinatedError> {
        let mut rules = setup.rules;
        let dead_man = match setup.mode {
            Mode::Strict => Some(DeadMan::new()?),
            Mode::Fenced => None,
        };
        let own = incarnation();
        let contact = Contact::begin(setup.way, own.clone(), setup.provision).await?;
        rules.lease_max = contact.bucket().lease_max;
        let (name, host) = (setup.planner.holder.clone(), setup.planner.host.clone());
        let (election, _unread) = Election::start(setup.planner).await?;
        let trust = Arc::new(Trust::default());
        let identity = identity(own, &name, &host);
        Ok(Self {
            member: Member::new(rules.clone(), identity)?,
            rules,
            name,
            host,
            contact,
            connected: false,
            elected: election.watch(),
            election: Arc::new(election),
            planning: None,
            resigning: None,
            runs: Runs::new(setup.work, setup.user, Arc::clone(&trust), setup.patience),
            trust,
            dead_man,
            notices: setup.notices,
            ends,
            stopping: false,
            rejoin_at: None,
            give_up_at: None,
        })
    }

    async fn run(mut self) -> CoordinatedEnd {
        self.election.campaign();
        self.connected = true;
        self.feed(Input::Connected).await;
        let end = loop {
            match self.next().await {
                Turn::Inbound(inbound) => self.take_inbound(inbound).await,
                Turn::Elected => self.take_elected().await,
                Turn::Ended(number) => self.feed(Input::Ended(number)).await,
                Turn::Stop => self.begin_stop().await,
                Turn::Resigned => {}
                Turn::Tick => self.feed(Input::Tick).await,
            }
            self.runs.abort_overdue(boot_now());
            self.live_again().await;
            self.show();
            if let Some(end) = self.over() {
                break end;
            }
        };
        self.finish(end).await;
        end
    }

    async fn next(&mut self) -> Turn {
        let now = boot_now();
        let wakes = [
            Some(self.member.wake_at()),
            self.runs.wake_at(now),
            self.rejoin_at,
            self.give_up_at,
        ];
        let wake = wakes.into_iter().flatten().min().unwrap_or(now);
        let sleep = wake.since(now).min(SLEEP_MAX);
        let stopping = self.stopping;
        tokio::select! {
            biased;
            () = self.ends.stop.cancelled(), if !stopping => Turn::Stop,
            inbound = self.contact.next() => Turn::Inbound(inbound),
            Ok(()) = self.elected.changed() => Turn::Elected,
            number = self.runs.ended() => Turn::Ended(number),
            () = under_way(self.resigning.as_mut()) => {
                self.resigning = None;
                Turn::Resigned
            }
            () = tokio::time::sleep(sleep) => Turn::Tick,
        }
    }

    async fn take_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Input(input) => self.feed(input).await,
            Inbound::Nothing => {}
            Inbound::Connected(is) => {
                if is == BucketIs::Another {
                    tracing::error!(
                        name = self.name,
                        "the crew's bucket is another one than before: tokens begin anew"
                    );
                    // The own record is not in it, and what was known of the old one says nothing.
                    let own = Key::Member(self.member.identity().incarnation.clone());
                    let gone = Input::Seen(own, Sequence::new(0), Content::Vacant);
                    self.feed(gone).await;
                }
                self.connected = true;
                self.feed(Input::Connected).await;
            }
            Inbound::Disconnected => {
                self.connected = false;
                self.feed(Input::Disconnected).await;
            }
        }
    }

    async fn take_elected(&mut self) {
        let planning = match self.elected.borrow_and_update().standing {
            Elected::Leading(epoch, _) => Some(epoch),
            Elected::Follower
            | Elected::Candidate
            | Elected::Suspended(_)
            | Elected::Resigning(_) => None,
        };
        if planning != self.planning {
            self.planning = planning;
            self.contact.follow_members(planning.is_some());
            self.feed(Input::Planning(planning)).await;
        }
    }

    /// Another plans from now on, while the work here ends.
    async fn begin_stop(&mut self) {
        self.stopping = true;
        self.rejoin_at = None;
        let election = Arc::clone(&self.election);
        self.resigning = Some(async move { election.stop().await }.boxed());
        self.feed(Input::Leave).await;
    }

    /// Gives an input to the rules and performs what follows, and what follows from that.
    async fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            // Read before the first byte of a write leaves: trust counts from here.
            for effect in self.member.handle(boot_now(), input) {
                inputs.extend(self.perform(effect).await);
            }
        }
    }

    async fn perform(&mut self, effect: Effect) -> Option<Input> {
        let link = self.contact.link();
        match effect {
            Effect::Guard(until) => {
                self.trust.set(until);
                if let Some(dead_man) = &mut self.dead_man {
                    dead_man.arm(until);
                }
            }
            Effect::Unguard => {
                self.trust.set(Moment::default());
                if let Some(dead_man) = &mut self.dead_man {
                    dead_man.disarm();
                }
            }
            Effect::Start(grant) => {
                tracing::info!(name = self.name, ?grant, "the work of a share begins");
                self.runs.start(grant);
            }
            Effect::Revoke(number, why) => {
                tracing::info!(
                    name = self.name,
                    number,
                    ?why,
                    "the work of a share must end"
                );
                self.runs.revoke(boot_now(), number);
            }
            Effect::Write {
                id,
                key,
                expected,
                body,
            } => {
                let sent = link.is_some_and(|link| link.write(id, &key, expected, body));
                return (!sent).then_some(Input::Wrote(id, Answer::NoResponders));
            }
            Effect::Read(id, key) => {
                let asked = link.is_some_and(|link| link.read(id, &key));
                return (!asked).then_some(Input::Read(id, ReadAnswer::Failed));
            }
            Effect::List(id) => {
                let asked = link.is_some_and(|link| link.list(id));
                return (!asked).then_some(Input::Listed(id, None));
            }
            Effect::Notify(notice) => self.tell(notice).await,
        }
        None
    }

    async fn tell(&mut self, notice: Notice) {
        let incarnation = &self.member.identity().incarnation;
        tracing::info!(name = self.name, %incarnation, ?notice, "crew");
        self.ends.status.send_modify(|status| match &notice {
            Notice::Planned { revision, members } => {
                status.plan = *revision;
                status.members = *members;
                status.unusable = None;
            }
            Notice::Unusable(why) => status.unusable = Some(why.clone()),
            Notice::Joined | Notice::Suspended | Notice::Resumed => {}
            Notice::Out(_) | Notice::Evicted(_) => {}
        });
        if let Some(notices) = &self.notices
            && notices.send(notice).await.is_err()
        {
            self.notices = None;
        }
    }

    /// Who is out and holds nothing any more joins again as another.
    async fn live_again(&mut self) {
        let is_out = self.member.standing() == Standing::Out && self.runs.is_empty();
        if self.stopping || !is_out {
            return;
        }
        let now = boot_now();
        let soon = now.after(self.rules.timings.renew);
        if now < *self.rejoin_at.get_or_insert(soon) {
            return;
        }
        self.rejoin_at = None;
        let own = incarnation();
        let identity = identity(own.clone(), &self.name, &self.host);
        let member = Member::new(self.rules.clone(), identity);
        self.member = member.expect("the first life was begun by the same rules");
        self.contact.follow_own(own);
        if self.connected {
            self.feed(Input::Connected).await;
        }
        self.feed(Input::Planning(self.planning)).await;
    }

    fn show(&self) {
        let member = matches!(self.member.standing(), Standing::Member(_));
        let shares: Vec<_> = self.runs.held().collect();
        let trouble = self.contact.trouble();
        self.ends.status.send_if_modified(|status| {
            let changed = status.member != member
                || status.shares != shares
                || status.trouble.as_deref() != trouble;
            status.member = member;
            status.shares = shares;
            status.trouble = trouble.map(str::to_owned);
            changed
        });
    }

    fn over(&mut self) -> Option<CoordinatedEnd> {
        if !self.stopping {
            return None;
        }
        let now = boot_now();
        if self.runs.is_stuck(now) {
            return Some(CoordinatedEnd::StillWorking);
        }
        if !self.runs.is_empty() {
            return None;
        }
        if self.member.standing() == Standing::Out {
            return Some(CoordinatedEnd::Left);
        }
        // By then others have waited the lease out.
        let unheard = now.after(self.rules.timings.lease);
        let give_up_at = *self.give_up_at.get_or_insert(unheard);
        (give_up_at <= now).then_some(CoordinatedEnd::Unsaid)
    }

    async fn finish(&mut self, end: CoordinatedEnd) {
        self.trust.set(Moment::default());
        self.runs.cancel_all();
        if end == CoordinatedEnd::StillWorking {
            tracing::error!(name = self.name, "the work does not end: ending without it");
            if let Some(dead_man) = &mut self.dead_man {
                // Nobody else may begin beside it.
                dead_man.arm(boot_now());
            }
        } else if let Some(resigning) = self.resigning.take() {
            resigning.await;
        }
        self.show();
    }
}

fn identity(incarnation: Incarnation, name: &str, host: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        incarnation,
        host: host.to_owned(),
        started: (boot_now(), wall_now()),
    }
}
