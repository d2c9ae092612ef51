//! Holders that stop, die, stand still, hang and do nothing.

use bytes::Bytes;
use futures::StreamExt;
use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use tests::system::coordinator_binary;
use tests::wait::{PATIENCE, within};

use crate::stand::{BEGIN, BEGINS_WITHIN, END, Stand, begins, first_to_begin};

const MODES: [&str; 2] = ["strict", "fenced"];

#[tokio::test]
async fn a_stop_hands_over_at_once() {
    for mode in MODES {
        // Nobody waits a lease of two minutes out here.
        let stand = Stand::new(mode, "long").await;
        let mut first = stand.start("a", &[]).await;
        begins(&mut first).await;
        // The same name is no claim.
        let mut second = stand.start("b", &["--name", "a"]).await;
        let status = first.terminate(PATIENCE).await.unwrap();
        assert!(status.success(), "{status}");
        begins(&mut second).await;
        second.terminate(PATIENCE).await.unwrap();
        let runs = stand.never_two_at_once();
        assert_eq!(runs.len(), 2, "{runs:?}");
    }
}

/// Carries out a command on singletons and returns what it printed.
async fn operate(stand: &Stand, arguments: &[&str]) -> Value {
    let mut command = coordinator_binary().unwrap();
    command.args([
        "--server",
        &stand.server.url(),
        "elections",
        "--singletons",
        "-j",
    ]);
    let what = format!("the end of elections {}", arguments.join(" "));
    let output = within(&what, PATIENCE, command.args(arguments).output()).await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_holder_hands_over_when_an_operator_asks_it_to() {
    for mode in MODES {
        let stand = Stand::new(mode, "long").await;
        let mut first = stand.start("a", &[]).await;
        begins(&mut first).await;
        let mut second = stand.start("b", &[]).await;
        let listed = operate(&stand, &["ls"]).await;
        assert_eq!(listed[0]["holder"], "a", "{listed}");
        let key = listed[0]["key"].as_str().unwrap();
        let epoch = listed[0]["epoch"].to_string();
        operate(&stand, &["step-down", key, "--epoch", &epoch]).await;
        begins(&mut second).await;
        let runs = stand.never_two_at_once();
        assert_eq!(runs.len(), 2, "{runs:?}");
    }
}

#[tokio::test]
async fn a_fenced_holder_that_dies_is_replaced_without_waiting() {
    let stand = Stand::new("fenced", "long").await;
    let mut first = stand.start("a", &[]).await;
    begins(&mut first).await;
    let second = stand.start("b", &[]).await;
    let third = stand.start("c", &[]).await;
    let mut others = [second, third].map(|process| {
        let mark = process.mark();
        (process, mark)
    });
    first.kill().await.unwrap();
    first_to_begin(&mut others).await;
    let runs = stand.tokens_grow();
    assert_eq!(runs.len(), 2, "{runs:?}");
}

#[tokio::test]
async fn a_strict_holder_that_dies_is_replaced_with_nobody_doing_anything() {
    let stand = Stand::new("strict", "test").await;
    let mut first = stand.start("a", &[]).await;
    begins(&mut first).await;
    let mut second = stand.start("b", &[]).await;
    first.kill().await.unwrap();
    begins(&mut second).await;
    stand.never_two_at_once();
}

#[tokio::test]
async fn a_strict_holder_that_stands_still_is_dead_before_the_next_one_begins() {
    for round in 0..3 {
        let stand = Stand::new("strict", "test").await;
        let mut first = stand.start("a", &[]).await;
        begins(&mut first).await;
        let mut second = stand.start("b", &[]).await;
        first.pause().unwrap();
        begins(&mut second).await;
        let status = first.status().unwrap();
        let status = status.unwrap_or_else(|| panic!("round {round}: it is not dead"));
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "round {round}"
        );
        stand.never_two_at_once();
    }
}

#[tokio::test]
async fn what_a_fenced_holder_sends_after_a_pause_is_refused_by_its_token() {
    let stand = Stand::new("fenced", "test").await;
    let client = async_nats::connect(stand.server.url()).await.unwrap();
    let mut acts = client.subscribe("sink").await.unwrap();
    let sink = ["--sink", "sink"];
    let mut first = stand.start("a", &sink).await;
    begins(&mut first).await;
    let mut second = stand.start("b", &sink).await;
    first.pause().unwrap();
    begins(&mut second).await;
    // The store has seen an act of the second one; the first goes on.
    let newest = stand.tokens_grow()[1].token;
    let read = |payload: &Bytes| {
        std::str::from_utf8(payload)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    within("an act of the second one", PATIENCE, async {
        while read(&acts.next().await.unwrap().payload) < newest {}
    })
    .await
    .unwrap();
    first.resume().unwrap();
    first.wait_for_line(END, PATIENCE).await.unwrap();
    let mut refused = 0;
    within("a refused act", PATIENCE, async {
        while refused == 0 {
            refused += u64::from(read(&acts.next().await.unwrap().payload) < newest);
        }
    })
    .await
    .unwrap();
    assert!(refused > 0);
    stand.tokens_grow();
}

#[tokio::test]
async fn a_holder_that_makes_no_progress_gives_way() {
    for mode in MODES {
        let stand = Stand::new(mode, "test").await;
        let mut idle = stand.start("a", &["--misbehave", "idle"]).await;
        begins(&mut idle).await;
        let mut other = stand.start("b", &[]).await;
        begins(&mut other).await;
        let runs = stand.never_two_at_once();
        assert_eq!(runs[0].process, "a", "{runs:?}");
        // It stands again, and waits its turn.
        other.terminate(PATIENCE).await.unwrap();
        let mark = idle.mark();
        let again = idle.wait_for_line_after(mark, BEGIN, BEGINS_WITHIN);
        again.await.unwrap();
        stand.never_two_at_once();
    }
}

#[tokio::test]
async fn work_that_panics_goes_to_another() {
    let stand = Stand::new("strict", "test").await;
    let mut broken = stand.start("a", &["--misbehave", "panic"]).await;
    begins(&mut broken).await;
    let mut other = stand.start("b", &[]).await;
    begins(&mut other).await;
    stand.tokens_grow();
}

#[tokio::test]
async fn work_that_does_not_end_costs_its_process_and_never_gives_the_lease_back() {
    let stand = Stand::new("strict", "test").await;
    let mut stuck = stand.start("a", &["--misbehave", "block"]).await;
    begins(&mut stuck).await;
    let status = stuck.terminate(BEGINS_WITHIN).await.unwrap();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));

    let stand = Stand::new("fenced", "test").await;
    let mut stuck = stand.start("a", &["--misbehave", "block"]).await;
    begins(&mut stuck).await;
    let status = stuck.terminate(BEGINS_WITHIN).await.unwrap();
    // The program is told that it must end.
    assert_eq!(status.code(), Some(4));
}
