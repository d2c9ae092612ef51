//! A worker made by hand, as any language makes one: pull requests, outcomes and acks are plain
//! messages. It does nothing by itself but answer pings.

use anyhow::{Context, Result, bail};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures::StreamExt;
use nats_config::Role;
use serde_json::json;
use tokio::task::JoinSet;

use crate::raw::{Answer, Message, publish_raw};
use crate::roles;
use crate::wait::{PATIENCE, eventually, within};

/// The statuses that say "no more for this pull".
const NOTHING: [u16; 2] = [404, 408];

/// A worker of one queue.
pub struct HandWorker {
    client: Client,
    name: String,
    queue: String,
    slots: u32,
    /// Answers the pings; aborted when it is dropped.
    pongs: JoinSet<()>,
}

/// One delivery of one attempt.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The subject of the work message.
    pub subject: String,
    /// Where acks go.
    pub ack: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

impl Delivery {
    /// Where its outcome goes.
    #[must_use]
    pub fn outcome_subject(&self) -> String {
        self.subject.replacen(".work.", ".outcome.", 1)
    }

    /// How often the broker handed the attempt out, from 1; 0 where the ack subject does not say.
    #[must_use]
    pub fn count(&self) -> u64 {
        let token = self.ack.split('.').nth(4);
        token.and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

impl HandWorker {
    /// Comes to a queue, says so, and answers pings from now on.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn here(client: &Client, name: &str, queue: &str, slots: u32) -> Result<Self> {
        let mut pings = client.subscribe(format!("jobs.ping.worker.{name}")).await?;
        let own = client.clone();
        let mut pongs = JoinSet::new();
        pongs.spawn(async move {
            while let Some(ping) = pings.next().await {
                if let Some(reply) = ping.reply {
                    // A broken connection is the end of the subscription, too.
                    own.publish(reply, Bytes::new()).await.ok();
                }
            }
        });
        let worker = Self {
            client: client.clone(),
            name: name.to_owned(),
            queue: queue.to_owned(),
            slots,
            pongs,
        };
        worker.say_here().await?;
        Ok(worker)
    }

    /// Says again what it is.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn say_here(&self) -> Result<()> {
        let handles = json!([{"queue": self.queue, "kinds": [], "slots": self.slots}]);
        let here = json!({
            "says": "here", "v": 1, "worker": self.name, "handles": handles, "running": [],
        });
        let subject = format!("jobs.worker.says.{}", self.name);
        self.client
            .publish(subject, here.to_string().into())
            .await?;
        self.client.flush().await?;
        Ok(())
    }

    /// Answers no ping any more: for the coordinators it is missing.
    pub async fn vanish(mut self) {
        self.pongs.shutdown().await;
        // The subscription ends with the task; the server knows it by the answer to a flush.
        self.client.flush().await.ok();
    }

    /// Pulls up to `batch` attempts, and waits for the first of them: the queue may be so new that
    /// the broker does not have it yet.
    ///
    /// # Errors
    /// When none comes.
    pub async fn pull(&self, batch: usize) -> Result<Vec<Delivery>> {
        eventually("work", PATIENCE, async || self.pull_once(batch).await).await
    }

    async fn pull_once(&self, batch: usize) -> Result<Vec<Delivery>> {
        let inbox = self.client.new_inbox();
        let mut replies = self.client.subscribe(inbox.clone()).await?;
        let request = json!({"batch": batch, "expires": 2_000_000_000_u64});
        let api = roles::api_prefix(Some(Role::Worker));
        let subject = format!("{api}.CONSUMER.MSG.NEXT.WORK.{}", self.queue);
        self.client
            .publish_with_reply(subject, inbox, request.to_string().into())
            .await?;
        let mut taken = Vec::new();
        let gathering = async {
            while let Some(message) = replies.next().await {
                match message.status {
                    None => taken.push(Delivery {
                        subject: message.subject.to_string(),
                        ack: message.reply.context("work without a reply")?.to_string(),
                        headers: message.headers.unwrap_or_default(),
                        payload: message.payload,
                    }),
                    Some(status) if NOTHING.contains(&status.as_u16()) => break,
                    Some(status) => bail!("the pull was refused: {status:?}"),
                }
                if taken.len() == batch {
                    break;
                }
            }
            Ok(())
        };
        within("the answer to a pull", PATIENCE, gathering).await??;
        if taken.is_empty() {
            bail!("no work came within 2 s");
        }
        Ok(taken)
    }

    /// Writes an outcome with this body.
    ///
    /// # Errors
    /// When the client is broken.
    pub async fn record(&self, delivery: &Delivery, body: &str) -> Result<Answer> {
        let outcome = Message::new(delivery.outcome_subject(), body.to_owned());
        publish_raw(&self.client, outcome).await
    }

    /// Acks the work message, and waits for the broker's answer.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn ack(&self, delivery: &Delivery) -> Result<()> {
        let ack = delivery.ack.clone();
        let asked = self.client.request(ack, "+ACK".into());
        within("the answer to an ack", PATIENCE, asked)
            .await?
            .context("ack")?;
        Ok(())
    }

    /// Completes it: the outcome, then the ack.
    ///
    /// # Errors
    /// When the outcome is not stored or the ack not answered.
    pub async fn complete(&self, delivery: &Delivery) -> Result<()> {
        match self.record(delivery, "").await? {
            Answer::Stored(_) => self.ack(delivery).await,
            other => bail!("the outcome of {} got {other:?}", delivery.subject),
        }
    }
}
