//! The plan of the faults: what, to whom, when, all from the seed. It does nothing.

use std::time::Duration;

use super::dice::Dice;
use super::faults::{Action, Fault, Foreign, Line, Parted, Planned, Which, Who};
use super::points;
use super::stage::{COORDINATORS, LEASE, WORKERS};

/// The load runs alone for so long at first.
const QUIET: Duration = Duration::from_secs(2);

/// One fault in so many is of a server, where there is one and where there are three: these stand
/// still for seconds whenever one that leads a stream is hurt. In turn, so that some time lies between.
const SERVERS_ONE_IN: [usize; 2] = [4, 5];

/// How many faults, and of what sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// So many.
    pub count: u64,
    /// Over so long.
    pub span: Duration,
    /// On so many servers.
    pub servers: usize,
    /// For so long at a time nobody is ended; then, for a fifth of that, comes every kind of fault.
    pub steady: Option<Duration>,
}

impl Shape {
    /// Whether a fault at that time may end a process.
    fn may_end(&self, at: Duration) -> bool {
        self.steady.is_none_or(|steady| {
            let round = (steady + steady / 5).as_millis().max(1);
            at.as_millis() % round >= steady.as_millis()
        })
    }
}

/// Faults of one seed. Fail points are among them where the programs have them.
#[must_use]
pub fn plan(seed: u64, shape: &Shape) -> Vec<Planned> {
    let (count, span, servers) = (shape.count, shape.span, shape.servers);
    let mut dice = Dice::new(seed, 1);
    let mut armed = armed(&mut dice);
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let room = span.saturating_sub(QUIET * 2).as_millis().max(1);
            let room = u64::try_from(room).unwrap_or(u64::MAX);
            QUIET + Duration::from_millis(dice.between(0, room))
        })
        .collect();
    times.sort();
    times
        .into_iter()
        .enumerate()
        .map(|(n, at)| {
            let of_server = n % SERVERS_ONE_IN[usize::from(servers > 1)] == 2;
            let fault = match dice.one_in(3) {
                _ if of_server => Some(server_fault(&mut dice, servers)),
                _ if !shape.may_end(at) => None,
                // A worker that is told to end gives back what it runs: rare enough otherwise.
                _ if n % 10 == 9 => Some(Fault::Term {
                    who: Who::Worker(place(&mut dice, WORKERS.len())),
                    down_ms: dice.between(0, 1_500),
                }),
                true => armed.pop(),
                false => None,
            };
            let fault = fault.unwrap_or_else(|| fault_of(&mut dice));
            let fault = match shape.may_end(at) {
                true => fault,
                false => leaves_alive(fault, &mut dice),
            };
            Planned { at, fault }
        })
        .collect()
}

/// Each fail point with each action, in any order.
fn armed(dice: &mut Dice) -> Vec<Fault> {
    let mut all = Vec::new();
    if !points::are_built() {
        return all;
    }
    for point in points::ALL {
        for action in [Action::Kill, Action::Stop, Action::Pause] {
            let who = match point.starts_with("worker.") {
                true => Who::Worker(place(dice, WORKERS.len())),
                false => Who::Coordinator(place(dice, COORDINATORS.len())),
            };
            all.push(Fault::Armed { who, point, action });
        }
    }
    for last in (1..all.len()).rev() {
        all.swap(last, place(dice, last + 1));
    }
    all
}

fn place(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.between(0, count as u64 - 1)).unwrap_or_default()
}

/// Of our processes, their lines, or what exists on the broker.
fn fault_of(dice: &mut Dice) -> Fault {
    let down_ms = dice.between(0, 1_500);
    match dice.between(0, 72) {
        70.. => foreign(dice),
        0..14 => Fault::Kill {
            who: who(dice),
            down_ms,
        },
        14..22 => Fault::Stop {
            who: who(dice),
            ms: dice.between(200, 1_500),
        },
        22..32 => Fault::Stop {
            who: who(dice),
            ms: past_the_lease(dice),
        },
        32..40 => Fault::Term {
            who: who(dice),
            down_ms,
        },
        40..46 => Fault::Cut { line: line(dice) },
        46..52 => Fault::BlackHole {
            line: line(dice),
            ms: dice.between(300, 5_000),
        },
        52..57 => Fault::HalfOpen {
            line: line(dice),
            ms: dice.between(300, 5_000),
        },
        57..61 => Fault::Delay {
            line: line(dice),
            ms: dice.between(500, 3_000),
            by_ms: dice.between(20, 300),
        },
        _ => Fault::DropAcks {
            line: line(dice),
            ms: dice.between(500, 3_000),
            one_in: dice.between(1, 4),
        },
    }
}

/// In place of a fault that ends somebody, one that lets it stand still.
fn leaves_alive(fault: Fault, dice: &mut Dice) -> Fault {
    match fault {
        Fault::Kill { who, .. } | Fault::Term { who, .. } | Fault::Armed { who, .. } => {
            let ms = past_the_lease(dice);
            Fault::Stop { who, ms }
        }
        Fault::ServerKill { which, .. } | Fault::ServerTerm { which, .. } => {
            let ms = dice.between(1_500, 4_000);
            Fault::ServerStop { which, ms }
        }
        Fault::ServersKill { .. } => Fault::ServerStop {
            which: Which::LedgerLeader,
            ms: dice.between(1_500, 4_000),
        },
        _ => fault,
    }
}

fn past_the_lease(dice: &mut Dice) -> u64 {
    let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    lease + dice.between(300, 2_000)
}

fn foreign(dice: &mut Dice) -> Fault {
    let hand = *dice.one_of(&[
        Foreign::ConsumerDeleted,
        Foreign::ConsumerAltered,
        Foreign::LedgerAltered,
        Foreign::WorkAltered,
        Foreign::LeadersDeleted,
        Foreign::WorkersDeleted,
    ]);
    let ms = dice.between(1_000, 6_000);
    Fault::Foreign { hand, ms }
}

/// Shorter than an election between the servers, or longer.
fn partition(dice: &mut Dice, which: Which) -> Fault {
    let ms = match dice.one_in(3) {
        true => dice.between(8_000, 12_000),
        false => dice.between(1_000, 4_000),
    };
    let parted = *dice.one_of(&[Parted::Both, Parted::Both, Parted::Out, Parted::In]);
    Fault::Partition { which, parted, ms }
}

fn server_fault(dice: &mut Dice, servers: usize) -> Fault {
    let down_ms = dice.between(0, 1_500);
    let which = match dice.between(0, 3) {
        0 => Which::LedgerLeader,
        1 => Which::WorkLeader,
        _ => Which::Server(place(dice, servers)),
    };
    if servers > 1 && dice.one_in(5) {
        return partition(dice, which);
    }
    match dice.between(0, 9) {
        0..4 => Fault::ServerKill { which, down_ms },
        4..6 => Fault::ServerStop {
            which,
            ms: dice.between(200, 1_200),
        },
        6..8 => Fault::ServerStop {
            which,
            ms: dice.between(1_500, 4_000),
        },
        8 => Fault::ServerTerm { which, down_ms },
        _ if servers > 1 => Fault::ServersKill { down_ms },
        _ => Fault::ServerKill { which, down_ms },
    }
}

fn who(dice: &mut Dice) -> Who {
    match dice.between(0, 9) {
        0..4 => Who::Leader,
        4..6 => Who::Coordinator(place(dice, COORDINATORS.len())),
        _ => Who::Worker(place(dice, WORKERS.len())),
    }
}

fn line(dice: &mut Dice) -> Line {
    match dice.between(0, 3) {
        0 => Line::Submitters,
        _ => Line::Of(who(dice)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, plan};
    use std::time::Duration;

    const SHAPE: Shape = Shape {
        count: 50,
        span: Duration::from_secs(60),
        servers: 1,
        steady: None,
    };

    #[test]
    fn a_seed_makes_the_same_plan_each_time() {
        assert_eq!(plan(7, &SHAPE), plan(7, &SHAPE));
        assert_ne!(plan(7, &SHAPE), plan(8, &SHAPE));
        assert_eq!(plan(7, &SHAPE).len(), 50);
    }

    #[test]
    fn servers_have_their_share() {
        for (servers, least) in [(1, 50), (3, 22)] {
            let count = 200;
            let shape = Shape {
                count,
                servers,
                ..SHAPE
            };
            for seed in 0..50 {
                let all = plan(seed, &shape);
                let of_servers = all.iter().filter(|planned| planned.fault.is_of_a_server());
                let of_servers = of_servers.count();
                assert!(of_servers >= least, "seed {seed}: {of_servers} of {count}");
            }
        }
    }

    #[test]
    fn processes_live_on_while_the_plan_is_steady() {
        let steady = Some(Duration::from_secs(25));
        let shape = Shape { steady, ..SHAPE };
        let ends = |planned: &&super::Planned| planned.fault.ends_somebody();
        let all = plan(7, &shape);
        assert!(all.iter().filter(ends).count() > 0);
        let early = |second| (second < 25) || (30..55).contains(&second);
        let of_steady = all.iter().filter(|planned| early(planned.at.as_secs()));
        assert_eq!(of_steady.filter(ends).count(), 0);
    }
}
