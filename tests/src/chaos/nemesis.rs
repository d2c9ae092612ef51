//! Carries out the plan of the faults, each at its time, several at once where they overlap, and
//! heals what it hurt. It chooses nothing and judges nothing.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::MutexGuard;

use crate::proxy::{Frame, Proxy, Weather};
use crate::runs;
use crate::server::Server;
use crate::wait::{PATIENCE, eventually, until, within};

use super::dice::Dice;
use super::faults::{Action, Done, Fault, Foreign, Line, Parted, Planned, Which, Who};
use super::foreign;
use super::members::Member;
use super::stage::{COORDINATORS, Seat, Servers, Stage, WORKERS};

/// How long a process may take to come to the fail point that it was armed with.
const COMES_WITHIN: Duration = Duration::from_secs(12);
/// A coordinator that finds something altered ends within about so long of its start.
const ENDS_WITHIN_MS: u64 = 1_500;
/// A fault that waits longer for its turn is not done: what it hurts is hurt already.
const TURN_WITHIN: Duration = Duration::from_secs(15);
/// The same for servers, of which one is hurt at a time: they must also work in between.
const SERVERS_WITHIN: Duration = Duration::from_secs(4);

/// Plays the whole plan from `start` on. Returns the faults in the order of their ends.
///
/// # Errors
/// When a server cannot be started again: the rest of the run would prove nothing.
pub async fn play(stage: &Stage, plan: Vec<Planned>, start: Instant) -> Result<Vec<Done>> {
    let all: FuturesUnordered<_> = plan
        .into_iter()
        .enumerate()
        .map(|(place, planned)| async move {
            until(start + planned.at).await;
            one(stage, place + 1, planned.fault).await
        })
        .collect();
    all.try_collect().await
}

async fn one(stage: &Stage, n: usize, fault: Fault) -> Result<Done> {
    let begun = Box::pin(hurt(stage, n, fault)).await;
    if begun.is_err() {
        let mut servers = stage.servers.lock().await;
        raise(&mut servers).await?;
    }
    let (target, start, bites, failed) = match begun {
        Ok(hurt) => (hurt.target, hurt.start, hurt.bites, None),
        Err(error) => (
            String::new(),
            runs::now(),
            Vec::new(),
            Some(format!("{error:#}")),
        ),
    };
    Ok(Done {
        n,
        fault,
        target,
        start_ns: nanos(start),
        end_ns: nanos(runs::now()),
        failed,
        bites,
    })
}

/// Starts every server that does not run, for whatever reason.
async fn raise(servers: &mut Servers) -> Result<()> {
    for server in servers.all() {
        let what = format!("server {} to run again", server.name());
        eventually(&what, PATIENCE * 2, async || server.raise().await).await?;
    }
    Ok(())
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

/// What was done, and what was seen at once.
struct Hurt {
    target: String,
    start: Duration,
    bites: Vec<String>,
}

impl Hurt {
    fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            start: runs::now(),
            bites: Vec::new(),
        }
    }

    fn saw(mut self, what: impl Into<String>) -> Self {
        self.bites.push(what.into());
        self
    }
}

async fn hurt(stage: &Stage, n: usize, fault: Fault) -> Result<Hurt> {
    match fault {
        Fault::Kill { who, down_ms } => {
            let mut member = member(stage, who).await?;
            let hurt = Hurt::new(&member.name);
            member.kill().await?;
            rest(down_ms).await;
            member.start(None)?;
            Ok(hurt)
        }
        Fault::Stop { who, ms } => {
            let mut member = member(stage, who).await?;
            let hurt = Hurt::new(&member.name);
            member.stand_still(Duration::from_millis(ms)).await?;
            Ok(hurt)
        }
        Fault::Term { who, down_ms } => {
            let mut member = member(stage, who).await?;
            let hurt = Hurt::new(&member.name);
            member.end().await?;
            rest(down_ms).await;
            member.start(None)?;
            Ok(hurt)
        }
        Fault::Armed { who, point, action } => armed(stage, who, (point, action)).await,
        Fault::ServerKill { .. }
        | Fault::ServerStop { .. }
        | Fault::ServerTerm { .. }
        | Fault::ServersKill { .. }
        | Fault::Partition { .. } => hurt_servers(stage, fault).await,
        Fault::Foreign { hand, ms } => meddle(stage, hand, ms).await,
        Fault::Cut { line } => cut(stage, line),
        Fault::BlackHole { line, ms } => {
            let weather = Weather {
                holds_up: true,
                holds_down: true,
                ..Weather::default()
            };
            storm(stage, line, ms, weather).await
        }
        Fault::HalfOpen { line, ms } => {
            let weather = Weather {
                holds_down: true,
                ..Weather::default()
            };
            storm(stage, line, ms, weather).await
        }
        Fault::Delay { line, ms, by_ms } => {
            let weather = Weather {
                delay: Duration::from_millis(by_ms),
                ..Weather::default()
            };
            let hurt = storm(stage, line, ms, weather).await?;
            Ok(hurt.saw(format!("all came {by_ms} ms later")))
        }
        Fault::DropAcks { line, ms, one_in } => drop_acks(stage, (line, ms, one_in), n).await,
    }
}

fn cut(stage: &Stage, line: Line) -> Result<Hurt> {
    let (lines, name) = lines(stage, line)?;
    let hurt = Hurt::new(name);
    let open: u64 = lines.iter().map(Proxy::cut).sum();
    Ok(match open {
        0 => hurt,
        _ => hurt.saw(format!("{open} connections closed")),
    })
}

async fn rest(ms: u64) {
    until(Instant::now() + Duration::from_millis(ms)).await;
}

fn seat(stage: &Stage, who: Who) -> Result<&Seat> {
    Ok(match who {
        Who::Leader => &stage.coordinators[stage.leader()?],
        Who::Coordinator(place) => &stage.coordinators[place],
        Who::Worker(place) => &stage.workers[place],
    })
}

/// The process, once nobody else hurts it; where it has ended by itself, that is kept, and it runs again.
async fn member(stage: &Stage, who: Who) -> Result<MutexGuard<'_, Member>> {
    let mut member = within("its turn", TURN_WITHIN, seat(stage, who)?.member.lock()).await?;
    member.mend()?;
    Ok(member)
}

fn lines(stage: &Stage, line: Line) -> Result<(&[Proxy], String)> {
    Ok(match line {
        Line::Submitters => (&stage.submitters, "submitters".to_owned()),
        Line::Of(who) => {
            let name = match who {
                Who::Leader => COORDINATORS[stage.leader()?],
                Who::Coordinator(place) => COORDINATORS[place],
                Who::Worker(place) => WORKERS[place],
            };
            (&seat(stage, who)?.lines, name.to_owned())
        }
    })
}

/// Ends it, starts it armed, and waits until it comes to its fail point. Some points lie where only
/// a leader comes: then the leader is told to end, so that another one takes over.
async fn armed(stage: &Stage, who: Who, (point, action): (&'static str, Action)) -> Result<Hurt> {
    let mut member = member(stage, who).await?;
    member.kill().await?;
    member.start(Some((point, action)))?;
    let hurt = Hurt::new(&member.name);
    let name = member.name.clone();
    let span = Duration::from_millis(2_000);
    let over = Cell::new(false);
    let coming = async {
        let came = member.comes_to_its_point(action, COMES_WITHIN, span).await;
        over.set(true);
        came
    };
    // Both to their ends: whom the other one told to end, it also starts again.
    let moving = make_leader(stage, &name, &over);
    let (came, moved) = match point.starts_with("coordinator.") {
        true => futures::join!(coming, moving),
        false => (coming.await, Ok(())),
    };
    // First of all: one that stays armed would be hurt when nobody looks after it any more.
    if came.is_err() || action == Action::Kill {
        member.disarm().await?;
    }
    moved?;
    came?;
    Ok(hurt.saw(format!("came to {point}")))
}

/// Tells the leaders to end until the one of that name leads, or it is over.
async fn make_leader(stage: &Stage, name: &str, over: &Cell<bool>) -> Result<()> {
    for _ in 0..4 {
        rest(1_500).await;
        if over.get() {
            return Ok(());
        }
        let leader = stage.leader()?;
        if COORDINATORS[leader] == name {
            return Ok(());
        }
        // Whoever is hurt already needs no more.
        if let Ok(mut member) = stage.coordinators[leader].member.try_lock() {
            member.end().await?;
            member.start(None)?;
        }
    }
    Ok(())
}

async fn hurt_servers(stage: &Stage, fault: Fault) -> Result<Hurt> {
    let mut servers = within("its turn", SERVERS_WITHIN, stage.servers.lock()).await?;
    match fault {
        Fault::ServerKill { which, down_ms } => {
            let server = server(stage, &mut servers, which).await?;
            let hurt = Hurt::new(server.name());
            server.kill().await?;
            rest(down_ms).await;
            server.start_again().await?;
            Ok(hurt)
        }
        Fault::ServerStop { which, ms } => {
            let server = server(stage, &mut servers, which).await?;
            let hurt = Hurt::new(server.name());
            server.pause()?;
            rest(ms).await;
            server.resume()?;
            Ok(hurt)
        }
        Fault::ServerTerm { which, down_ms } => {
            let server = server(stage, &mut servers, which).await?;
            let hurt = Hurt::new(server.name());
            server.stop().await?;
            rest(down_ms).await;
            server.start_again().await?;
            Ok(hurt)
        }
        Fault::Partition { which, parted, ms } => {
            let alone = server(stage, &mut servers, which).await?.name().to_owned();
            let hurt = Hurt::new(&alone);
            match part(&mut servers, &alone, parted, ms).await? {
                0 => Ok(hurt),
                held => Ok(hurt.saw(format!("{held} bytes held back between servers"))),
            }
        }
        Fault::ServersKill { down_ms } => {
            let hurt = Hurt::new("all");
            for server in servers.all() {
                server.kill().await?;
            }
            rest(down_ms).await;
            // In another order than the first time; all at once, or none finds a majority.
            for server in servers.all().iter_mut().rev() {
                server.spawn()?;
            }
            for server in servers.all() {
                server.ready().await?;
            }
            Ok(hurt)
        }
        other => bail!("{other:?} is no fault of a server"),
    }
}

async fn meddle(stage: &Stage, hand: Foreign, ms: u64) -> Result<Hurt> {
    // The broker is there meanwhile: what was done must be undone.
    let servers = within("its turn", SERVERS_WITHIN, stage.servers.lock()).await?;
    let hurt = Hurt::new(format!("{hand:?}"));
    let seen = foreign::meddle(stage, hand, Duration::from_millis(ms)).await;
    drop(servers);
    // Whoever was started on what was altered ended by that.
    rest(ENDS_WITHIN_MS).await;
    for place in 0..COORDINATORS.len() {
        drop(member(stage, Who::Coordinator(place)).await?);
    }
    Ok(hurt.saw(seen?))
}

/// Parts a server from the two others. Returns how many bytes were held back.
async fn part(servers: &mut Servers, alone: &str, parted: Parted, ms: u64) -> Result<u64> {
    let Servers::Three(cluster) = servers else {
        bail!("one server has nobody to be parted from");
    };
    let mut all = cluster.servers().iter();
    let place = all.position(|server| server.name() == alone);
    let place = place.context("a server of that name")?;
    let held = match parted {
        Parted::Both => (true, true),
        Parted::Out => (true, false),
        Parted::In => (false, true),
    };
    cluster.part(place, held);
    rest(ms).await;
    Ok(cluster.join())
}

/// The server to hurt; without an answer about leaders any will do.
async fn server<'a>(
    stage: &Stage,
    servers: &'a mut Servers,
    which: Which,
) -> Result<&'a mut Server> {
    let names = stage.broker.names();
    let place = match (which, &mut *servers) {
        (_, Servers::One(_)) => 0,
        (Which::Server(place), Servers::Three(_)) => place,
        (Which::LedgerLeader | Which::WorkLeader, Servers::Three(cluster)) => {
            let stream = match which {
                Which::WorkLeader => names.work(),
                Which::LedgerLeader | Which::Server(_) => names.ledger(),
            };
            let asked = cluster.stream_leader(&stage.client, stream);
            let leader = within("the stream's leader", Duration::from_secs(3), asked).await;
            let leader = leader.flatten().unwrap_or_default();
            let mut all = servers.all().iter();
            all.position(|server| server.name() == leader).unwrap_or(0)
        }
    };
    Ok(&mut servers.all()[place])
}

async fn storm(stage: &Stage, line: Line, ms: u64, weather: Weather) -> Result<Hurt> {
    let (lines, name) = lines(stage, line)?;
    let hurt = Hurt::new(name);
    for line in lines {
        line.set_weather(weather);
    }
    rest(ms).await;
    let held: u64 = lines.iter().map(Proxy::held_bytes).sum();
    for line in lines {
        line.release();
    }
    Ok(match held {
        0 => hurt,
        _ => hurt.saw(format!("{held} bytes held back")),
    })
}

async fn drop_acks(stage: &Stage, (line, ms, one_in): (Line, u64, u64), n: usize) -> Result<Hurt> {
    let (lines, name) = lines(stage, line)?;
    let hurt = Hurt::new(name);
    let before = swallowed(lines);
    for line in lines {
        let mut dice = Dice::new(n as u64, 2);
        line.swallow(move |frame| is_answer_to_a_write(frame) && dice.one_in(one_in));
    }
    rest(ms).await;
    for line in lines {
        line.swallow(|_| false);
    }
    Ok(match swallowed(lines) - before {
        0 => hurt,
        lost => hurt.saw(format!("{lost} answers lost")),
    })
}

fn swallowed(lines: &[Proxy]) -> u64 {
    lines.iter().map(|line| *line.swallowed().borrow()).sum()
}

/// The server's answer to a write into a stream.
fn is_answer_to_a_write(frame: &Frame) -> bool {
    frame.body.starts_with(b"{\"stream\":")
}

/// Makes everything whole again: all servers and processes run, and all passes.
///
/// # Errors
/// When something does not come up again.
pub async fn heal(stage: &Stage) -> Result<()> {
    for line in stage
        .submitters
        .iter()
        .chain(stage.seats().flat_map(|seat| &seat.lines))
    {
        line.release();
        line.swallow(|_| false);
    }
    let mut servers = stage.servers.lock().await;
    if let Servers::Three(cluster) = &*servers {
        cluster.join();
    }
    raise(&mut servers).await?;
    drop(servers);
    for seat in stage.seats() {
        seat.member.lock().await.mend()?;
    }
    eventually("an answer of the ledger", PATIENCE, async || {
        stage
            .broker
            .state(stage.broker.names().ledger())
            .await
            .map(drop)
    })
    .await
}
