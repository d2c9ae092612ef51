//! The plan: which member holds what, and what is being taken from whom. One record, made and read
//! here only.

use serde::{Deserialize, Serialize};

use super::exchange::Grant;
use super::record::{self, RecordError, VERSION};
use super::rules::Sharing;
use crate::leadership::Incarnation;
use crate::number::{Epoch, Sequence};

/// Most partitions of a crew.
pub const PARTITIONS_MAX: u32 = 1_024;

/// More bytes than this are no plan.
pub const PLAN_BYTES_MAX: usize = 131_072;

/// Most members that a plan names; more wait until one of them is gone.
pub(super) const MEMBERS_MAX: usize = 2_000;

/// In a plan that is not stored yet: the revision that it will be stored at.
pub(super) const HERE: Sequence = Sequence::new(0);

/// Who holds what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The epoch of its author in the election of planners: for people, decides nothing.
    pub epoch: Epoch,
    /// The name of its author, for people.
    pub author: String,
    /// What it says.
    pub spread: Spread,
}

/// What a plan says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spread {
    /// Nobody holds anything: what stood here before is not known.
    Founding,
    /// Each partition's place, by its number.
    Partitions(Vec<Share>),
    /// A generation: the member at place i holds index i.
    Running {
        /// The revision of the plan that began it: the generation's number.
        since: Sequence,
        /// Its members, each once.
        members: Vec<Incarnation>,
    },
    /// The generation ends: its members hold nothing any more, and say so.
    Ending {
        /// The revision of the plan that ended it.
        asked: Sequence,
        /// Whose word is awaited.
        members: Vec<Incarnation>,
    },
}

/// The place of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Share {
    /// Nobody holds it.
    Free,
    /// A member holds it.
    Held {
        /// Who.
        by: Incarnation,
        /// The revision of the plan that gave it: the share's token.
        since: Sequence,
    },
    /// It is taken from a member, whose word is awaited.
    Leaving {
        /// From whom.
        by: Incarnation,
        /// The revision of the plan that took it.
        asked: Sequence,
    },
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: u32,
    epoch: Epoch,
    author: String,
    members: Vec<Incarnation>,
    spread: WireSpread,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireSpread {
    Founding,
    /// Each partition: nothing, or the holder's place among the members and since when, or in
    /// addition from when it is taken away.
    Partitions(Vec<Vec<u64>>),
    Running {
        since: Sequence,
    },
    Ending {
        asked: Sequence,
    },
}

impl Plan {
    /// Reads what stands at the plan's key at this revision.
    ///
    /// # Errors
    /// The bytes are something else, a newer version, or contradict themselves.
    pub fn parse(revision: Sequence, bytes: &[u8]) -> Result<Self, RecordError> {
        let plan = Self::read(bytes)?;
        if plan.newest_mark() > revision {
            return Err(RecordError::Range("since"));
        }
        Ok(plan.stored_at(revision))
    }

    /// Reads a plan as its author meant it, wherever it is stored.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let wire: Wire = record::read(bytes, PLAN_BYTES_MAX)?;
        let members = wire.members;
        let mut sorted: Vec<&Incarnation> = members.iter().collect();
        sorted.sort();
        sorted.dedup();
        if sorted.len() != members.len() || members.len() > MEMBERS_MAX {
            return Err(RecordError::Range("members"));
        }
        let spread = match wire.spread {
            WireSpread::Founding => Spread::Founding,
            WireSpread::Partitions(shares) => {
                let count = u32::try_from(shares.len()).unwrap_or(u32::MAX);
                if count == 0 || count > PARTITIONS_MAX {
                    return Err(RecordError::Range("partitions"));
                }
                let shares = shares.iter().map(|share| read_share(share, &members));
                Spread::Partitions(shares.collect::<Result<_, _>>()?)
            }
            WireSpread::Running { since } => Spread::Running { since, members },
            WireSpread::Ending { asked } => Spread::Ending { asked, members },
        };
        Ok(Self {
            epoch: wire.epoch,
            author: wire.author,
            spread,
        })
    }

    /// The bytes for the bucket.
    ///
    /// # Panics
    /// Never: strings and numbers are always JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let members = self.spread.members();
        let place = |by: &Incarnation| {
            let place = members.iter().position(|member| member == by);
            u64::try_from(place.expect("the list has every holder")).unwrap_or(u64::MAX)
        };
        let spread = match &self.spread {
            Spread::Founding => WireSpread::Founding,
            Spread::Partitions(shares) => WireSpread::Partitions(
                shares
                    .iter()
                    .map(|share| match share {
                        Share::Free => Vec::new(),
                        Share::Held { by, since } => vec![place(by), since.get()],
                        Share::Leaving { by, asked } => vec![place(by), 0, asked.get()],
                    })
                    .collect(),
            ),
            Spread::Running { since, .. } => WireSpread::Running { since: *since },
            Spread::Ending { asked, .. } => WireSpread::Ending { asked: *asked },
        };
        let wire = Wire {
            v: VERSION,
            epoch: self.epoch,
            author: self.author.clone(),
            members,
            spread,
        };
        serde_json::to_vec(&wire).expect("strings and numbers are always JSON")
    }

    /// The plan once it is stored: what it gives and takes itself bears its revision.
    #[must_use]
    pub(super) fn stored_at(mut self, revision: Sequence) -> Self {
        self.spread.each_mark(|mark| {
            if *mark == HERE {
                *mark = revision;
            }
        });
        self
    }

    fn newest_mark(&self) -> Sequence {
        let mut newest = HERE;
        let mut spread = self.spread.clone();
        spread.each_mark(|mark| newest = newest.max(*mark));
        newest
    }

    /// Whether it shares what these rules share; a founded plan shares nothing yet.
    pub(super) fn fits(&self, sharing: Sharing) -> bool {
        match (&self.spread, sharing) {
            (Spread::Founding, Sharing::Partitions(_) | Sharing::Index) => true,
            (Spread::Partitions(shares), Sharing::Partitions(count)) => {
                u32::try_from(shares.len()) == Ok(count)
            }
            (Spread::Running { .. } | Spread::Ending { .. }, Sharing::Index) => true,
            (Spread::Partitions(_), Sharing::Index) => false,
            (Spread::Running { .. } | Spread::Ending { .. }, Sharing::Partitions(_)) => false,
        }
    }

    /// What this life of a member may run, in the order of the numbers.
    pub(super) fn granted(&self, me: &Incarnation) -> Vec<Grant> {
        let len = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        match &self.spread {
            Spread::Founding | Spread::Ending { .. } => Vec::new(),
            Spread::Partitions(shares) => {
                let of = len(shares.len());
                let grant = |(number, share): (u32, &Share)| match share {
                    Share::Held { by, since } if by == me => Some(Grant {
                        number,
                        of,
                        token: *since,
                    }),
                    Share::Held { .. } | Share::Free | Share::Leaving { .. } => None,
                };
                (0..).zip(shares).filter_map(grant).collect()
            }
            Spread::Running { since, members } => (0..)
                .zip(members)
                .filter(|(_, member)| *member == me)
                .map(|(number, _)| Grant {
                    number,
                    of: len(members.len()),
                    token: *since,
                })
                .collect(),
        }
    }

    /// Whether it waits for the word of this member, and not yet heard it.
    pub(super) fn awaits(&self, me: &Incarnation, obeys: Sequence) -> bool {
        match &self.spread {
            Spread::Founding => true,
            Spread::Running { .. } => false,
            Spread::Partitions(shares) => shares.iter().any(|share| match share {
                Share::Leaving { by, asked } => by == me && *asked > obeys,
                Share::Free | Share::Held { .. } => false,
            }),
            Spread::Ending { asked, members } => *asked > obeys && members.contains(me),
        }
    }
}

impl Spread {
    /// Whoever holds something or is being waited for, in the order of indices where there are.
    #[must_use]
    pub fn members(&self) -> Vec<Incarnation> {
        match self {
            Self::Founding => Vec::new(),
            Self::Running { members, .. } | Self::Ending { members, .. } => members.clone(),
            Self::Partitions(shares) => {
                let mut members: Vec<Incarnation> =
                    shares.iter().filter_map(Share::holder).cloned().collect();
                members.sort();
                members.dedup();
                members
            }
        }
    }

    pub(super) fn each_mark(&mut self, mut act: impl FnMut(&mut Sequence)) {
        match self {
            Self::Founding => {}
            Self::Partitions(shares) => {
                for share in shares {
                    match share {
                        Share::Free => {}
                        Share::Held { since, .. } => act(since),
                        Share::Leaving { asked, .. } => act(asked),
                    }
                }
            }
            Self::Running { since, .. } => act(since),
            Self::Ending { asked, .. } => act(asked),
        }
    }
}

impl Share {
    pub(super) const fn holder(&self) -> Option<&Incarnation> {
        match self {
            Self::Free => None,
            Self::Held { by, .. } | Self::Leaving { by, .. } => Some(by),
        }
    }
}

fn read_share(numbers: &[u64], members: &[Incarnation]) -> Result<Share, RecordError> {
    let holder = |place: u64| {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let member = members.get(place).cloned();
        member.ok_or(RecordError::Range("partitions"))
    };
    match numbers {
        [] => Ok(Share::Free),
        [place, since] => Ok(Share::Held {
            by: holder(*place)?,
            since: Sequence::new(*since),
        }),
        [place, _, asked] => Ok(Share::Leaving {
            by: holder(*place)?,
            asked: Sequence::new(*asked),
        }),
        [_] | [_, _, _, _, ..] => Err(RecordError::Range("partitions")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HERE, Plan, Share, Spread};
    use crate::number::{Epoch, Sequence};

    fn plan(spread: Spread) -> Plan {
        Plan {
            epoch: Epoch::new(4),
            author: "node-a".to_owned(),
            spread,
        }
    }

    #[test]
    fn the_wire_form_is_fixed_and_what_is_new_bears_the_revision() {
        let (a, b) = ("A".parse().unwrap(), "B".parse().unwrap());
        let shares = vec![
            Share::Held { by: b, since: HERE },
            Share::Free,
            Share::Leaving {
                by: a,
                asked: Sequence::new(7),
            },
        ];
        let plan = plan(Spread::Partitions(shares));
        let text = String::from_utf8(plan.encode()).unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"epoch":4,"author":"node-a","members":["A","B"],"spread":{"partitions":[[1,0],[],[0,0,7]]}}"#
        );
        let at = Sequence::new(9);
        let read = Plan::parse(at, text.as_bytes()).unwrap();
        assert_eq!(read, plan.stored_at(at));
        assert_eq!(read.granted(&"B".parse().unwrap())[0].token, at);
        assert!(read.awaits(&"A".parse().unwrap(), Sequence::new(6)));
        assert!(!read.awaits(&"A".parse().unwrap(), Sequence::new(7)));
    }

    #[test]
    fn a_generation_names_each_member_once() {
        let members = vec!["A".parse().unwrap(), "B".parse().unwrap()];
        let plan = plan(Spread::Running {
            since: Sequence::new(5),
            members,
        });
        let text = String::from_utf8(plan.encode()).unwrap();
        let at = Sequence::new(9);
        assert_eq!(Plan::parse(at, text.as_bytes()), Ok(plan.clone()));
        let grant = plan.granted(&"B".parse().unwrap())[0];
        assert_eq!((grant.number, grant.of, grant.token.get()), (1, 2, 5));
        for broken in [
            text.replace("\"B\"", "\"A\""),
            text.replace("5", "10"),
            text.replace("\"v\":1", "\"v\":0"),
            text.replace("running", "walking"),
        ] {
            assert_ne!(broken, text);
            assert!(Plan::parse(at, broken.as_bytes()).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Plan::parse(Sequence::new(1), &bytes).is_err());
        }

        #[test]
        fn no_shares_panic(shares in proptest::collection::vec(proptest::collection::vec(0..4_u64, 0..5), 0..5)) {
            let text = format!(r#"{{"v":1,"epoch":1,"author":"a","members":["A"],"spread":{{"partitions":{shares:?}}}}}"#);
            let read = Plan::parse(Sequence::new(3), text.as_bytes());
            if let Ok(plan) = read {
                prop_assert_eq!(Plan::parse(Sequence::new(3), &plan.encode()), Ok(plan));
            }
        }
    }
}
