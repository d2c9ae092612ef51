//! Follows the ledger record by record, so that a test waits for what it says.
//!
//! It asks the leader of the stream for the next records: one at the end of the ledger, more at a
//! time the further it is behind. That is simple, and the same through kills, elections and restarts.
//! It never writes.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::{self, Context};
use futures::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::book::Book;
use crate::wait::within;

/// How long one read may take: an unanswered one is normal while a server is down.
const ANSWER: Duration = Duration::from_millis(500);

/// Between two looks at the end of the ledger.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Most records that are asked for at once.
const AT_ONCE_MAX: u64 = 64;

/// The records of a ledger, as they come.
pub struct Tap {
    book: Arc<RwLock<Book>>,
    changed: watch::Receiver<u64>,
    /// Aborted when it is dropped.
    _task: JoinSet<()>,
}

impl Tap {
    /// Follows the stream `ledger`, which may not be there yet.
    #[must_use]
    pub fn open(client: &async_nats::Client, ledger: &str) -> Self {
        let book = Arc::new(RwLock::new(Book::default()));
        let (changes, changed) = watch::channel(0);
        let (own, ledger) = (Arc::clone(&book), ledger.to_owned());
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (mut next, mut at_once) = (1, 1);
            let mut looks = tokio::time::interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let records = next_records(&context, &ledger, (next, at_once)).await;
                let is_behind = records.len() as u64 == at_once;
                for record in &records {
                    // Where some are gone, several questions have one answer.
                    if record.sequence >= next {
                        next = record.sequence + 1;
                        own.write()
                            .unwrap_or_else(PoisonError::into_inner)
                            .add(record);
                    }
                }
                if !records.is_empty() {
                    changes.send_replace(next - 1);
                }
                at_once = match is_behind {
                    true => AT_ONCE_MAX.min(at_once * 2),
                    false => 1,
                };
                if !is_behind {
                    looks.tick().await;
                }
            }
        });
        Self {
            book,
            changed,
            _task: task,
        }
    }

    /// What is known by now.
    pub fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `look` finds what it looks for; it is asked after each record.
    ///
    /// # Errors
    /// After `limit`, with what was awaited and where the ledger stands.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Book) -> Option<T>,
    ) -> Result<T> {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = self.look(&mut look) {
                    return Ok(found);
                }
                changed.changed().await.context("the tap has ended")?;
            }
        };
        within(what, limit, waiting).await.flatten().with_context(|| {
            self.look(|book| {
                let open = book.open();
                format!(
                    "the ledger stands at {}: {} jobs, {} ended, open {:?}, led by {:?}, wrong {:?}",
                    book.last,
                    book.jobs.len(),
                    book.ended(),
                    &open[..open.len().min(10)],
                    book.epochs,
                    book.wrong
                )
            })
        })
    }
}

/// The first records at or after each of `count` sequences from `from` on, in their order, up to the
/// first that is not there. A failure is an end of the ledger, an election or a server that is down.
async fn next_records(
    context: &Context,
    ledger: &str,
    (from, count): (u64, u64),
) -> Vec<StreamMessage> {
    let Ok(stream) = context.get_stream_no_info(ledger).await else {
        return Vec::new();
    };
    let stream = &stream;
    futures::stream::iter(from..from + count)
        .map(async |sequence| {
            let record = stream.get_first_raw_message_by_subject(">", sequence);
            record.await.ok()
        })
        .buffered(usize::try_from(count).unwrap_or(1))
        .take_while(|record| futures::future::ready(record.is_some()))
        .filter_map(futures::future::ready)
        .collect()
        .await
}
