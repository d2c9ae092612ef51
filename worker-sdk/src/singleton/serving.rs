//! The leader's side of a leader proxy: takes questions, gives them to the handler, and sends what the
//! desk says. What is begun, remembered and answered is decided in `protocol::proxy`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap, Message, Subscriber, connection};
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use nats_config::Names;
use nats_config::header as value_of;
use protocol::id::{CallId, SingletonKey};
use protocol::number::{Asker, Epoch};
use protocol::proxy::{
    Desk, DeskEffect, DeskInput, DeskRules, Fingerprint, Refusal, Said, Verdict, header,
};

use super::Tenure;
use crate::clock;
use crate::place::Place;

/// The pause between two tries to connect.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
/// How long the last answers may take to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// Room for the headers of an answer in a message.
const HEADERS_LEN_MAX: usize = 1_024;

/// Where calls to a singleton come in.
pub(crate) struct Calls {
    servers: String,
    connect: Arc<dyn Fn() -> ConnectOptions + Send + Sync>,
    names: Names,
    key: SingletonKey,
}

/// Calls are not answered here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// This tenure was served before.
    #[error(
        "answer calls under {0}: this tenure was served before, and what it carried out is not known any more; serve once, for as long as the work lasts"
    )]
    Served(Epoch),
}

/// A call that reached the one who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    id: CallId,
    epoch: Epoch,
    payload: Bytes,
}

impl Call {
    /// What makes it one call, however often and under whichever epoch it is carried out.
    #[must_use]
    pub const fn id(&self) -> &CallId {
        &self.id
    }

    /// The epoch under which it is carried out now: what [`Tenure::token`] says.
    #[must_use]
    pub const fn token(&self) -> Epoch {
        self.epoch
    }

    /// What the caller sent.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }
}

impl fmt::Debug for Calls {
    /// Without the connection options: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Calls {
    pub(crate) fn new(place: &Place, key: SingletonKey) -> Self {
        Self {
            servers: place.servers.clone(),
            connect: Arc::clone(&place.connect),
            names: place.names(),
            key,
        }
    }

    async fn open(&self, tenure: &Tenure) -> Result<(Client, Subscriber), async_nats::Error> {
        let servers: Vec<&str> = self.servers.split(',').map(str::trim).collect();
        let options = (self.connect)();
        let options =
            options.event_callback(|event| async move { tracing::info!(%event, "connection") });
        let client = options.connect(servers).await?;
        let subject = self.names.subjects().call(&self.key, &tenure.name());
        let questions = client.subscribe(subject).await?;
        Ok((client, questions))
    }

    /// None: the run must end before there was a connection.
    async fn open_until(&self, tenure: &Tenure) -> Option<(Client, Subscriber)> {
        loop {
            let opened = tokio::select! {
                () = tenure.cancelled() => return None,
                opened = self.open(tenure) => opened,
            };
            match opened {
                Ok(opened) => return Some(opened),
                Err(error) => tracing::warn!(%error, key = %self.key, "no connection for calls"),
            }
            tokio::select! {
                () = tenure.cancelled() => return None,
                () = tokio::time::sleep(CONNECT_AGAIN) => {}
            }
        }
    }
}

/// What happened next.
enum Turn {
    Question(Option<Message>),
    Ended(CallId, Result<Bytes, Refusal>),
    Cancelled,
}

/// Answers calls until the run must end and what was begun has ended.
pub(super) async fn serve<Fut>(tenure: &Tenure, calls: &Calls, handler: impl Fn(Call) -> Fut)
where
    Fut: Future<Output = Result<Bytes, Refusal>>,
{
    let Some((client, mut questions)) = calls.open_until(tenure).await else {
        return;
    };
    let mut service = Service::new(tenure, calls, client);
    let mut running = FuturesUnordered::new();
    let (mut ending, mut drained) = (false, false);
    while !(ending && running.is_empty()) {
        let turn = tokio::select! {
            question = questions.next(), if !drained => Turn::Question(question),
            Some((id, result)) = running.next() => Turn::Ended(id, result),
            () = tenure.cancelled(), if !ending => Turn::Cancelled,
        };
        let begun = match turn {
            Turn::Question(Some(question)) => service.take_question(question),
            Turn::Question(None) if ending => {
                drained = true;
                None
            }
            // The connection was closed for good.
            Turn::Question(None) => return,
            Turn::Ended(id, result) => {
                service.take_end(id, result);
                None
            }
            Turn::Cancelled => {
                ending = true;
                // From here on the server says that nobody listens; what it has sent is still told.
                let draining = questions.drain().await;
                drained = draining.is_err();
                None
            }
        };
        if let Some(call) = begun {
            let (id, result) = (call.id.clone(), handler(call));
            running.push(async move { (id, result.await) });
        }
    }
    let leave = async {
        while !drained && let Some(question) = questions.next().await {
            service.take_question(question);
        }
        service.client.flush().await
    };
    let left = tokio::time::timeout(LEAVE_WITHIN, leave).await;
    if !matches!(left, Ok(Ok(()))) {
        tracing::debug!(key = %calls.key, "the last answers may not have left");
    }
}

struct Service<'a> {
    tenure: &'a Tenure,
    calls: &'a Calls,
    client: Client,
    desk: Desk,
    askers: BTreeMap<Asker, Message>,
    asker: Asker,
}

impl<'a> Service<'a> {
    fn new(tenure: &'a Tenure, calls: &'a Calls, client: Client) -> Self {
        let rules = DeskRules::default();
        let room = client
            .server_info()
            .max_payload
            .saturating_sub(HEADERS_LEN_MAX);
        let answer_len_max = rules.answer_len_max.min(room);
        Self {
            tenure,
            calls,
            client,
            desk: Desk::new(DeskRules {
                answer_len_max,
                ..rules
            }),
            askers: BTreeMap::new(),
            asker: Asker::new(0),
        }
    }

    /// The call that must be given to the handler, if any.
    fn take_question(&mut self, question: Message) -> Option<Call> {
        let reply = question.reply.as_ref()?;
        // An answer there would be taken for what it is not.
        if !self.calls.names.may_answer(reply) {
            tracing::warn!(%reply, key = %self.calls.key, "a call asks to be answered on a subject that means something");
            return None;
        }
        self.asker = self.asker.next();
        let asker = self.asker;
        let content = Fingerprint::of(&question.payload);
        let id = call_id(&question);
        self.askers.insert(asker, question);
        match id {
            Ok(id) => self.give(DeskInput::Asked { asker, id, content }),
            Err(refusal) => {
                self.answer(asker, &Verdict::Said(Said::Refused(refusal)));
                None
            }
        }
    }

    fn take_end(&mut self, id: CallId, result: Result<Bytes, Refusal>) {
        let said = match result {
            Ok(payload) => Said::Done(payload.as_ref().into()),
            Err(refusal) => Said::Refused(refusal),
        };
        self.give(DeskInput::Ended(id, said));
    }

    fn give(&mut self, input: DeskInput) -> Option<Call> {
        let mut begun = None;
        let right = self.tenure.right();
        for effect in self.desk.handle(clock::now(), right, input) {
            match effect {
                DeskEffect::Begin(asker, id) => {
                    let asked = self.askers.get(&asker);
                    begun = asked.map(|question| Call {
                        id,
                        epoch: self.tenure.token(),
                        payload: question.payload.clone(),
                    });
                }
                DeskEffect::Answer(asker, verdict) => self.answer(asker, &verdict),
                DeskEffect::Leave(asker) => {
                    self.askers.remove(&asker);
                }
            }
        }
        begun
    }

    /// What cannot be sent at once is not sent: later it might not be true any more. Its caller asks
    /// again.
    fn answer(&mut self, asker: Asker, verdict: &Verdict) {
        let Some(reply) = self.askers.remove(&asker).and_then(|asked| asked.reply) else {
            return;
        };
        let wire = verdict.to_wire();
        let mut headers = HeaderMap::new();
        headers.insert(header::EPOCH, self.tenure.token().get().to_string());
        headers.insert(header::VERDICT, wire.verdict);
        let payload = Bytes::from_owner(wire.payload);
        let connected = self.client.connection_state() == connection::State::Connected;
        let sent = self.client.publish_with_headers(reply, headers, payload);
        if !connected || !matches!(sent.now_or_never(), Some(Ok(()))) {
            tracing::debug!(key = %self.calls.key, "an answer was not sent: no connection, or no room");
        }
    }
}

/// A question without an id is a call of its own each time.
fn call_id(question: &Message) -> Result<CallId, Refusal> {
    let given = question.headers.as_ref();
    let given = given.and_then(|headers| value_of(headers, header::CALL_ID));
    let id = match given {
        Some(given) => CallId::new(given),
        None => CallId::new(&nuid::next()),
    };
    id.map_err(|error| Refusal::new("bad-call-id", &error.to_string()))
}
