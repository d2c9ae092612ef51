//! Many submissions at once: a window of them in flight, their answers on one subscription. What an
//! answer does not decide is settled one by one, as a single submission is.

use async_nats::{Message, StatusCode, Subscriber};
use futures::stream::{ReadyChunks, iter};
use futures::{StreamExt, future};
use protocol::answer::Answer;
use tokio::time::timeout;

use super::request::Prepared;
use super::{ANSWER_WITHIN, Client, SubmitError, Submitted};

/// Most submissions without an answer.
const WINDOW: usize = 1_024;
/// Most submissions that are settled one by one at a time.
const SETTLING_MAX: usize = 64;
/// Most submissions at a coordinator at a time.
const FRONT_WINDOW: usize = 256;

type Prepare = Result<Prepared, SubmitError>;
type Decided = Result<Submitted, SubmitError>;

/// Asks a coordinator for each.
pub(super) async fn front(client: &Client, all: Vec<Prepare>) -> Vec<Decided> {
    iter(all)
        .map(|prepared| async move {
            match prepared {
                Ok(prepared) => client.settle(&prepared, None).await,
                Err(error) => Err(error),
            }
        })
        .buffered(FRONT_WINDOW)
        .collect()
        .await
}

/// Writes each into the ledger.
pub(super) async fn direct(client: &Client, all: Vec<Prepare>) -> Vec<Decided> {
    let answers = pipeline(client, &all).await;
    let settled =
        iter(all.into_iter().zip(answers)).map(|(prepared, answer)| match (prepared, answer) {
            (Err(error), _) => future::Either::Left(future::ready(Err(error))),
            (Ok(_), Answer::Stored(sequence)) => {
                let accepted = sequence.into();
                future::Either::Left(future::ready(Ok(Submitted::Accepted { accepted })))
            }
            (Ok(prepared), answer) => {
                future::Either::Right(async move { client.settle(&prepared, Some(answer)).await })
            }
        });
    settled.buffered(SETTLING_MAX).collect().await
}

/// The first answer of each; `Unanswered` where there was none.
async fn pipeline(client: &Client, all: &[Prepare]) -> Vec<Answer> {
    let mut answers = vec![Answer::Unanswered; all.len()];
    let inbox = client.broker.client().new_inbox();
    let Ok(subscriber) = client.broker.client().subscribe(format!("{inbox}.*")).await else {
        return answers;
    };
    let mut flight = Flight {
        inbox,
        replies: subscriber.ready_chunks(WINDOW),
        open: 0,
    };
    for (at, prepared) in all.iter().enumerate() {
        let Ok(prepared) = prepared else { continue };
        while flight.open >= WINDOW {
            if !flight.land(&mut answers).await {
                return answers;
            }
        }
        if !flight.send(client, at, prepared).await {
            return answers;
        }
    }
    while flight.open > 0 && flight.land(&mut answers).await {}
    answers
}

/// Submissions on their way.
struct Flight {
    inbox: String,
    replies: ReadyChunks<Subscriber>,
    open: usize,
}

impl Flight {
    /// `false`: there is no connection to send on.
    async fn send(&mut self, client: &Client, at: usize, prepared: &Prepared) -> bool {
        if !client.broker.is_connected() {
            return false;
        }
        let Prepared {
            subject,
            headers,
            payload,
            ..
        } = prepared;
        let sent = client.broker.client().publish_with_reply_and_headers(
            subject.clone(),
            format!("{}.{at}", self.inbox),
            headers.clone(),
            payload.clone(),
        );
        let sent = matches!(timeout(ANSWER_WITHIN, sent).await, Ok(Ok(())));
        if sent {
            self.open += 1;
        }
        sent
    }

    /// Waits for some answers. `false`: none came in time, so all that is open is unanswered.
    async fn land(&mut self, answers: &mut [Answer]) -> bool {
        match timeout(ANSWER_WITHIN, self.replies.next()).await {
            Ok(Some(messages)) => {
                for message in &messages {
                    self.take(message, answers);
                }
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    fn take(&mut self, message: &Message, answers: &mut [Answer]) {
        let at = message
            .subject
            .strip_prefix(self.inbox.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|at| at.parse::<usize>().ok());
        let Some(answer) = at.and_then(|at| answers.get_mut(at)) else {
            return;
        };
        self.open = self.open.saturating_sub(1);
        *answer = if message.status == Some(StatusCode::NO_RESPONDERS) {
            Answer::NoResponders
        } else {
            Answer::parse(&message.payload)
        };
    }
}
