//! Holders that are killed and paused, servers that restart, writes that land late.

use std::time::Duration;

use election::{Event, LeaseTimings, Mode, Standing, boot_now};
use protocol::leadership::{LeaseRecord, LeaseState};
use protocol::number::Epoch;
use rustix::process::Signal;

use crate::process::Candidate;
use crate::server::Server;
use crate::stand::{Stand, config};

const SUBJECT: &str = "$KV.leaders.work";

#[tokio::test]
async fn a_killed_holder_is_replaced_by_ping_long_before_its_lease_ends() {
    let server = Server::start().await;
    let rules = ["fenced", "long"];
    let mut leader = Candidate::start(&server.url(), "c0", rules).await;
    leader.wait_for("acquired e1").await;
    let mut took = Vec::new();
    for round in 1..=5_u64 {
        let holder = format!("c{round}");
        let mut next = Candidate::start(&server.url(), &holder, rules).await;
        next.wait_for(&format!("leader c{}", round - 1)).await;
        next.say("heard").await;
        next.wait_for("heard").await;
        let until = leader.permit(&Epoch::new(round).to_string()).await;
        let killed = boot_now();
        leader.signal(Signal::KILL);
        let acquired = next.wait_for("acquired").await;
        assert_eq!(acquired.text, format!("acquired {}", Epoch::new(round + 1)));
        assert!(acquired.at < until, "the lease was waited out");
        took.push(Duration::from_nanos(acquired.at - killed.as_nanos()));
        leader = next;
    }
    took.sort_unstable();
    println!("SIGKILL to acquired, R1, pings each 25 ms: {took:?}");
}

#[tokio::test]
async fn a_killed_strict_holder_is_waited_out() {
    let server = Server::start().await;
    let rules = ["strict", "test"];
    let mut leader = Candidate::start(&server.url(), "a", rules).await;
    leader.wait_for("acquired e1").await;
    let mut next = Candidate::start(&server.url(), "b", rules).await;
    next.wait_for("leader a").await;
    let until = leader.permit("e1").await;
    let killed = boot_now();
    leader.signal(Signal::KILL);
    let acquired = next.wait_for("acquired").await;
    assert!(acquired.at > until, "two permits at once");
    let took = Duration::from_nanos(acquired.at - killed.as_nanos());
    println!("SIGKILL to acquired, strict, lease 1.5 s: {took:?}");
}

/// Lets a stopped holder go on, which finds that it was replaced.
async fn finds_its_permit_ended(mut old: Candidate, mut new: Candidate) {
    old.say("check").await;
    old.signal(Signal::CONT);
    old.wait_for("lost e1").await;
    old.wait_for("leader b e2").await;
    let ends = old.seen().iter().filter(|line| line.contains("lost"));
    assert_eq!(ends.count(), 1, "{:?}", old.seen());
    // The new one is not disturbed.
    new.permit("e2").await;
}

#[tokio::test]
async fn a_stopped_strict_holder_is_waited_out_and_finds_its_permit_ended() {
    let server = Server::start().await;
    let rules = ["strict", "test"];
    let mut leader = Candidate::start(&server.url(), "a", rules).await;
    leader.wait_for("acquired e1").await;
    let mut next = Candidate::start(&server.url(), "b", rules).await;
    next.wait_for("leader a").await;
    let until = leader.permit("e1").await;
    leader.signal(Signal::STOP);
    let acquired = next.wait_for("acquired e2").await;
    assert!(acquired.at > until, "two permits at once");
    finds_its_permit_ended(leader, next).await;
}

#[tokio::test]
async fn a_stopped_fenced_holder_is_replaced_by_its_missing_beats_long_before_its_lease_ends() {
    let server = Server::start().await;
    let rules = ["fenced", "long"];
    let mut leader = Candidate::start(&server.url(), "a", rules).await;
    leader.wait_for("acquired e1").await;
    let mut next = Candidate::start(&server.url(), "b", rules).await;
    next.wait_for("leader a").await;
    next.say("beaten").await;
    next.wait_for("beaten").await;
    let until = leader.permit("e1").await;
    let stopped = boot_now();
    leader.signal(Signal::STOP);
    let acquired = next.wait_for("acquired e2").await;
    assert!(acquired.at < until, "the lease was waited out");
    let took = Duration::from_nanos(acquired.at - stopped.as_nanos());
    println!("SIGSTOP to acquired, R1, beats each 100 ms: {took:?}");
    finds_its_permit_ended(leader, next).await;
}

#[tokio::test]
async fn a_restarted_server_suspends_the_holder_and_moves_no_leadership() {
    for mode in [Mode::Fenced, Mode::Strict] {
        let mut server = Server::start().await;
        let mut patient = config(server.broker(), "a", mode);
        patient.timings = LeaseTimings {
            lease: Duration::from_millis(3_000),
            renew: Duration::from_millis(600),
            request: Duration::from_millis(600),
            margin: Duration::from_millis(600),
        };
        let mut other = patient.clone();
        other.holder = "b".to_owned();
        let mut leader = Stand::campaign(patient).await;
        let first = leader.acquired().await;
        let mut other = Stand::campaign(other).await;
        other.sees_leader("a").await;
        server.kill().await;
        let suspended = |event: &Event| matches!(event, Event::Suspended { .. }).then_some(());
        leader.wait_for(suspended).await;
        assert!(leader.election.permit(first).check().is_err());
        server.run().await;
        let resumed = leader.wait_for(|event| match event {
            Event::Resumed { epoch } => Some(*epoch),
            Event::Lost { reason, .. } => panic!("lost: {reason}"),
            _ => None,
        });
        let expected = match mode {
            Mode::Fenced => first,
            Mode::Strict => first.next(),
        };
        assert_eq!(resumed.await, expected);
        assert_eq!(leader.election.permit(expected).check(), Ok(()));
        let won = other
            .seen()
            .iter()
            .any(|event| matches!(event, Event::Acquired { .. }));
        assert!(!won, "{:?}", other.seen());
    }
}

#[tokio::test]
async fn a_broker_that_stands_still_makes_nobody_suspect_the_holder() {
    let server = Server::start().await;
    let mut patient = config(server.broker(), "a", Mode::Fenced);
    // Trusted for 1.2 s: longer than beats and a ping are waited for.
    patient.timings = LeaseTimings {
        lease: Duration::from_secs(12),
        renew: Duration::from_millis(300),
        request: Duration::from_millis(300),
        margin: Duration::from_millis(10_800),
    };
    let mut other = patient.clone();
    other.holder = "b".to_owned();
    let mut leader = Stand::campaign(patient).await;
    let first = leader.acquired().await;
    let mut other = Stand::campaign(other).await;
    other.sees_leader("a").await;
    let mut state = other.election.watch();
    let heard = state.wait_for(|state| state.tally.beats_heard > 0).await;
    drop(heard.expect("the election runs"));
    server.signal(Signal::STOP);
    let suspended = |event: &Event| matches!(event, Event::Suspended { .. }).then_some(());
    leader.wait_for(suspended).await;
    assert_eq!(other.election.snapshot().tally.suspicions, 0);
    server.signal(Signal::CONT);
    let resumed = leader.wait_for(|event| match event {
        Event::Resumed { epoch } => Some(*epoch),
        Event::Lost { reason, .. } => panic!("lost: {reason}"),
        _ => None,
    });
    assert_eq!(resumed.await, first);
    assert_eq!(other.election.snapshot().tally.early_takeovers, 0);
}

#[tokio::test]
async fn a_candidate_without_a_broker_elects_itself_never_and_recovers() {
    let mut server = Server::start().await;
    let mut stand = Stand::follow(config(server.broker(), "a", Mode::Fenced)).await;
    server.kill().await;
    stand.election.campaign();
    let mut state = stand.election.watch();
    let stands = state.wait_for(|state| !state.connected && state.standing == Standing::Candidate);
    drop(stands.await.expect("the election runs"));
    assert!(stand.election.snapshot().trouble.is_some());
    server.run().await;
    assert_eq!(stand.acquired().await, Epoch::new(1));
    assert_eq!(stand.election.snapshot().trouble, None);
}

/// A record that the process wrote, or might have written, in a candidacy that it gave up.
fn late_record(stand: &Stand, nonce: u64, epoch: u64) -> Vec<u8> {
    let record = LeaseRecord {
        v: LeaseRecord::VERSION,
        holder: "a".to_owned(),
        incarnation: stand.election.incarnation().clone(),
        nonce,
        epoch: Epoch::new(epoch),
        lease_ms: 1_500,
        state: LeaseState::Held,
        acquired: election::wall_now(),
        host: String::new(),
    };
    record.encode()
}

#[tokio::test]
async fn a_late_write_that_names_a_follower_is_released_by_it() {
    let server = Server::start().await;
    let mut follower = Stand::follow(config(server.broker(), "a", Mode::Fenced)).await;
    let context = server.jetstream().await;
    let late = late_record(&follower, 900, 5);
    context
        .publish(SUBJECT, late.into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(follower.sees_leader("a").await, Epoch::new(5));
    follower
        .wait_for(|event| matches!(event, Event::LeaderChanged(None)).then_some(()))
        .await;
    let stream = context.get_stream("KV_leaders").await.unwrap();
    let stored = stream
        .get_last_raw_message_by_subject(SUBJECT)
        .await
        .unwrap();
    let stored = LeaseRecord::parse(&stored.payload).unwrap();
    assert_eq!(
        (stored.state, stored.epoch),
        (LeaseState::Released, Epoch::new(5))
    );
    let won = follower
        .seen()
        .iter()
        .any(|event| matches!(event, Event::Acquired { .. }));
    assert!(!won, "{:?}", follower.seen());
}

#[tokio::test]
async fn a_late_write_that_names_a_candidate_is_adopted_by_a_write_of_its_own() {
    let server = Server::start().await;
    let mut other = Stand::campaign(config(server.broker(), "b", Mode::Strict)).await;
    let first = other.acquired().await;
    let mut candidate = Stand::campaign(config(server.broker(), "a", Mode::Strict)).await;
    candidate.sees_leader("b").await;
    let context = server.jetstream().await;
    let late = late_record(&candidate, 900, first.get() + 1);
    let before = boot_now();
    context
        .publish(SUBJECT, late.into())
        .await
        .unwrap()
        .await
        .unwrap();
    let (lost, reason) = other.lost().await;
    assert_eq!((lost, reason.as_str()), (first, "a took over under e2"));
    // Nothing is known of what the late write replaced: strict waits a whole lease before it acts.
    assert_eq!(candidate.acquired().await, first.next());
    assert!(boot_now().since(before) > LeaseTimings::test().lease);
}

#[tokio::test]
async fn a_repeated_old_write_of_a_deposed_holder_is_refused() {
    let server = Server::start().await;
    let mut first = Stand::campaign(config(server.broker(), "a", Mode::Fenced)).await;
    first.acquired().await;
    let context = server.jetstream().await;
    let stream = context.get_stream("KV_leaders").await.unwrap();
    let old = stream
        .get_last_raw_message_by_subject(SUBJECT)
        .await
        .unwrap();
    let mut second = Stand::campaign(config(server.broker(), "b", Mode::Fenced)).await;
    second.sees_leader("a").await;
    first.election.resign().await.unwrap();
    let epoch = second.acquired().await;
    for expected in [0, old.sequence, old.sequence + 1] {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
        let ack = context
            .publish_with_headers(SUBJECT, headers, old.payload.clone())
            .await;
        assert!(
            ack.unwrap().await.is_err(),
            "the ghost that expected {expected} was stored"
        );
    }
    assert_eq!(second.election.permit(epoch).check(), Ok(()));
}
