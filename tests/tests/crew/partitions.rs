//! Partitions among members that come, go, die and stand still.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use tests::process::Process;
use tests::wait::{PATIENCE, eventually};

use crate::stand::{Rules, SHARES_WITHIN, Stand, wrote};

const ALL: [&str; 3] = ["a", "b", "c"];

const fn twelve(mode: &'static str, lease: &'static str) -> Rules {
    Rules {
        partitions: Some(12),
        mode,
        lease,
    }
}

async fn three<S>(stand: &Stand<S>) -> [Process; 3] {
    let first = stand.start("a", &[]).await;
    let second = stand.start("b", &[]).await;
    let third = stand.start("c", &[]).await;
    let held = stand.shared_by(&ALL).await;
    assert_eq!(held.len(), 12);
    [first, second, third]
}

fn evictions(processes: &[&Process]) -> usize {
    let evicted = |process: &&&Process| wrote(process, "notice=Evicted");
    processes.iter().filter(evicted).count()
}

#[tokio::test]
async fn three_members_share_and_who_dies_is_replaced_when_its_lease_has_run_out() {
    let stand = Stand::new(twelve("strict", "short")).await;
    let [mut first, second, third] = three(&stand).await;
    first.kill().await.unwrap();
    stand.shared_by(&["b", "c"]).await;
    // Nobody took anything before the dead one's record was replaced.
    assert!(evictions(&[&second, &third]) > 0);
    stand.never_two_at_once();
}

#[tokio::test]
async fn who_stops_hands_over_without_a_lease_to_wait_for() {
    let stand = Stand::new(twelve("strict", "quick")).await;
    let [mut first, mut second, third] = three(&stand).await;
    // One of them plans.
    for (leaving, left) in [(&mut first, &ALL[1..]), (&mut second, &ALL[2..])] {
        let status = leaving.terminate(PATIENCE).await.unwrap();
        assert!(status.success(), "{status}");
        stand.shared_by(left).await;
    }
    // They were believed: nobody's silence was waited out.
    assert_eq!(evictions(&[&first, &second, &third]), 0);
    stand.never_two_at_once();
}

#[tokio::test]
async fn a_newcomer_gets_its_part_and_only_that_is_paused() {
    let stand = Stand::new(twelve("strict", "quick")).await;
    let first = stand.start("a", &[]).await;
    let second = stand.start("b", &[]).await;
    let before = stand.shared_by(&["a", "b"]).await;
    let third = stand.start("c", &[]).await;
    let after = stand.shared_by(&ALL).await;
    assert_eq!(stand.held(&["c"]).len(), 4);
    let stayed = |run: &&crate::stand::Run| {
        let same = |now: &crate::stand::Run| (now.number, now.began) == (run.number, run.began);
        after.iter().any(same)
    };
    assert_eq!(
        before.iter().filter(stayed).count(),
        8,
        "{before:?} {after:?}"
    );
    let runs = stand.never_two_at_once();
    assert_eq!(runs.iter().filter(|run| run.process == "c").count(), 4);
    assert_eq!(evictions(&[&first, &second, &third]), 0);
}

#[tokio::test]
async fn a_strict_member_that_stands_still_is_dead_before_others_have_its_partitions() {
    let stand = Stand::new(twelve("strict", "short")).await;
    let [mut first, _second, _third] = three(&stand).await;
    first.pause().unwrap();
    stand.shared_by(&["b", "c"]).await;
    let status = first.status().unwrap().expect("it is not dead");
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    stand.never_two_at_once();
}

#[tokio::test]
async fn a_fenced_member_that_stood_still_holds_nothing_and_joins_again() {
    let stand = Stand::new(twelve("fenced", "short")).await;
    let [mut first, _second, _third] = three(&stand).await;
    first.pause().unwrap();
    stand.shared_by(&["b", "c"]).await;
    let mark = first.mark();
    let before = stand.runs_of("a");
    first.resume().unwrap();
    let out = first.wait_for_line_after(mark, "notice=Out(Evicted", SHARES_WITHIN);
    out.await.unwrap();
    stand.shared_by(&ALL).await;
    // What it had when it was stopped did nothing more.
    let after = stand.runs_of("a");
    for (before, after) in before.iter().zip(&after) {
        assert!(after.ended, "{after:?}");
        assert_eq!((before.began, before.last), (after.began, after.last));
    }
    stand.never_two_at_once();
}

#[tokio::test]
async fn while_the_broker_is_away_nobody_holds_anything() {
    let mut stand = Stand::new(twelve("strict", "short")).await;
    let all = three(&stand).await;
    stand.server.kill().await.unwrap();
    eventually("all work to end", SHARES_WITHIN, async || {
        let held = stand.held(&ALL);
        if held.is_empty() {
            Ok(())
        } else {
            Err(format!("held are {held:?}"))
        }
    })
    .await
    .unwrap();
    for process in &all {
        assert!(wrote(process, "notice=Suspended"), "{}", process.name());
    }
    stand.server.start_again().await.unwrap();
    stand.shared_by(&ALL).await;
    stand.never_two_at_once();
}

#[tokio::test]
async fn work_that_does_not_end_costs_a_strict_process_and_is_never_handed_on_before() {
    let stand = Stand::new(twelve("strict", "quick")).await;
    let mut stuck = stand.start("a", &["--block"]).await;
    let _other = stand.start("b", &[]).await;
    stand.shared_by(&["a", "b"]).await;
    let status = stuck.terminate(SHARES_WITHIN).await.unwrap();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
    stand.shared_by(&["b"]).await;
    stand.never_two_at_once();
}

#[tokio::test]
async fn on_three_servers_the_stream_leader_may_die() {
    let mut stand = Stand::on_three_servers(twelve("strict", "quick")).await;
    let _all = three(&stand).await;
    let client = stand.server.connect().await.unwrap();
    let killed = stand.server.kill_stream_leader(&client, "KV_jobs_crews");
    let (name, _) = killed.await.unwrap();
    stand
        .server
        .server(&name)
        .unwrap()
        .start_again()
        .await
        .unwrap();
    let led = stand.server.stream_leader(&client, "KV_jobs_crews");
    led.await.unwrap();
    // Who was connected there goes on elsewhere, and the crew still changes.
    let _fourth = stand.start("d", &[]).await;
    stand.shared_by(&["a", "b", "c", "d"]).await;
    stand.never_two_at_once();
}
