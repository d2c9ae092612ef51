//! A candidate that is a process of its own: the test binary runs itself again, with this one test,
//! which ends at once where nobody started it as a candidate. It says what it is told, one line an
//! event, and takes wishes from its standard input: `campaign`, `resign`, `check` (its permit and
//! until when), `heard` (says so when the leader has answered a ping), `beaten` (when it has beat).

use std::io::Write as _;

use anyhow::{Context, bail};
use election::{Broker, Election, ElectionConfig, Event, LeaseTimings, Mode, Standing, boot_now};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::stand::LONG_LEASE;

/// Server, holder, mode and timings, between spaces.
pub(crate) const ARGUMENTS: &str = "ELECTION_TEST_CANDIDATE";
/// This test's name.
pub(crate) const TEST: &str = "child::candidate";
/// Begins each line, wherever the test runner has left the cursor.
pub(crate) const MARK: char = '@';

#[tokio::test]
async fn candidate() -> anyhow::Result<()> {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return Ok(());
    };
    let (election, mut events) = Election::start(config(&arguments)?).await?;
    say("started")?;
    let mut wishes = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => say(&describe(&event))?,
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

fn config(arguments: &str) -> anyhow::Result<ElectionConfig> {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let [server, holder, mode, timings] = arguments[..] else {
        bail!("{ARGUMENTS} is {arguments:?}, expected server, holder, mode and timings");
    };
    let server = server.parse().context("read the server's address")?;
    let broker = Broker::new(vec![server], async_nats::ConnectOptions::new());
    let mut config = ElectionConfig::new(broker, "leaders", "work");
    config.holder = holder.to_owned();
    config.mode = match mode {
        "strict" => Mode::Strict,
        "fenced" => Mode::Fenced,
        other => bail!("mode is {other}, expected strict or fenced"),
    };
    config.timings = match timings {
        "stable" => LeaseTimings::stable(),
        "test" => LeaseTimings::test(),
        "long" => LONG_LEASE,
        other => bail!("timings are {other}, expected stable, test or long"),
    };
    Ok(config)
}

async fn obey(election: &Election, wish: &str) -> anyhow::Result<()> {
    match wish {
        "campaign" => election.campaign(),
        "check" => say(&check(election))?,
        "heard" => {
            let mut state = election.watch();
            state
                .wait_for(|state| state.tally.pings_answered > 0)
                .await?;
            say("heard")?;
        }
        "beaten" => {
            let mut state = election.watch();
            state.wait_for(|state| state.tally.beats_heard > 0).await?;
            say("beaten")?;
        }
        "resign" => {
            election.resign().await?;
            say("resigned")?;
        }
        other => bail!("`{other}` is no wish"),
    }
    Ok(())
}

fn check(election: &Election) -> String {
    match election.snapshot().standing {
        Standing::Leading(epoch, until) if election.permit(epoch).check().is_ok() => {
            format!("permit {epoch} {}", until.as_nanos())
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
        Event::StepDownAsked { epoch } => format!("asked to step down {epoch}"),
        Event::LeaderChanged(Some(leader)) => format!("leader {} {}", leader.holder, leader.epoch),
        Event::LeaderChanged(None) => "leader none".to_owned(),
    }
}

/// Each line bears nanoseconds of the machine's boot clock, which all its processes share.
fn say(what: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{MARK}{} {what}", boot_now().as_nanos())?;
    Ok(out.flush()?)
}
