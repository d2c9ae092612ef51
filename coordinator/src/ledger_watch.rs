//! Whether the ledger is there, is the one that was folded, can be read, and how full it is: asked at
//! its stream leader, and told to an operator when a leader gets no answer for longer than an election
//! of the broker takes. It decides nothing about a job.

use std::time::Duration;

use futures::FutureExt;
use nats_config::{Broker, Door, ReadError};
use protocol::coordinator::LedgerFacts;
use protocol::door::Usage;
use protocol::leadership::Moment;
use protocol::ledger::RecordIdentity;
use protocol::number::Epoch;

use crate::driver::Driver;
use crate::inputs::Done;
use crate::steps::{self, Identity};

/// How often the ledger is asked while leading.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often a follower asks.
const FOLLOWER_ASKS_EVERY: Duration = Duration::from_secs(5);
/// The broker must say for so long, and so often, that there is no ledger.
const GONE_FOR: (Duration, u32) = (Duration::from_secs(3), 3);
/// A broker's election takes up to 8 s, and one after another may follow: less is weather.
const SILENT_MAX: Duration = Duration::from_secs(15);

/// What the ledger's stream answered.
pub(crate) struct LedgerAnswer {
    /// How full it is.
    pub(crate) usage: Usage,
    /// Whether its door is open.
    pub(crate) is_open: bool,
    /// What it is.
    pub(crate) facts: LedgerFacts,
    /// What was folded last when it was asked.
    pub(crate) then: Option<RecordIdentity>,
    /// Who answered.
    pub(crate) server: String,
}

/// What is known of the ledger's answers.
#[derive(Debug)]
pub(crate) struct LedgerWatch {
    asked: Moment,
    silent: Option<Silent>,
    /// Since when, and how often, the broker said that there is no ledger.
    gone: Option<(Moment, u32)>,
    /// When it answered last, and which server did.
    read: Option<(Moment, String)>,
}

#[derive(Debug)]
struct Silent {
    since: Moment,
    why: String,
    told: bool,
}

impl LedgerWatch {
    pub(crate) const fn new(now: Moment) -> Self {
        Self {
            asked: now,
            silent: None,
            gone: None,
            read: None,
        }
    }

    /// Whether to ask now. Silence while others lead is theirs to tell.
    pub(crate) fn is_due(&mut self, now: Moment, is_leading: bool) -> bool {
        if !is_leading {
            self.silent = None;
        }
        let every = match is_leading || self.gone.is_some() {
            true => ASK_EVERY,
            false => FOLLOWER_ASKS_EVERY,
        };
        let is_due = now.since(self.asked) >= every;
        if is_due {
            self.asked = now;
        }
        is_due
    }

    /// The broker says that there is no ledger. Whether that is sure by now.
    pub(crate) fn is_gone(&mut self, now: Moment) -> bool {
        let (since, count) = self.gone.get_or_insert((now, 0));
        *count += 1;
        now.since(*since) >= GONE_FOR.0 && *count >= GONE_FOR.1
    }

    /// The server that answers reads of the ledger now.
    pub(crate) fn reader(&self, now: Moment) -> Option<&str> {
        let (at, server) = self.read.as_ref()?;
        (now.since(*at) <= FOLLOWER_ASKS_EVERY * 2).then_some(server)
    }

    /// It answered, by this server.
    pub(crate) fn answered(&mut self, now: Moment, server: String) {
        self.gone = None;
        self.read = Some((now, server));
        if self.silent.take().is_some_and(|silent| silent.told) {
            tracing::info!("the ledger answers again");
        }
    }

    /// It did not answer, for this reason.
    pub(crate) fn unanswered(&mut self, now: Moment, why: String) {
        let silent = self.silent.get_or_insert(Silent {
            since: now,
            why: String::new(),
            told: false,
        });
        silent.why = why;
        if !silent.told && now.since(silent.since) >= SILENT_MAX {
            silent.told = true;
            if let Some(text) = self.alarm(now) {
                tracing::error!("{text}");
            }
        }
    }

    /// What an operator should know.
    pub(crate) fn alarm(&self, now: Moment) -> Option<String> {
        let silent = self.silent.as_ref()?;
        let span = now.since(silent.since);
        (span >= SILENT_MAX).then(|| {
            format!(
                "the ledger has not answered for {} s ({}): nothing is accepted or recorded; see \"A ledger that does not answer\" in docs/operating.md",
                span.as_secs(),
                silent.why
            )
        })
    }
}

/// Asks when it is time to.
pub(crate) fn look(driver: &mut Driver, now: Moment) {
    if driver.watch.is_due(now, driver.rules.is_leading()) {
        let folded = driver.rules.ledger().last().cloned();
        let asked = ask(driver.broker.clone(), folded);
        driver.under_way.push(asked.boxed());
    }
}

/// Asks how full the ledger is and whether its door is open, and reads the record that was folded
/// last: a stream that stopped still tells its size.
async fn ask(broker: Broker, folded: Option<RecordIdentity>) -> Done {
    let ledger = broker.names().ledger();
    let state = match broker.state(ledger).await {
        Ok(state) => state,
        Err(ReadError::NoStream { .. }) => return Done::NoLedger,
        Err(error) => return Done::Unanswered(error.to_string()),
    };
    let at_folded = match &folded {
        None => Ok(None),
        Some(folded) => broker.at(ledger, folded.sequence).await,
    };
    let at_folded = match at_folded {
        Ok(at_folded) => at_folded.map(steps::identity),
        Err(error) => return Done::Unanswered(error.to_string()),
    };
    fail_point!("coordinator.door-look");
    let limit = u64::try_from(state.config.max_bytes)
        .ok()
        .filter(|limit| *limit > 0);
    let is_open = broker.door_in(&state) == Door::Open;
    let usage = Usage {
        used: state.bytes,
        limit,
    };
    let facts = LedgerFacts {
        created: state.created,
        last: state.last,
        at_folded,
    };
    let server = state
        .leader
        .unwrap_or_else(|| broker.client().server_info().server_name);
    Done::Ledger(LedgerAnswer {
        usage,
        is_open,
        facts,
        then: folded,
        server,
    })
}

/// Asks the ledger to store the leader's barrier once more. One that takes writes refuses it, since
/// the subject is taken; a server whose disk was full does not answer, though it answers reads. In a
/// ledger that went back it may be stored, which changes nothing: its epoch is ours.
pub(crate) async fn probe(broker: Broker, me: Identity, epoch: Epoch) -> Done {
    Done::Probed(steps::barrier(&broker, &me, epoch).await)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::leadership::Moment;

    use super::LedgerWatch;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn silence_is_told_when_it_is_longer_than_an_election() {
        let mut watch = LedgerWatch::new(at(0));
        assert!(watch.is_due(at(1), true));
        assert!(!watch.is_due(at(1), true), "one question at a time");
        watch.unanswered(at(1), "first".to_owned());
        watch.unanswered(at(15), "second".to_owned());
        assert_eq!(watch.alarm(at(15)), None);
        let alarm = watch.alarm(at(16)).expect("15 s have passed");
        assert!(alarm.contains("15 s (second)"), "{alarm}");
        watch.answered(at(17), "n1".to_owned());
        assert_eq!(watch.alarm(at(99)), None);
        watch.unanswered(at(100), String::new());
        watch.is_due(at(101), false);
        assert_eq!(watch.alarm(at(200)), None, "another leads");
    }

    #[test]
    fn a_follower_asks_less_often_until_the_ledger_seems_to_be_gone() {
        let mut watch = LedgerWatch::new(at(0));
        assert!(!watch.is_due(at(1), false));
        assert!(watch.is_due(at(5), false));
        assert!(!watch.is_gone(at(5)));
        assert!(watch.is_due(at(6), false));
        assert!(!watch.is_gone(at(6)));
        assert!(watch.is_gone(at(8)), "three times within three seconds");
        watch.answered(at(17), "n1".to_owned());
        assert!(!watch.is_gone(at(20)), "it was there meanwhile");
    }
}
