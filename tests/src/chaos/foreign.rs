//! A foreign hand on what exists on the broker: it deletes or alters, waits until the coordinators
//! have set right what they set right themselves, and undoes the rest. It judges nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};

use crate::system::QUEUE;
use crate::wait::{PATIENCE, eventually, until};

use super::faults::Foreign;
use super::stage::{Stage, WORK_LEASE};

/// What the coordinators set right, they do after a look every few seconds and a work lease.
const RIGHT_WITHIN: Duration = Duration::from_secs(60);

/// Meddles for `span`. Returns what was seen of it.
///
/// # Errors
/// When the broker refuses it, or what the coordinators set right does not become right.
pub(super) async fn meddle(stage: &Stage, hand: Foreign, span: Duration) -> Result<String> {
    let mut context = jetstream::new(stage.client.clone());
    context.set_timeout(Duration::from_secs(2));
    let names = stage.broker.names();
    match hand {
        Foreign::ConsumerDeleted => {
            let stream = context.get_stream_no_info(names.work()).await?;
            stream.delete_consumer(QUEUE).await?;
            consumer_is(&context, names.work(), |_| true).await?;
            Ok("the consumer was made anew".to_owned())
        }
        Foreign::ConsumerAltered => {
            let stream = context.get_stream_no_info(names.work()).await?;
            let consumer: PullConsumer = own(stream.get_consumer(QUEUE).await)?;
            let mut config = consumer.cached_info().config.clone();
            config.ack_wait = WORK_LEASE * 3;
            stream.update_consumer(config).await?;
            consumer_is(&context, names.work(), |wait| wait == WORK_LEASE).await?;
            Ok("the consumer was set back".to_owned())
        }
        Foreign::LedgerAltered => {
            let alter = |config: &mut Config| config.allow_rollup = true;
            let field = (names.ledger(), "allow_rollup_hdrs");
            alter_for(stage, &context, (field, span), alter).await
        }
        Foreign::WorkAltered => {
            let alter = |config: &mut Config| config.allow_atomic_publish = false;
            let field = (names.work(), "allow_atomic");
            alter_for(stage, &context, (field, span), alter).await
        }
        Foreign::LeadersDeleted => delete(&context, names.leader_bucket()).await,
        Foreign::WorkersDeleted => delete(&context, names.workers_bucket()).await,
    }
}

fn own<T>(answer: std::result::Result<T, async_nats::Error>) -> Result<T> {
    answer.map_err(|error| anyhow::anyhow!("{error}"))
}

async fn consumer_is(
    context: &Context,
    stream: &str,
    is_right: impl Fn(Duration) -> bool,
) -> Result<()> {
    eventually("the consumer as it was", RIGHT_WITHIN, async || {
        let stream = context.get_stream_no_info(stream).await?;
        let consumer: PullConsumer = own(stream.get_consumer(QUEUE).await)?;
        match is_right(consumer.cached_info().config.ack_wait) {
            true => Ok(()),
            false => bail!("{:?}", consumer.cached_info().config),
        }
    })
    .await
}

/// Alters a field of a stream, and sets it back after `span`, whatever comes.
async fn alter_for(
    stage: &Stage,
    context: &Context,
    ((stream, field), span): ((&str, &str), Duration),
    alter: impl Fn(&mut Config),
) -> Result<String> {
    let found = context.get_stream(stream).await?;
    let as_it_was = found.cached_info().config.clone();
    let mut altered = as_it_was.clone();
    alter(&mut altered);
    let place = stage.alterations.begin(stream, field);
    let asked = context.update_stream(altered).await;
    until(std::time::Instant::now() + span).await;
    eventually("the stream as it was", PATIENCE, async || {
        context.update_stream(as_it_was.clone()).await.map(drop)
    })
    .await?;
    stage.alterations.end(place);
    asked.context("alter a stream")?;
    Ok(format!("{stream} was altered for {span:?}"))
}

async fn delete(context: &Context, bucket: &str) -> Result<String> {
    let stream = format!("KV_{bucket}");
    context.delete_stream(&stream).await?;
    eventually("the bucket", RIGHT_WITHIN, async || {
        context.get_stream(&stream).await.map(drop)
    })
    .await?;
    Ok(format!("{bucket} was made anew"))
}
