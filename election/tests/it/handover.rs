//! Leadership given and taken in good order.

use std::collections::BTreeMap;

use election::{AdvanceError, AdvanceRefused, ElectionConfig, Event, Mode, Standing, boot_now};
use protocol::number::Epoch;

use crate::server::Server;
use crate::stand::{LONG_LEASE, Stand, config};

#[tokio::test]
async fn a_candidate_leads_renews_and_hands_over_at_once_when_it_resigns() {
    for mode in [Mode::Fenced, Mode::Strict] {
        let server = Server::start().await;
        let patient = |holder| ElectionConfig {
            timings: LONG_LEASE,
            ..config(server.broker(), holder, mode)
        };
        let mut first = Stand::campaign(patient("a")).await;
        let epoch = first.acquired().await;
        assert_eq!(epoch, Epoch::new(1));
        let permit = first.election.permit(epoch);
        assert_eq!(permit.check(), Ok(()));

        let mut second = Stand::campaign(patient("b")).await;
        assert_eq!(second.sees_leader("a").await, epoch);
        // Several renewals: trust has been extended beyond the first lease.
        let mut state = first.election.watch();
        let renewed = state.wait_for(|state| state.tally.stored >= 9).await;
        drop(renewed.expect("the election runs"));
        assert_eq!(permit.check(), Ok(()));
        assert!(matches!(
            second.election.snapshot().standing,
            Standing::Candidate
        ));

        // Nobody waits a lease of two minutes out here.
        let before = boot_now();
        first.election.resign().await.unwrap();
        assert!(permit.check().is_err());
        assert_eq!(second.acquired().await, epoch.next());
        println!(
            "{mode:?}: resign to acquired {:?}",
            boot_now().since(before)
        );
        let released = first.wait_for(|event| match event {
            Event::Released { epoch } => Some(*epoch),
            Event::Lost { .. } => panic!("lost after a release"),
            _ => None,
        });
        assert_eq!(released.await, epoch);
        assert_eq!(first.sees_leader("b").await, epoch.next());
        second.election.stop().await;
        assert!(matches!(
            first.election.snapshot().standing,
            Standing::Follower
        ));
    }
}

#[tokio::test]
async fn a_leader_takes_a_new_epoch_on_its_own_record() {
    let server = Server::start().await;
    let mut leader = Stand::campaign(config(server.broker(), "a", Mode::Fenced)).await;
    let first = leader.acquired().await;
    let mut other = Stand::follow(config(server.broker(), "b", Mode::Fenced)).await;
    assert_eq!(other.sees_leader("a").await, first);
    let refused = other.election.advance(first).await;
    assert_eq!(
        refused,
        Err(AdvanceError::Refused(AdvanceRefused::NotLeading))
    );

    let next = leader.election.advance(Epoch::default()).await.unwrap();
    assert_eq!(next, first.next());
    let high = leader.election.advance(Epoch::new(40)).await.unwrap();
    assert_eq!(high, Epoch::new(41));
    assert!(leader.election.permit(first).check().is_err());
    assert_eq!(leader.election.permit(high).check(), Ok(()));
    while other.sees_leader("a").await != high {}
    leader.election.stop().await;
}

#[tokio::test]
async fn the_floor_lifts_the_next_epoch() {
    let server = Server::start().await;
    let mut leader = Stand::follow(config(server.broker(), "a", Mode::Fenced)).await;
    leader.election.raise_floor(Epoch::new(16));
    leader.election.campaign();
    assert_eq!(leader.acquired().await, Epoch::new(17));
}

#[tokio::test]
async fn a_stop_releases_and_the_same_name_is_no_claim() {
    let server = Server::start().await;
    let mut first = Stand::campaign(config(server.broker(), "same", Mode::Strict)).await;
    let epoch = first.acquired().await;
    let mut second = Stand::campaign(config(server.broker(), "same", Mode::Strict)).await;
    second.sees_leader("same").await;
    assert!(matches!(
        second.election.snapshot().standing,
        Standing::Candidate
    ));
    first.election.stop().await;
    assert_eq!(second.acquired().await, epoch.next());
    first
        .wait_for(|event| matches!(event, Event::Released { .. }).then_some(()))
        .await;
    assert_eq!(
        first.election.advance(epoch).await,
        Err(AdvanceError::Ended)
    );
}

/// Whom this one names as leader in the newest epoch, `least` or later.
async fn names(stand: &mut Stand, least: Epoch) -> (Epoch, String) {
    let named = |event: &Event| match event {
        Event::LeaderChanged(Some(leader)) if leader.epoch >= least => {
            Some((leader.epoch, leader.holder.clone()))
        }
        _ => None,
    };
    if let Some(known) = stand.seen().iter().rev().find_map(named) {
        return known;
    }
    stand.wait_for(named).await
}

#[tokio::test]
async fn of_thirty_candidates_exactly_one_wins() {
    let server = Server::start().await;
    let mut stands = Vec::new();
    for place in 0..30 {
        let holder = format!("c{place}");
        stands.push(Stand::follow(config(server.broker(), &holder, Mode::Fenced)).await);
    }
    for stand in &stands {
        stand.election.campaign();
    }
    let mut holders: BTreeMap<Epoch, String> = BTreeMap::new();
    for _round in 0..3 {
        let newer = holders
            .keys()
            .max()
            .map_or(Epoch::new(1), |last| last.next());
        for stand in &mut stands {
            let (epoch, holder) = names(stand, newer).await;
            let known = holders.entry(epoch).or_insert_with(|| holder.clone());
            assert_eq!(*known, holder, "two lead in {epoch}");
        }
        let (epoch, holder) = holders.last_key_value().expect("all name one");
        let place: usize = holder.trim_start_matches('c').parse().expect("a place");
        // On a busy machine a holder may be taken for dead before: then another leads already.
        if let Err(error) = stands[place].election.resign().await {
            println!("{holder} had lost {epoch}: {error}");
        }
    }
    let acquired = |event: &Event| match event {
        Event::Acquired { epoch } => Some(*epoch),
        _ => None,
    };
    let won = stands
        .iter()
        .flat_map(|stand| stand.seen().iter().filter_map(acquired));
    let mut epochs: Vec<Epoch> = won.collect();
    epochs.sort_unstable();
    assert!(epochs.len() >= 3, "{epochs:?}");
    assert!(epochs.is_sorted_by(|a, b| a < b), "won twice: {epochs:?}");
}
