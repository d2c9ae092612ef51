//! A member's way to the broker: a connection and its bucket, and another one whenever it breaks.

use async_nats::jetstream::stream::Config;
use election::{Broker, Bucket, BucketError, ConnectError, Provision, ensure_bucket, retry_after};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::crew::Input;
use protocol::leadership::Incarnation;

use super::bucket::faults;
use super::keys::Keys;
use super::link::{Heard, Link, ROOM};

/// How to get to the records of one crew.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) broker: Broker,
    pub(super) keys: Keys,
    /// The stream below the bucket, as it is made.
    pub(super) wanted: Config,
}

/// No usable connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// What came from the broker.
pub(super) enum Inbound {
    Input(Input),
    Nothing,
    /// There is a usable connection.
    Connected(BucketIs),
    /// There is none.
    Disconnected,
}

/// Whether revisions go on as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BucketIs {
    TheSame,
    Another,
}

type Opening = BoxFuture<'static, Result<(Box<Link>, Bucket), OpenError>>;

enum State {
    Opening(Opening),
    Open(Box<Link>),
}

/// The connection that there is, or that is being made.
pub(super) struct Contact {
    way: Way,
    member: Incarnation,
    follows_members: bool,
    state: State,
    bucket: Bucket,
    /// How often in a row something was tried in vain.
    attempt: usize,
    /// Which server the connection is to, or is tried.
    turn: usize,
    trouble: Option<String>,
}

impl Contact {
    /// Tries each server once.
    pub(super) async fn begin(
        way: Way,
        member: Incarnation,
        provision: Provision,
    ) -> Result<Self, OpenError> {
        let turns = way.broker.turns().await;
        let mut turn = 0;
        let (link, bucket) = loop {
            let opened = open(way.clone(), member.clone(), turn, provision).await;
            match opened {
                Err(OpenError::Connect(_)) if turn + 1 < turns => turn += 1,
                opened => break opened?,
            }
        };
        Ok(Self {
            way,
            member,
            follows_members: false,
            state: State::Open(link),
            bucket,
            attempt: 0,
            turn,
            trouble: None,
        })
    }

    pub(super) const fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match &self.state {
            State::Open(link) => Some(link),
            State::Opening(_) => None,
        }
    }

    /// What keeps it from working, if anything does.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Follows the record of another life.
    pub(super) fn follow_own(&mut self, member: Incarnation) {
        if let State::Open(link) = &mut self.state {
            link.follow_own(&member);
        }
        self.member = member;
    }

    /// Follows the records of all members, or no more.
    pub(super) fn follow_members(&mut self, follow: bool) {
        self.follows_members = follow;
        if let State::Open(link) = &mut self.state {
            link.follow_members(follow);
        }
    }

    /// What comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Inbound {
        match &mut self.state {
            State::Opening(opening) => {
                let opened = opening.await;
                self.opened(opened)
            }
            State::Open(link) => {
                let heard = link.next().await;
                self.heard(heard)
            }
        }
    }

    fn heard(&mut self, heard: Heard) -> Inbound {
        match heard {
            Heard::Input(input) => Inbound::Input(input),
            Heard::Nothing => Inbound::Nothing,
            Heard::BucketMissing => {
                self.tell(&BucketError::Gone(self.way.keys.bucket().to_owned()));
                self.open();
                Inbound::Disconnected
            }
            Heard::Down => {
                self.tell(&"the connection to the broker is gone");
                self.turn = self.turn.wrapping_add(1);
                self.open();
                Inbound::Disconnected
            }
        }
    }

    fn opened(&mut self, opened: Result<(Box<Link>, Bucket), OpenError>) -> Inbound {
        match opened {
            Ok((mut link, bucket)) => {
                link.follow_own(&self.member);
                link.follow_members(self.follows_members);
                self.state = State::Open(link);
                self.attempt = 0;
                self.trouble = None;
                let is = if self.bucket.created == bucket.created {
                    BucketIs::TheSame
                } else {
                    BucketIs::Another
                };
                self.bucket = bucket;
                Inbound::Connected(is)
            }
            Err(error) => {
                // The bucket was there when the member began; to make another is an operator's act.
                let error = match error {
                    OpenError::Bucket(BucketError::Missing(bucket)) => {
                        OpenError::Bucket(BucketError::Gone(bucket))
                    }
                    other => other,
                };
                self.tell(&error);
                self.attempt = self.attempt.saturating_add(1);
                self.turn = self.turn.wrapping_add(1);
                self.open();
                Inbound::Nothing
            }
        }
    }

    fn open(&mut self) {
        let (way, member) = (self.way.clone(), self.member.clone());
        let (attempt, turn) = (self.attempt, self.turn);
        let opening = async move {
            tokio::time::sleep(retry_after(attempt)).await;
            open(way, member, turn, Provision::VerifyOnly).await
        };
        self.state = State::Opening(opening.boxed());
    }

    fn tell(&mut self, what: &dyn ToString) {
        let what = what.to_string();
        if self.trouble.as_ref() != Some(&what) {
            tracing::warn!(bucket = self.way.keys.bucket(), "crew: {what}");
            self.trouble = Some(what);
        }
    }
}

async fn open(
    way: Way,
    member: Incarnation,
    turn: usize,
    provision: Provision,
) -> Result<(Box<Link>, Bucket), OpenError> {
    let (client, server) = way.broker.connect_once(&member, turn, ROOM).await?;
    let bucket = ensure_bucket(
        client.clone(),
        (way.keys.bucket(), &way.wanted),
        |actual| faults(actual, &way.wanted),
        provision,
    );
    let bucket = bucket.await?;
    let link = Link::new(client, way.keys, &member).await;
    let link = link.map_err(|error| ConnectError::Unreachable {
        server,
        reason: error.to_string(),
    })?;
    Ok((Box::new(link), bucket))
}
