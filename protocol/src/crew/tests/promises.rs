//! What must hold in every order of events. The numbers are those under which a checker of real
//! processes knows the same promises.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::broker::Broker;
use super::life::Life;
use crate::crew::plan::{Plan, Share, Spread};
use crate::crew::{Grant, MemberState, Sharing};
use crate::leadership::Incarnation;
use crate::number::Sequence;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// I3, I4: a share is executed twice, or two generations at once.
    Twice(Incarnation, Grant, Incarnation, Grant),
    /// I7: a token is not above all that were given before, and another holder had that one.
    Token(Incarnation, Grant, Sequence),
    /// I2: a share is beyond what there are, or the process has two indices.
    Number(Incarnation, Grant),
    /// I1, I5: a plan gives away what its holder may still run, or is none that may follow.
    Follows(Sequence),
    /// I6, I9: a process that was not paused is killed, since it ran to the end of its permit.
    Killed(Incarnation),
    /// I9: a record that was over is not any more.
    Over(Incarnation),
    /// I8: not everything is held so many steps after the last fault, or not for good.
    Unheld(Vec<u32>),
    /// A member that has done everything wants to do something.
    Restless(Incarnation),
}

/// What an outside system or an operator sees of a promise that was not kept. The others show it
/// coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    Twice,
    Token,
    Killed,
}

impl Broken {
    pub(super) const fn harm(&self) -> Option<Harm> {
        match self {
            Self::Twice(..) => Some(Harm::Twice),
            Self::Token(..) => Some(Harm::Token),
            Self::Killed(_) => Some(Harm::Killed),
            Self::Number(..) | Self::Follows(_) => None,
            Self::Over(_) | Self::Unheld(_) | Self::Restless(_) => None,
        }
    }
}

/// The highest token that was given out for each share, and to which life.
pub(super) type Tokens = BTreeMap<u32, (Sequence, Incarnation)>;

/// I7, for the moment at which a life starts a share.
pub(super) fn starts(me: &Incarnation, grant: Grant, tokens: &mut Tokens) -> Result<(), Broken> {
    if let Some((token, holder)) = tokens.get(&grant.number) {
        let fresh = grant.token > *token || (grant.token == *token && holder == me);
        if !fresh {
            return Err(Broken::Token(me.clone(), grant, *token));
        }
    }
    tokens.insert(grant.number, (grant.token, me.clone()));
    Ok(())
}

/// I2, I3, I4, for what is executed at one moment.
pub(super) fn apart(sharing: Sharing, lives: &[Rc<Life>]) -> Result<(), Broken> {
    for (place, one) in lives.iter().enumerate() {
        let runs = one.executes();
        for grant in &runs {
            if grant.number >= grant.of || (sharing == Sharing::Index && runs.len() > 1) {
                return Err(Broken::Number(one.me().clone(), *grant));
            }
            for other in &lives[place + 1..] {
                let collides = |beside: &Grant| {
                    let generations = sharing == Sharing::Index && beside.token != grant.token;
                    beside.number == grant.number || generations
                };
                if let Some(beside) = other.executes().into_iter().find(collides) {
                    let (one, other) = (one.me().clone(), other.me().clone());
                    return Err(Broken::Twice(one, *grant, other, beside));
                }
            }
        }
    }
    Ok(())
}

/// I1, I5, for a plan at the moment at which it is stored.
pub(super) fn follows(before: Option<&Plan>, broker: &Broker) -> Result<(), Broken> {
    let Some((revision, after)) = &broker.plan else {
        return Ok(());
    };
    let free = |member: &Incarnation, asked: Option<Sequence>| {
        let (_, record) = &broker.members[member];
        let obeys = |asked| record.obeys >= asked;
        record.state != MemberState::Joined || asked.is_some_and(obeys)
    };
    let all_free = |members: &[Incarnation], asked| {
        let mut members = members.iter();
        members.all(|member| free(member, Some(asked)))
    };
    let fits = match (before.map(|plan| &plan.spread), &after.spread) {
        (None, Spread::Founding) => true,
        // That nobody runs anything then is asked of the processes.
        (Some(Spread::Founding), Spread::Partitions(_) | Spread::Running { .. }) => true,
        (Some(Spread::Partitions(before)), Spread::Partitions(after)) => {
            let mut pairs = before.iter().zip(after);
            before.len() == after.len()
                && pairs.all(|(before, after)| share_follows(before, after, *revision, free))
        }
        (
            Some(Spread::Running { members, since }),
            Spread::Running {
                members: next,
                since: from,
            },
        ) => (members == next && since == from) || (members.is_empty() && from == revision),
        (
            Some(Spread::Running { members, .. }),
            Spread::Ending {
                members: ended,
                asked,
            },
        ) => members == ended && asked == revision,
        (Some(Spread::Ending { members, asked }), Spread::Running { since, .. }) => {
            since == revision && all_free(members, *asked)
        }
        (Some(_) | None, _) => false,
    };
    if fits && each_once(after) {
        Ok(())
    } else {
        Err(Broken::Follows(*revision))
    }
}

fn share_follows(
    before: &Share,
    after: &Share,
    revision: Sequence,
    free: impl Fn(&Incarnation, Option<Sequence>) -> bool,
) -> bool {
    let was_free = match before {
        Share::Free => true,
        Share::Held { by, .. } => free(by, None),
        Share::Leaving { by, asked } => free(by, Some(*asked)),
    };
    let is_taken = match (before, after) {
        (Share::Held { by, .. }, Share::Leaving { by: from, asked }) => {
            by == from && *asked == revision
        }
        _ => false,
    };
    let is_given = match after {
        Share::Held { since, .. } => *since == revision,
        Share::Free => true,
        Share::Leaving { .. } => false,
    };
    before == after || is_taken || (was_free && is_given)
}

fn each_once(plan: &Plan) -> bool {
    let mut members = plan.spread.members();
    let count = members.len();
    members.sort();
    members.dedup();
    members.len() == count
}
