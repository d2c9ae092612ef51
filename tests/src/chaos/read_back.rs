//! Reads everything back at the end of a run, for the judge: the ledger, the work queue, what passed
//! on the wire, and what the processes left. It judges nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::StreamMessage;
use coordinator::verify::{Expect, verify};
use futures::StreamExt;
use nats_config::Broker;
use rustix::time::{ClockId, clock_gettime};

use crate::book::Book;
use crate::runs;
use crate::wait::{PATIENCE, eventually, within};

use super::arguments::Arguments;
use super::judge::Evidence;
use super::stage::Stage;
use super::submitter::History;
use super::valid::Sightings;

/// How long reading the ledger may take: some hundred thousand records take seconds.
const LEDGER_WITHIN: Duration = Duration::from_secs(180);

/// Ends all processes, and gathers what they left.
///
/// # Errors
/// When something of the broker or of the logs cannot be read.
pub async fn read_back(
    arguments: &Arguments,
    stage: Stage,
    (folder, history): (&Path, History),
) -> Result<(Evidence, Sightings)> {
    let (mut ended, mut pauses, mut processes) = (BTreeMap::new(), Vec::new(), Vec::new());
    // All at once: each may take its time.
    let ends = stage.seats().map(async |seat| {
        let mut member = within("a process to be free", PATIENCE, seat.member.lock()).await?;
        member.end().await.map(|()| member)
    });
    for mut member in futures::future::try_join_all(ends).await? {
        ended.extend(member.ended.iter().copied());
        pauses.extend(member.pauses.iter().copied());
        processes.append(&mut member.wrong);
    }
    let broker = &stage.broker;
    let reading = within("the whole ledger", LEDGER_WITHIN, ledger(broker));
    let (book, stored) = reading.await.flatten()?;
    let work = broker.names().work();
    let work_last = last(broker, work).await?;
    let work_left = eventually("a list of the work queue", PATIENCE, async || {
        broker
            .list_subjects(work, &broker.subjects().work_all())
            .await
    })
    .await?;
    let verifying = Box::pin(verify(broker, Expect::Drained));
    let checker = within("the checker", LEDGER_WITHIN, verifying).await??;
    let heard = stage.wire.close().await;
    let (explained, gaps) = heard.explain(work_last);
    let seen = stage.tap.look(|book| book.subjects.clone());
    let evidence = Evidence {
        load: arguments.load(),
        servers: arguments.replicas,
        book,
        seen,
        stored,
        work: explained,
        work_last,
        gaps,
        work_left,
        runs: runs::read(&runs::folder(folder))?,
        ended,
        pauses,
        history,
        processes,
        checker,
        boot: boot(),
    };
    let sightings = Sightings::new(&evidence, heard.redeliveries, heard.outcomes);
    Ok((evidence, sightings))
}

/// The moment of boot, since 1970. Nobody sets the clocks in a run.
fn boot() -> Duration {
    let unix = clock_gettime(ClockId::Realtime);
    let unix = Duration::new(
        u64::try_from(unix.tv_sec).unwrap_or_default(),
        u32::try_from(unix.tv_nsec).unwrap_or_default(),
    );
    unix.saturating_sub(runs::now())
}

/// The last sequence of a stream.
async fn last(broker: &Broker, stream: &str) -> Result<u64> {
    let what = format!("the state of {stream}");
    let state = eventually(&what, PATIENCE, async || broker.state(stream).await).await?;
    Ok(state.last.get())
}

/// The whole ledger as it is now.
async fn ledger(broker: &Broker) -> Result<(Book, BTreeMap<u64, String>)> {
    let last = last(broker, broker.names().ledger()).await?;
    let jetstream = broker.jetstream();
    let stream = jetstream.get_stream(broker.names().ledger()).await?;
    let consumer = stream.create_consumer(OrderedConfig::default()).await?;
    let mut messages = consumer.messages().await?;
    let (mut book, mut stored) = (Book::default(), BTreeMap::new());
    while book.last < last {
        let next = within("the next record of the ledger", PATIENCE, messages.next());
        let message = next.await?.context("the ledger ended early")??;
        let info = message.info().map_err(|error| anyhow::anyhow!("{error}"))?;
        let record = StreamMessage {
            subject: message.subject.clone(),
            sequence: info.stream_sequence,
            headers: message.headers.clone().unwrap_or_default(),
            payload: message.payload.clone(),
            time: info.published,
        };
        stored.insert(record.sequence, record.subject.to_string());
        book.add(&record);
    }
    Ok((book, stored))
}
