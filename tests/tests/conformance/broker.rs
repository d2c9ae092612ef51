//! A script on a real nats-server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{
    Config, DeleteMessageErrorKind, LastRawMessageErrorKind, RawMessageErrorKind,
};
use async_nats::{Client, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use nats_config::{Names, Settings, buckets, consumers, streams};
use protocol::id::Namespace;
use tests::Server;
use tests::raw::{Answer, Message, atomic_batch, publish_raw};
use tests::wait::{PATIENCE, within};

use crate::script::{Put, Script, Step, StreamKind};

/// A server, and the stream of the script that runs.
pub(crate) struct Real {
    server: Server,
    client: Client,
    names: Names,
    scripts: u32,
    config: Config,
    ack_wait: Option<Duration>,
    prefix: String,
    /// Where the acks of each delivery go.
    deliveries: Vec<String>,
}

fn stored(answer: Answer) -> Result<String> {
    Ok(match answer {
        Answer::Stored(stored) => stored.sequence.to_string(),
        Answer::Refused(refusal) => match (refusal.code, refusal.description.as_str()) {
            (10_077, "maximum messages per subject exceeded") => "10077 by subject".to_owned(),
            (10_077, "maximum bytes exceeded") => "10077 by bytes".to_owned(),
            (code, _) => code.to_string(),
        },
        Answer::NoResponders => "no responders".to_owned(),
        Answer::Silent => bail!("no answer to a write"),
    })
}

/// What the server says of a sequence that is not there, or no more.
fn is_not_there(kind: &DeleteMessageErrorKind) -> bool {
    let codes = [
        ErrorCode::SEQUENCE_NOT_FOUND,
        ErrorCode::STREAM_MESSAGE_DELETE_FAILED,
    ];
    matches!(kind, DeleteMessageErrorKind::JetStream(error) if codes.contains(&error.error_code()))
}

impl Real {
    pub(crate) async fn start() -> Result<Self> {
        let server = Server::start().await?;
        let client = server.connect().await?;
        Ok(Self {
            server,
            client,
            names: Names::new(Namespace::default()),
            scripts: 0,
            config: Config::default(),
            ack_wait: None,
            prefix: String::new(),
            deliveries: Vec::new(),
        })
    }

    fn context(&self) -> async_nats::jetstream::Context {
        let mut context = async_nats::jetstream::new(self.client.clone());
        context.set_timeout(PATIENCE);
        context
    }

    async fn stream(&self) -> Result<async_nats::jetstream::stream::Stream> {
        Ok(self.context().get_stream(&self.config.name).await?)
    }

    /// Makes the stream of a script.
    pub(crate) async fn begin(&mut self, script: &Script) -> Result<()> {
        if !self.config.name.is_empty() {
            self.context().delete_stream(&self.config.name).await?;
        }
        // Names as long as the default ones, and new ones each time.
        self.scripts += 1;
        let namespace = format!("c{:03}", self.scripts).parse::<Namespace>()?;
        self.names = Names::new(namespace);
        let settings = Settings::default();
        let names = &self.names;
        self.config = match script.stream {
            StreamKind::Ledger => streams::ledger(names, &settings),
            StreamKind::SmallLedger(most) => Config {
                max_bytes: i64::try_from(most)?,
                ..streams::ledger(names, &settings)
            },
            StreamKind::WorkQueue(_) => streams::work(names, &settings),
            StreamKind::Bucket => buckets::leader(names, &settings),
        };
        self.prefix = match script.stream {
            StreamKind::Bucket => names.leader_key(""),
            _ => format!("{}.", names.namespace()),
        };
        self.ack_wait = match script.stream {
            StreamKind::WorkQueue(wait) => Some(wait),
            _ => None,
        };
        self.deliveries.clear();
        self.create().await
    }

    /// Makes the stream anew. What is deleted right after a write may leave a block on disk, with which
    /// a stream of the same name would begin: the disk is emptied, too.
    async fn recreate(&mut self) -> Result<String> {
        self.context().delete_stream(&self.config.name).await?;
        self.server.stop().await?;
        let streams = self.server.folder().join("jetstream/$G/streams");
        let left = streams.join(&self.config.name);
        if left.exists() {
            fs::remove_dir_all(left)?;
        }
        self.server.start_again().await?;
        self.client = self.server.connect().await?;
        self.create().await?;
        Ok("ok".to_owned())
    }

    async fn create(&self) -> Result<()> {
        // A machine of ours need not have the room of a default ledger.
        let most = self.config.max_bytes.min(64 << 20);
        let config = Config {
            max_bytes: most,
            ..self.config.clone()
        };
        let stream = self.context().create_stream(config).await?;
        for queue in self.ack_wait.iter().flat_map(|_| ["q", "r"]) {
            let wait = self.ack_wait.unwrap_or_default();
            let config = consumers::queue(&self.names, &queue.parse()?, wait);
            stream.create_consumer(config).await?;
        }
        Ok(())
    }

    fn subject(&self, short: &str) -> String {
        format!("{}{short}", self.prefix)
    }

    fn message(&self, short: &str, bytes: usize) -> Message {
        Message::new(self.subject(short), vec![b'x'; bytes])
    }

    /// What it answers. `is_awaited`: something is to come, and may take its time.
    pub(crate) async fn take(&mut self, step: &Step, is_awaited: bool) -> Result<String> {
        match step {
            Step::Put(_) | Step::Batch(..) | Step::Gap(_) => self.write(step).await,
            Step::Get(_) | Step::Newest(_) | Step::List | Step::State => self.read(step).await,
            Step::Delete(_) | Step::Purge(_) => self.remove(step).await,
            Step::Pull(queue) | Step::Await(queue) => self.pull(queue, is_awaited).await,
            Step::Ack(n) => self.ack(*n, "+ACK".to_owned()).await,
            Step::Nak(n, delay) if delay.is_zero() => self.ack(*n, "-NAK".to_owned()).await,
            Step::Nak(n, delay) => {
                let body = format!(r#"-NAK {{"delay":{}}}"#, delay.as_nanos());
                self.ack(*n, body).await
            }
            Step::Progress(n) => self.ack(*n, "+WPI".to_owned()).await,
            Step::Recreate => self.recreate().await,
            Step::Stop | Step::Kill | Step::Save | Step::Restore => self.restart(step).await,
        }
    }

    async fn write(&self, step: &Step) -> Result<String> {
        let answer = match step {
            Step::Put(Put {
                subject,
                last,
                on_subject,
                bytes,
            }) => {
                let mut message = self.message(subject, *bytes);
                if let Some(last) = last {
                    message = message.expecting(*last);
                }
                if let Some(on) = on_subject {
                    message = message.header("Nats-Expected-Last-Subject-Sequence", on);
                }
                publish_raw(&self.client, message).await?
            }
            Step::Batch(last, subjects) => {
                let all = subjects.iter().map(|subject| self.message(subject, 0));
                let mut all: Vec<Message> = all.collect();
                if let Some(last) = last {
                    all[0] = all[0].clone().expecting(*last);
                }
                atomic_batch(&self.client, all).await?
            }
            Step::Gap(subjects) => self.gap(subjects).await?,
            _ => bail!("{step} writes nothing"),
        };
        stored(answer)
    }

    /// A batch whose second message never comes.
    async fn gap(&self, subjects: &[String]) -> Result<Answer> {
        let id = nuid::next().to_string();
        for (at, subject) in subjects.iter().enumerate().filter(|(at, _)| *at != 1) {
            let message = self
                .message(subject, 0)
                .header("Nats-Batch-Id", &id)
                .header("Nats-Batch-Sequence", &(at + 1));
            if at + 1 == subjects.len() {
                let message = message.header("Nats-Batch-Commit", &1);
                return publish_raw(&self.client, message).await;
            }
            self.client
                .publish_with_headers(message.subject, message.headers, message.payload)
                .await?;
        }
        bail!("a batch with a gap needs three messages")
    }

    async fn read(&self, step: &Step) -> Result<String> {
        let mut stream = self.stream().await?;
        let short = |subject: &str| subject.trim_start_matches(&self.prefix).to_owned();
        let found = match step {
            Step::Get(at) => match stream.get_raw_message(*at).await {
                Ok(message) => Some(short(&message.subject)),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => None,
                Err(error) => return Err(error.into()),
            },
            Step::Newest(subject) => {
                let subject = self.subject(subject);
                match stream.get_last_raw_message_by_subject(&subject).await {
                    Ok(message) => Some(message.sequence.to_string()),
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => None,
                    Err(error) => return Err(error.into()),
                }
            }
            Step::List => {
                let mut info = stream.info_with_subjects(">").await?;
                let mut all = Vec::new();
                while let Some(one) = info.next().await {
                    all.push(short(&one?.0));
                }
                all.sort();
                Some(all.join(" ")).filter(|all| !all.is_empty())
            }
            _ => {
                let state = &stream.info().await?.state;
                let (last, bytes) = (state.last_sequence, state.bytes);
                Some(format!("{last} {} {bytes}", state.messages))
            }
        };
        Ok(found.unwrap_or_else(|| "nothing".to_owned()))
    }

    async fn remove(&self, step: &Step) -> Result<String> {
        let stream = self.stream().await?;
        match step {
            Step::Delete(at) => match stream.delete_message(*at).await {
                Ok(_) => Ok("ok".to_owned()),
                Err(error) if is_not_there(&error.kind()) => Ok("nothing".to_owned()),
                Err(error) => Err(error).context("delete a message"),
            },
            Step::Purge(subject) => {
                let purged = stream.purge().filter(self.subject(subject)).await?;
                Ok(purged.purged.to_string())
            }
            _ => bail!("{step} removes nothing"),
        }
    }

    async fn pull(&mut self, queue: &str, is_awaited: bool) -> Result<String> {
        let inbox = self.client.new_inbox();
        let mut replies = self.client.subscribe(inbox.clone()).await?;
        let body = match is_awaited {
            true => format!(r#"{{"batch":1,"expires":{}}}"#, PATIENCE.as_nanos()),
            false => r#"{"batch":1,"no_wait":true}"#.to_owned(),
        };
        let stream = &self.config.name;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{queue}");
        self.client
            .publish_with_reply(subject, inbox, Bytes::from(body))
            .await?;
        let what = format!("what the consumer {queue} has");
        let reply = within(&what, PATIENCE * 2, replies.next()).await?;
        let reply = reply.context("the subscription ended")?;
        match reply.status {
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => return Ok("nothing".to_owned()),
            Some(status) => bail!("a pull was answered with {status}"),
            None => {}
        }
        let ack = reply.reply.context("a delivery has an ack subject")?;
        // $JS.ACK.<stream>.<consumer>.<count>.<sequence>.…
        let tokens: Vec<&str> = ack.split('.').collect();
        let answer = format!("{} count {}", tokens[5], tokens[4]);
        self.deliveries.push(ack.to_string());
        Ok(answer)
    }

    async fn ack(&self, n: usize, body: String) -> Result<String> {
        let Some(subject) = self.deliveries.get(n - 1).cloned() else {
            return Ok("nothing".to_owned());
        };
        let asked = self.client.request(subject, body.into());
        within("the answer to an ack", PATIENCE, asked).await??;
        Ok("ok".to_owned())
    }

    async fn restart(&mut self, step: &Step) -> Result<String> {
        match step {
            Step::Kill | Step::Restore => drop(self.server.kill().await?),
            _ => drop(self.server.stop().await?),
        }
        let store = self.server.folder().join("jetstream");
        let saved = self.server.folder().join("saved");
        match step {
            Step::Save => copy(&store, &saved)?,
            Step::Restore => {
                fs::remove_dir_all(&store)?;
                copy(&saved, &store)?;
            }
            _ => {}
        }
        self.server.start_again().await?;
        // Another connection: the old one may take its time to find out.
        self.client = self.server.connect().await?;
        Ok("ok".to_owned())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type()?.is_dir() {
            true => copy(&path, &target)?,
            false => drop(fs::copy(&path, &target)?),
        }
    }
    Ok(())
}
