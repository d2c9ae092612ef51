//! A candidate that prints what it is told, one line an event, and takes wishes from its standard
//! input: `campaign`, `withdraw`, `resign`, `advance <floor>`, `check`, `stop`.
//!
//! `candidate <server> <bucket> <key> <holder> [strict|fenced] [stable|quick|test]`
//!
//! Each line begins with nanoseconds of the machine's boot clock, so that lines of several processes
//! of one machine can be compared.
#![expect(clippy::print_stdout, reason = "an example prints")]

use anyhow::{Context, bail};
use election::{Broker, Election, ElectionConfig, Event, LeaseTimings, Mode, Standing, boot_now};
use protocol::number::Epoch;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (election, mut events) = Election::start(config()?).await?;
    say("started");
    let mut wishes = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => say(&describe(&event)),
                None => return Ok(()),
            },
            line = wishes.next_line() => match line? {
                Some(line) => obey(&election, &line).await?,
                None => {
                    election.stop().await;
                    return Ok(());
                }
            },
        }
    }
}

fn config() -> anyhow::Result<ElectionConfig> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| {
        args.next()
            .with_context(|| format!("missing argument: {what}"))
    };
    let server = next("server")?
        .parse()
        .context("read the server's address")?;
    let broker = Broker::new(vec![server], async_nats::ConnectOptions::new());
    let mut config = ElectionConfig::new(broker, &next("bucket")?, &next("key")?);
    config.holder = next("holder")?;
    config.mode = match args.next().as_deref() {
        None | Some("strict") => Mode::Strict,
        Some("fenced") => Mode::Fenced,
        Some(other) => bail!("mode is {other}, expected strict or fenced"),
    };
    config.timings = match args.next().as_deref() {
        None | Some("stable") => LeaseTimings::stable(),
        Some("quick") => LeaseTimings::quick(),
        Some("test") => LeaseTimings::test(),
        Some(other) => bail!("timings are {other}, expected stable, quick or test"),
    };
    Ok(config)
}

async fn obey(election: &Election, wish: &str) -> anyhow::Result<()> {
    match wish.split_once(' ').unwrap_or((wish, "")) {
        ("campaign", _) => election.campaign(),
        ("withdraw", _) => election.withdraw(),
        ("check", _) => say(&check(election)),
        ("resign", _) => match election.resign().await {
            Ok(()) => say("resigned"),
            Err(error) => say(&format!("not resigned: {error}")),
        },
        ("advance", floor) => match election.advance(floor.parse::<Epoch>()?).await {
            Ok(epoch) => say(&format!("advanced {epoch}")),
            Err(error) => say(&format!("not advanced: {error}")),
        },
        ("stop", _) => election.stop().await,
        (other, _) => bail!("`{other}` is no wish"),
    }
    Ok(())
}

fn check(election: &Election) -> String {
    match election.snapshot().standing {
        Standing::Leading(epoch, _) if election.permit(epoch).check().is_ok() => {
            format!("permit {epoch}")
        }
        Standing::Leading(epoch, _) => format!("expired {epoch}"),
        Standing::Follower | Standing::Candidate => "no permit".to_owned(),
        Standing::Suspended(_) | Standing::Resigning(_) => "no permit".to_owned(),
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Candidate => "candidate".to_owned(),
        Event::Acquired { epoch } => format!("acquired {epoch}"),
        Event::Suspended { epoch } => format!("suspended {epoch}"),
        Event::Resumed { epoch } => format!("resumed {epoch}"),
        Event::Released { epoch } => format!("released {epoch}"),
        Event::Lost { epoch, reason } => format!("lost {epoch}: {reason}"),
        Event::LeaderChanged(Some(leader)) => format!("leader {} {}", leader.holder, leader.epoch),
        Event::LeaderChanged(None) => "leader none".to_owned(),
    }
}

fn say(what: &str) {
    println!("{} {what}", boot_now().as_nanos());
}
