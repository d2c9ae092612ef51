//! The one loop of a leader proxy: picks what happens next, gives it to the rules, and carries out what
//! follows. It decides nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use nats_config::{Broker, Names, ReadError, Stored, header as value_of};
use protocol::id::SingletonKey;
use protocol::number::CallNumber;
use protocol::proxy::{
    AskingName, CallFailure, Caller, CallerEffect, CallerInput, CallerRules, Reply, TenureName,
    Verdict, header,
};
use tokio::sync::{mpsc, oneshot};

use super::{CallAnswer, CallRequest, Command};
use crate::clock;
use crate::place::Place;
use crate::under_way::under_way;

/// How long a read of the lease record waits for its answer.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// The longest sleep: on a clock that stands still in suspension, a timer may be late by that.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);
/// Room for the headers of a call in a message.
const HEADERS_LEN_MAX: usize = 1_024;

type Read = BoxFuture<'static, Result<Option<Stored>, ReadError>>;

struct Waiting {
    request: CallRequest,
    reply: oneshot::Sender<Result<CallAnswer, CallFailure>>,
}

/// What happened next.
enum Turn {
    Command(Option<Command>),
    Reply(Option<Message>),
    Hint(Option<Message>),
    Read(Result<Option<Stored>, ReadError>),
    Tick,
}

pub(super) struct Engine {
    caller: Caller,
    broker: Broker,
    key: SingletonKey,
    /// The stream of the bucket, and the subject of the lease record.
    stream: String,
    record: String,
    inbox: String,
    replies: Subscriber,
    hints: Subscriber,
    commands: mpsc::Receiver<Command>,
    waiting: BTreeMap<CallNumber, Waiting>,
    last: CallNumber,
    reading: Option<Read>,
}

/// Connects and subscribes.
pub(super) async fn open(
    place: &Place,
    key: &SingletonKey,
    rules: CallerRules,
    commands: mpsc::Receiver<Command>,
) -> Result<Engine, async_nats::Error> {
    let servers: Vec<&str> = place.servers.split(',').map(str::trim).collect();
    let client: Client = (place.connect)()
        .event_callback(|event| async move { tracing::info!(%event, "connection") })
        .connect(servers)
        .await?;
    let bucket = place.bucket(Names::singletons_bucket);
    let record = format!("$KV.{bucket}.{key}");
    let inbox = client.new_inbox();
    let room = client
        .server_info()
        .max_payload
        .saturating_sub(HEADERS_LEN_MAX);
    let call_len_max = rules.call_len_max.min(room);
    let rules = CallerRules {
        call_len_max,
        ..rules
    };
    Ok(Engine {
        caller: Caller::new(rules, clock::now()),
        replies: client.subscribe(format!("{inbox}.*")).await?,
        hints: client.subscribe(record.clone()).await?,
        broker: Broker::new(client, place.names()).with_timeout(READ_WITHIN),
        key: key.clone(),
        stream: format!("KV_{bucket}"),
        record,
        inbox,
        commands,
        waiting: BTreeMap::new(),
        last: CallNumber::new(0),
        reading: None,
    })
}

impl Engine {
    /// Runs until nobody can call any more, or the connection is closed for good.
    pub(super) async fn run(mut self) {
        loop {
            match self.next().await {
                Turn::Command(Some(command)) => self.take_call(command),
                Turn::Command(None) | Turn::Reply(None) | Turn::Hint(None) => return,
                Turn::Reply(Some(message)) => {
                    if let Some((asking, reply)) = read_reply(&message) {
                        self.give(CallerInput::Replied(asking, reply));
                    }
                }
                Turn::Hint(Some(message)) => {
                    let named = TenureName::of_record(&message.payload);
                    self.give(CallerInput::Hint(named));
                }
                Turn::Read(read) => self.take_read(read),
                Turn::Tick => self.give(CallerInput::Tick),
            }
        }
    }

    async fn next(&mut self) -> Turn {
        let sleep = self.caller.wake_at().since(clock::now()).min(SLEEP_MAX);
        tokio::select! {
            command = self.commands.recv() => Turn::Command(command),
            reply = self.replies.next() => Turn::Reply(reply),
            hint = self.hints.next() => Turn::Hint(hint),
            read = under_way(self.reading.as_mut()) => {
                self.reading = None;
                Turn::Read(read)
            }
            () = tokio::time::sleep(sleep) => Turn::Tick,
        }
    }

    fn take_call(&mut self, Command { request, reply }: Command) {
        let (len, within) = (request.payload.len(), request.within);
        if self.caller.overflow(len).is_some() {
            self.withdraw();
        }
        self.last = self.last.next();
        let call = self.last;
        self.waiting.insert(call, Waiting { request, reply });
        self.give(CallerInput::Call { call, len, within });
    }

    /// Makes room of calls for which nobody waits any more.
    fn withdraw(&mut self) {
        let gone: Vec<CallNumber> = self
            .waiting
            .extract_if(.., |_, waiting| waiting.reply.is_closed())
            .map(|(call, _)| call)
            .collect();
        for call in gone {
            self.give(CallerInput::Withdrawn(call));
        }
    }

    fn take_read(&mut self, read: Result<Option<Stored>, ReadError>) {
        match read {
            Ok(record) => {
                let named = record.and_then(|record| TenureName::of_record(&record.payload));
                self.give(CallerInput::Read(named));
            }
            Err(error) => {
                tracing::debug!(%error, key = %self.key, "who leads was not read");
                self.give(CallerInput::ReadFailed);
            }
        }
    }

    fn give(&mut self, input: CallerInput) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.caller.handle(clock::now(), input) {
                inputs.extend(self.perform(effect));
            }
        }
    }

    /// Carries it out; what is known at once comes back.
    fn perform(&mut self, effect: CallerEffect) -> Option<CallerInput> {
        match effect {
            CallerEffect::Read => {
                let (stream, record) = (self.stream.clone(), self.record.clone());
                let broker = self.broker.clone();
                self.reading = Some(async move { broker.last(&stream, &record).await }.boxed());
                None
            }
            CallerEffect::Ask(asking, tenure) => self.ask(asking, &tenure),
            CallerEffect::End(call, result) => {
                let waiting = self.waiting.remove(&call)?;
                let result = result.map(|(payload, epoch)| CallAnswer {
                    payload: Bytes::from_owner(payload),
                    epoch,
                });
                if waiting.reply.send(result).is_err() {
                    tracing::debug!(key = %self.key, "nobody waits for the answer any more");
                }
                None
            }
        }
    }

    fn ask(&mut self, asking: AskingName, tenure: &TenureName) -> Option<CallerInput> {
        let waiting = self.waiting.get(&asking.call)?;
        if waiting.reply.is_closed() {
            self.waiting.remove(&asking.call);
            return Some(CallerInput::Withdrawn(asking.call));
        }
        let subject = self.broker.subjects().call(&self.key, tenure);
        let reply = format!("{}.{asking}", self.inbox);
        let mut headers = HeaderMap::new();
        headers.insert(header::CALL_ID, waiting.request.id.as_str());
        let payload = waiting.request.payload.clone();
        let client = self.broker.client();
        // Never queued: what cannot be sent now is asked again.
        let publish = client.publish_with_reply_and_headers(subject, reply, headers, payload);
        let sent = self.broker.is_connected() && matches!(publish.now_or_never(), Some(Ok(())));
        (!sent).then_some(CallerInput::Replied(asking, Reply::Unreached))
    }
}

/// What came back; none if no rule of ours made it.
fn read_reply(message: &Message) -> Option<(AskingName, Reply)> {
    let asking = message.subject.rsplit('.').next()?.parse().ok()?;
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Some((asking, Reply::Unreached));
    }
    let headers = message.headers.as_ref()?;
    let epoch = value_of(headers, header::EPOCH)?.parse().ok()?;
    let verdict = value_of(headers, header::VERDICT)?;
    match Verdict::parse(verdict, &message.payload) {
        Ok(verdict) => Some((asking, Reply::Verdict(epoch, verdict))),
        Err(error) => {
            tracing::warn!(%error, "the answer to a call is left out");
            None
        }
    }
}
