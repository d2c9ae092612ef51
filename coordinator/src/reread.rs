//! Submissions read from the ledger again, payload and headers: those that stand close together in
//! one answer, the others one by one. It reads until it has them, and keeps none.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use nats_config::{Broker, header};
use protocol::number::Accepted;
use serde_json::json;

use crate::payloads::Content;

/// How long a failed read waits.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How far apart two submissions may stand to be read in one answer.
const GAP_MAX: u64 = 4;
/// A stretch of so many is read in order, as a backlog is: what comes after it is needed next.
const IN_ORDER_LEN_MIN: usize = 16;
/// Most messages that are read beyond a stretch.
const AHEAD_MAX: u64 = 1_024;
/// Most bytes of one answer.
const BYTES_MAX: usize = 2 << 20;
/// The broker's mark on the end of an answer of many messages.
const END_OF_BATCH: u16 = 204;

/// Splits jobs into stretches that are worth one answer each.
pub(crate) fn stretches(mut wanted: Vec<Accepted>) -> Vec<Vec<Accepted>> {
    wanted.sort_unstable();
    wanted
        .chunk_by(|one, next| next.get() - one.get() <= GAP_MAX)
        .map(<[Accepted]>::to_vec)
        .collect()
}

/// Reads a stretch of submissions, until all of it is there. What else came along is given, too:
/// records of any kind, by their sequences.
///
/// Any replica may give the many: what stands at a sequence never changes. What it does not give,
/// since it is behind or refuses, is read at the stream's leader.
pub(crate) async fn stretch(broker: Broker, wanted: Vec<Accepted>) -> HashMap<Accepted, Content> {
    let mut found = match wanted.len() {
        0 | 1 => HashMap::new(),
        _ => many(&broker, &wanted).await.unwrap_or_default(),
    };
    let missing = wanted.iter().filter(|one| !found.contains_key(one));
    let missing = missing.map(async |one| (*one, single(&broker, *one).await));
    let missing = join_all(missing).await;
    found.extend(missing);
    found
}

/// Reads one submission at the stream's leader, until it is there.
pub(crate) async fn single(broker: &Broker, accepted: Accepted) -> Content {
    loop {
        match broker.at(broker.names().ledger(), accepted.into()).await {
            Ok(Some(stored)) => {
                return Content::copied(Some(&stored.headers), &stored.payload);
            }
            Ok(None) => tracing::error!(%accepted, "the ledger lost a submission; waiting for it"),
            Err(error) => tracing::debug!(%error, %accepted, "failed to read a submission"),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// One request, many answers. `None`: it was not even asked.
async fn many(broker: &Broker, wanted: &[Accepted]) -> Option<HashMap<Accepted, Content>> {
    let (first, last) = (wanted.first()?.get(), wanted.last()?.get());
    // Whatever stands there: for any other filter the broker counts what is still to come of it,
    // among all subjects of the ledger and for each request.
    let ahead = match wanted.len() {
        IN_ORDER_LEN_MIN.. => AHEAD_MAX,
        _ => 0,
    };
    let batch = last - first + 1 + ahead;
    let request = json!({
        "seq": first, "next_by_subj": ">", "batch": batch, "max_bytes": BYTES_MAX,
    });
    let subject = format!(
        "{}.DIRECT.GET.{}",
        broker.api_prefix(),
        broker.names().ledger()
    );
    let client = broker.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.ok()?;
    let body = Bytes::from(request.to_string());
    client.publish_with_reply(subject, inbox, body).await.ok()?;
    let mut found = HashMap::with_capacity(wanted.len());
    while let Some(message) = next(broker, &mut answers).await {
        let Some(accepted) = sequence(&message) else {
            break;
        };
        let content = Content::copied(message.headers.as_ref(), &message.payload);
        found.insert(accepted, content);
        if accepted.get() >= last + ahead {
            break;
        }
    }
    Some(found)
}

/// The next message of an answer. `None`: it is over, or does not come.
async fn next(broker: &Broker, answers: &mut Subscriber) -> Option<Message> {
    let message = tokio::time::timeout(broker.timeout(), answers.next()).await;
    let message = message.ok().flatten()?;
    match message.status.map(|status| status.as_u16()) {
        None => Some(message),
        Some(END_OF_BATCH) => None,
        Some(code) => {
            tracing::debug!(code, "the ledger's submissions were not read at once");
            None
        }
    }
}

fn sequence(message: &Message) -> Option<Accepted> {
    let sequence = header(message.headers.as_ref()?, "Nats-Sequence")?;
    sequence.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::stretches;
    use protocol::number::Accepted;

    #[test]
    fn what_stands_close_together_is_one_stretch() {
        let wanted = [30, 2, 1, 4, 8, 31, 100].map(Accepted::new).to_vec();
        let all = stretches(wanted);
        let numbers: Vec<Vec<u64>> = all
            .iter()
            .map(|stretch| stretch.iter().map(|one| one.get()).collect())
            .collect();
        assert_eq!(numbers, [vec![1, 2, 4, 8], vec![30, 31], vec![100]]);
        assert!(stretches(Vec::new()).is_empty());
    }
}
