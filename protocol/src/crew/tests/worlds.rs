//! The worlds in which the rules of a crew must keep every promise.

use super::faults::{Faults, NONE};
use super::model::{Back, DeadMan, Setting, Settle};
use super::search::{Found, search_formed, search_unformed};
use crate::crew::Sharing;

const THREE: Sharing = Sharing::Partitions(3);

/// A world whose plan follows at once, and whose dead come back at once.
fn setting(sharing: Sharing, faults: Faults) -> Setting {
    Setting {
        sharing,
        faults,
        omitted: None,
        dead_man: DeadMan::On,
        settle: Settle::AtOnce,
        back: Back::AtOnce,
    }
}

pub(super) fn keeps(setting: Setting, found: &Found) {
    let Setting {
        sharing,
        faults,
        settle,
        back,
        ..
    } = setting;
    println!(
        "{sharing:?}, {faults:?}, settles {settle:?}, back {back:?}: {} states, {} events, healed in {} steps at most",
        found.states, found.events, found.steps
    );
    if let Some((broken, events)) = &found.broken {
        let count = events.len();
        panic!("{broken:?} after {count} events: {events:?}");
    }
}

fn all_keep(sharings: &[Sharing], worlds: &[Faults]) {
    for sharing in sharings {
        for faults in worlds {
            let setting = setting(*sharing, *faults);
            keeps(setting, &search_formed(setting));
        }
    }
}

#[test]
fn a_crew_forms_in_any_order_of_events() {
    for (sharing, settle) in [(THREE, Settle::AtOnce), (Sharing::Index, Settle::Later)] {
        let setting = Setting {
            settle,
            back: Back::AtAnyTime,
            ..setting(sharing, NONE)
        };
        keeps(setting, &search_unformed(setting));
    }
}

#[test]
fn any_fault_may_come_at_any_moment() {
    for sharing in [THREE, Sharing::Index] {
        for faults in [
            Faults { crashes: 1, ..NONE },
            Faults { leaves: 1, ..NONE },
            Faults { stale: 1, ..NONE },
            Faults { pauses: 1, ..NONE },
            Faults { lost: 3, ..NONE },
            Faults { late: 2, ..NONE },
            Faults {
                deletions: 1,
                ..NONE
            },
            Faults {
                planners: 1,
                ..NONE
            },
        ] {
            for settle in [Settle::AtOnce, Settle::Later] {
                let setting = Setting {
                    settle,
                    back: Back::AtAnyTime,
                    ..setting(sharing, faults)
                };
                keeps(setting, &search_formed(setting));
            }
        }
    }
}

const PAIRS: [Faults; 8] = [
    Faults {
        crashes: 1,
        pauses: 1,
        ..NONE
    },
    Faults {
        crashes: 1,
        lost: 1,
        ..NONE
    },
    Faults {
        pauses: 1,
        lost: 1,
        ..NONE
    },
    Faults {
        pauses: 1,
        late: 1,
        ..NONE
    },
    Faults {
        pauses: 1,
        planners: 1,
        ..NONE
    },
    Faults {
        crashes: 1,
        leaves: 1,
        ..NONE
    },
    Faults {
        crashes: 1,
        stale: 1,
        ..NONE
    },
    Faults {
        deletions: 1,
        lost: 2,
        ..NONE
    },
];

#[test]
fn two_faults_may_come_together_where_partitions_are_shared() {
    all_keep(&[THREE], &PAIRS);
}

#[test]
fn two_faults_may_come_together_where_indices_are_shared() {
    all_keep(&[Sharing::Index], &PAIRS);
}

const CRASHES: [Faults; 1] = [Faults { crashes: 2, ..NONE }];

#[test]
fn two_may_die_where_partitions_are_shared() {
    all_keep(&[THREE], &CRASHES);
}

#[test]
fn two_may_die_where_indices_are_shared() {
    all_keep(&[Sharing::Index], &CRASHES);
}
