//! Leaders whose program is stuck: they lose the lease while their process and connection live.

use std::time::Duration;

use election::{Election, ElectionConfig, Event, Mode, Standing};
use protocol::number::Epoch;

use crate::server::Server;
use crate::stand::{LONG_LEASE, Stand, config};

/// Progress must be reported within this time: long enough to start and win even on a busy machine.
const WITHIN: Duration = Duration::from_secs(4);

fn watched(server: &Server, holder: &str, mode: Mode) -> ElectionConfig {
    ElectionConfig {
        progress_within: Some(WITHIN),
        ..config(server.broker(), holder, mode)
    }
}

/// Reports progress whenever the election shows something new, several times a second.
async fn works(election: &Election, until: impl Fn(u64) -> bool) {
    let mut state = election.watch();
    loop {
        election.alive();
        if until(state.borrow_and_update().tally.stored) {
            return;
        }
        state.changed().await.expect("the election runs");
    }
}

#[tokio::test]
async fn a_stuck_leader_loses_its_permit_and_stands_again_with_its_program() {
    for mode in [Mode::Fenced, Mode::Strict] {
        let server = Server::start().await;
        let mut leader = Stand::campaign(watched(&server, "a", mode)).await;
        let epoch = leader.acquired().await;
        // As long as it reports progress it is renewed.
        works(&leader.election, |stored| stored >= 9).await;
        assert_eq!(leader.election.permit(epoch).check(), Ok(()));
        // Now it reports nothing.
        let (lost, reason) = leader.lost().await;
        assert_eq!(
            (lost, reason.as_str()),
            (epoch, "the program made no progress")
        );
        assert!(leader.election.permit(epoch).check().is_err());
        leader.election.alive();
        assert_eq!(leader.acquired().await, epoch.next(), "{mode:?}");
    }
}

#[tokio::test]
async fn the_lease_of_a_stuck_fenced_leader_goes_to_one_that_works() {
    let server = Server::start().await;
    let mut stuck = watched(&server, "a", Mode::Fenced);
    stuck.timings = LONG_LEASE;
    let mut stuck = Stand::campaign(stuck).await;
    assert_eq!(stuck.acquired().await, Epoch::new(1));
    let mut other = config(server.broker(), "b", Mode::Fenced);
    other.timings = LONG_LEASE;
    let mut other = Stand::campaign(other).await;
    // Nobody waits a lease of two minutes out here.
    assert_eq!(other.acquired().await, Epoch::new(2));
    let (lost, reason) = stuck.lost().await;
    assert_eq!(
        (lost, reason.as_str()),
        (Epoch::new(1), "the program made no progress")
    );
    assert_eq!(stuck.election.snapshot().standing, Standing::Candidate);
    let again = |event: &Event| matches!(event, Event::Acquired { epoch } if epoch.get() > 1);
    assert!(!stuck.seen().iter().any(again), "{:?}", stuck.seen());
}
