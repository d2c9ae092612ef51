//! The one loop of an election: picks what happens next, gives it to the rules, performs what
//! follows from the top. It decides nothing itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::leadership::{
    AdvanceRefused, Contest, Effect, Incarnation, Input, Moment, Notice, ResignRefused, Standing,
};
use protocol::number::Epoch;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bucket::{Bucket, BucketError};
use crate::clock::boot_now;
use crate::config::{ElectionConfig, Provision};
use crate::connecting::{ConnectError, connect, retry_after, verify};
use crate::handle::{Command, Snapshot, Wishes};
use crate::link::{Inbound, Link};
use crate::permit::{Progress as Reported, Trust};
use crate::second_link::answer_pings;

/// The longest sleep: on a clock that stands still in suspension, a timer may be late by that.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// The ends of the channels to the program.
pub(crate) struct Ends {
    pub(crate) trust: Arc<Trust>,
    pub(crate) progress: Arc<Reported>,
    pub(crate) state: watch::Sender<Snapshot>,
    pub(crate) events: mpsc::Sender<Notice>,
    pub(crate) wishes: watch::Receiver<Wishes>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) stop: CancellationToken,
}

/// Work towards a usable connection came to this.
enum Progress {
    Connected(Result<Box<Link>, ConnectError>),
    Verified(Result<Bucket, BucketError>),
}

/// What happened next.
enum Turn {
    Inbound(Inbound),
    Progress(Progress),
    Command(Command),
    Wishes,
    Stop,
    Tick,
}

pub(crate) struct Driver {
    config: ElectionConfig,
    incarnation: Incarnation,
    contest: Contest,
    ends: Ends,
    link: Option<Link>,
    background: Option<BoxFuture<'static, Progress>>,
    /// How often in a row something was tried in vain.
    attempt: usize,
    /// Which server the connection is to, or is tried.
    turn: usize,
    /// Which server the connection is to, or was.
    connected_to: watch::Sender<usize>,
    /// Answers pings at another server, as long as this loop runs.
    _second: JoinSet<()>,
    usable: bool,
    bucket: Bucket,
    trouble: Option<String>,
    wished: Wishes,
    progressed: Moment,
    advancing: Option<oneshot::Sender<Result<Epoch, AdvanceRefused>>>,
    resigning: Vec<oneshot::Sender<Result<(), ResignRefused>>>,
    stop_by: Option<Moment>,
}

impl Driver {
    pub(crate) fn new(
        config: ElectionConfig,
        (incarnation, contest): (Incarnation, Contest),
        (link, turn, bucket): (Link, usize, Bucket),
        ends: Ends,
    ) -> Self {
        let (connected_to, first) = watch::channel(turn);
        let mut second = JoinSet::new();
        second.spawn(answer_pings(config.clone(), incarnation.clone(), first));
        Self {
            connected_to,
            _second: second,
            config,
            incarnation,
            contest,
            ends,
            link: Some(link),
            background: None,
            attempt: 0,
            turn,
            usable: false,
            bucket,
            trouble: None,
            wished: Wishes::default(),
            progressed: Moment::default(),
            advancing: None,
            resigning: Vec::new(),
            stop_by: None,
        }
    }

    /// Runs until it is stopped or the program has dropped its end.
    pub(crate) async fn run(mut self) {
        self.usable = true;
        self.feed(Input::Connected).await;
        loop {
            match self.next().await {
                Turn::Inbound(inbound) => self.take_inbound(inbound).await,
                Turn::Progress(progress) => self.take_progress(progress).await,
                Turn::Command(command) => self.take_command(command).await,
                Turn::Wishes => self.take_wishes().await,
                Turn::Stop => self.begin_stop().await,
                Turn::Tick => self.feed(Input::Tick).await,
            }
            let stands = !matches!(self.contest.standing(), Standing::Follower);
            if let Some(stop_by) = self.stop_by
                && (!stands || stop_by <= boot_now())
            {
                break;
            }
        }
        self.feed(Input::Stop).await;
    }

    async fn next(&mut self) -> Turn {
        let wake = self.stop_by.map_or(self.contest.wake_at(), |stop_by| {
            self.contest.wake_at().min(stop_by)
        });
        let sleep = wake.since(boot_now()).min(SLEEP_MAX);
        let stopping = self.stop_by.is_some();
        tokio::select! {
            biased;
            () = self.ends.stop.cancelled(), if !stopping => Turn::Stop,
            inbound = next_inbound(self.link.as_mut()) => Turn::Inbound(inbound),
            progress = next_progress(self.background.as_mut()) => {
                self.background = None;
                Turn::Progress(progress)
            }
            Some(command) = self.ends.commands.recv() => Turn::Command(command),
            Ok(()) = self.ends.wishes.changed() => Turn::Wishes,
            () = tokio::time::sleep(sleep) => Turn::Tick,
        }
    }

    /// Gives an input to the rules and performs what follows, and what follows from that.
    async fn feed(&mut self, input: Input) {
        let progress = self.progress();
        let mut inputs: VecDeque<Input> = progress.into_iter().chain([input]).collect();
        while let Some(input) = inputs.pop_front() {
            // Read before the first byte of a write leaves: trust counts from here.
            let effects = self.contest.handle(boot_now(), input);
            self.show_state();
            for effect in effects {
                inputs.extend(self.perform(effect).await);
            }
        }
    }

    /// What the program reported since it was last asked.
    fn progress(&mut self) -> Option<Input> {
        let latest = self.ends.progress.latest();
        let newer = latest > self.progressed;
        self.progressed = latest;
        newer.then_some(Input::Progressed(latest))
    }

    async fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Distrust => self.ends.trust.withdraw(),
            Effect::Trust(epoch, until) => self.ends.trust.grant(epoch, until),
            Effect::Notify(notice) => self.tell(notice).await,
            // Without a link nothing is asked; the rules do not write while disconnected.
            Effect::Write { expected, record } => {
                return self.link.as_ref()?.write(expected, &record);
            }
            Effect::Read(id) => return self.link.as_ref()?.read(id),
            Effect::Ping(number, incarnation) => self.link.as_ref()?.ping(number, &incarnation),
            Effect::Beat => self.link.as_ref()?.beat(),
            Effect::Advanced(result) => {
                if let Some(reply) = self.advancing.take()
                    && reply.send(result).is_err()
                {
                    tracing::debug!("nobody waits for the new epoch any more");
                }
            }
            Effect::Resigned(result) => {
                for reply in self.resigning.drain(..) {
                    if reply.send(result.clone()).is_err() {
                        tracing::debug!("nobody waits for the resignation any more");
                    }
                }
            }
        }
        None
    }

    async fn tell(&mut self, notice: Notice) {
        tracing::info!(
            bucket = %self.config.bucket, key = %self.config.key, holder = %self.config.holder,
            incarnation = %self.incarnation, ?notice, "election"
        );
        tokio::select! {
            biased;
            sent = self.ends.events.send(notice) => {
                if sent.is_err() {
                    tracing::trace!("nobody reads the events");
                }
            }
            // A program that stops the election need not read what it has not read.
            () = self.ends.stop.cancelled() => {}
        }
    }

    fn show_state(&self) {
        let state = Snapshot {
            standing: self.contest.standing(),
            leader: self.contest.leader().cloned(),
            connected: self.usable,
            trouble: self.trouble.clone(),
            tally: self.contest.tally(),
        };
        self.ends.state.send_if_modified(|shown| {
            let changed = *shown != state;
            *shown = state;
            changed
        });
    }

    async fn take_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Input(input) => self.feed(input).await,
            Inbound::Nothing => {}
            Inbound::BucketMissing => {
                self.trouble(&BucketError::Gone(self.config.bucket.clone()));
                self.disconnected().await;
                self.begin_verify();
            }
            Inbound::Down => {
                self.trouble(&"the connection to the broker is gone");
                self.link = None;
                self.attempt = 0;
                self.turn = self.turn.wrapping_add(1);
                self.disconnected().await;
                self.begin_connect();
            }
        }
    }

    async fn disconnected(&mut self) {
        self.usable = false;
        self.feed(Input::Disconnected).await;
    }

    fn begin_connect(&mut self) {
        let (config, incarnation) = (self.config.clone(), self.incarnation.clone());
        let (attempt, turn) = (self.attempt, self.turn);
        let work = async move {
            tokio::time::sleep(retry_after(attempt)).await;
            let link = connect(config, incarnation, turn).await;
            Progress::Connected(link.map(Box::new))
        };
        self.background = Some(work.boxed());
    }

    fn begin_verify(&mut self) {
        let Some(link) = &self.link else {
            return;
        };
        let (client, config) = (link.client.clone(), self.config.clone());
        let attempt = self.attempt;
        let work = async move {
            tokio::time::sleep(retry_after(attempt)).await;
            Progress::Verified(verify(client, config, Provision::VerifyOnly).await)
        };
        self.background = Some(work.boxed());
    }

    async fn take_progress(&mut self, progress: Progress) {
        match progress {
            Progress::Connected(Ok(link)) => {
                self.link = Some(*link);
                self.attempt = 0;
                self.connected_to.send_replace(self.turn);
                self.begin_verify();
            }
            Progress::Connected(Err(error)) => {
                self.trouble(&error);
                self.attempt = self.attempt.saturating_add(1);
                self.turn = self.turn.wrapping_add(1);
                self.begin_connect();
            }
            Progress::Verified(Ok(bucket)) => self.usable_again(bucket).await,
            Progress::Verified(Err(error)) => {
                // The bucket was there when the election began.
                let error = match error {
                    BucketError::Missing(bucket) => BucketError::Gone(bucket),
                    other => other,
                };
                self.trouble(&error);
                self.attempt = self.attempt.saturating_add(1);
                self.begin_verify();
            }
        }
    }

    async fn usable_again(&mut self, bucket: Bucket) {
        self.attempt = 0;
        self.usable = true;
        self.trouble = None;
        if self.bucket.created != bucket.created {
            tracing::error!(
                bucket = %self.config.bucket, before = %self.bucket.created, now = %bucket.created,
                "the election's bucket is another one than before: revisions begin anew"
            );
            self.feed(Input::BucketReplaced).await;
        }
        self.bucket = bucket;
        self.feed(Input::Connected).await;
    }

    fn trouble(&mut self, what: &dyn ToString) {
        let what = what.to_string();
        if self.trouble.as_ref() != Some(&what) {
            tracing::warn!(bucket = %self.config.bucket, key = %self.config.key, "election: {what}");
            self.trouble = Some(what);
        }
        self.show_state();
    }

    async fn take_command(&mut self, command: Command) {
        match command {
            Command::Advance(floor, reply) => {
                if self
                    .advancing
                    .as_ref()
                    .is_some_and(|waiting| !waiting.is_closed())
                {
                    if reply.send(Err(AdvanceRefused::UnderWay)).is_err() {
                        tracing::debug!("nobody waits for the refusal");
                    }
                    return;
                }
                self.advancing = Some(reply);
                self.feed(Input::Advance(floor)).await;
            }
            Command::Resign(reply) => {
                self.resigning.push(reply);
                self.feed(Input::Resign).await;
                // A wish to stand again may have come meanwhile.
                self.wished.campaign = false;
                self.take_wishes().await;
            }
        }
    }

    async fn take_wishes(&mut self) {
        let wishes = *self.ends.wishes.borrow_and_update();
        if wishes.floor > self.wished.floor {
            self.feed(Input::Floor(wishes.floor)).await;
        }
        if wishes.campaign != self.wished.campaign {
            let input = if wishes.campaign {
                Input::Campaign
            } else {
                Input::Withdraw
            };
            self.feed(input).await;
        }
        self.wished = wishes;
    }

    async fn begin_stop(&mut self) {
        self.stop_by = Some(boot_now().after(self.config.timings.request * 2));
        self.feed(Input::Resign).await;
    }
}

async fn next_inbound(link: Option<&mut Link>) -> Inbound {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

async fn next_progress(work: Option<&mut BoxFuture<'static, Progress>>) -> Progress {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
