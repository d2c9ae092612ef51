//! The inboxes that work arrives in, one after the other. A delivery tells by its inbox when it was
//! asked for at the earliest, and its lease counts from then. Nothing is decided here but when an
//! inbox is due and when nothing can come any more.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures::stream::{Fuse, ReadyChunks};
use futures::{FutureExt, StreamExt};
use protocol::leadership::Moment;
use tokio::task::coop::unconstrained;

use crate::opening::CHUNK;
use crate::pull::SLACK;

/// How long requests for work wait at the broker: of the queue with the shortest lease, and of the one
/// with the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Periods {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

/// What came in by one inbox.
pub(crate) struct Arrived {
    /// Before the first request that named the inbox.
    pub(crate) asked: Moment,
    pub(crate) messages: Vec<Message>,
}

struct Inbox {
    number: u64,
    opened: Moment,
    /// When the last request that named it must be over, once it is named no more.
    closes: Option<Moment>,
    messages: Fuse<ReadyChunks<Subscriber>>,
}

/// All that are open, the oldest first.
pub(crate) struct PullInboxes {
    client: Client,
    prefix: String,
    open: VecDeque<Inbox>,
    last: u64,
}

impl PullInboxes {
    pub(crate) const fn new(client: Client, prefix: String) -> Self {
        Self {
            client,
            prefix,
            open: VecDeque::new(),
            last: 0,
        }
    }

    /// Which inbox to name now: a new one, if the newest was opened a while ago. Closes those into which nothing
    /// can come any more. `None`: the client takes no command at the moment.
    pub(crate) fn renew(&mut self, periods: Periods, now: Moment) -> Option<u64> {
        self.open
            .retain(|inbox| inbox.closes.is_none_or(|closes| now < closes));
        if let Some(newest) = self.open.back()
            && now < newest.opened.after(periods.shortest)
        {
            return Some(newest.number);
        }
        let number = self.last + 1;
        // Unconstrained: it must not seem that there is no room when there is. The broker gets it
        // before any request that names it.
        let subject = format!("{}.{number}.>", self.prefix);
        let subscriber = unconstrained(self.client.subscribe(subject)).now_or_never()?;
        let subscriber = subscriber
            .inspect_err(|error| tracing::warn!(%error, "open an inbox for work"))
            .ok()?;
        if let Some(before) = self.open.back_mut() {
            before.closes = Some(now.after(periods.longest + SLACK));
        }
        self.last = number;
        self.open.push_back(Inbox {
            number,
            opened: now,
            closes: None,
            messages: subscriber.ready_chunks(CHUNK).fuse(),
        });
        Some(number)
    }

    /// What comes next, by whichever inbox. Never, while none is open.
    pub(crate) async fn next(&mut self) -> Arrived {
        poll_fn(|context| {
            for inbox in &mut self.open {
                if let Poll::Ready(Some(messages)) = inbox.messages.poll_next_unpin(context) {
                    let asked = inbox.opened;
                    return Poll::Ready(Arrived { asked, messages });
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Takes no more: what is on its way still arrives.
    pub(crate) async fn drain(&mut self) -> Result<(), async_nats::UnsubscribeError> {
        for inbox in &mut self.open {
            inbox.messages.get_mut().get_mut().drain().await?;
        }
        Ok(())
    }

    /// Whether all are drained and empty.
    pub(crate) fn are_done(&self) -> bool {
        self.open.iter().all(|inbox| inbox.messages.is_done())
    }
}
