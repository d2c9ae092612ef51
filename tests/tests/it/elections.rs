//! What an operator sees of elections and may do about them, by the command line on a real system.

use std::process::Output;

use serde_json::Value;
use tests::wait::PATIENCE;
use tests::{Lease, Size, System};

async fn run(system: &System, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = system.command(arguments).await.unwrap();
    let told = serde_json::from_slice(&stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    (status.code(), told, said)
}

#[tokio::test]
async fn a_leader_is_shown_and_hands_over_when_it_is_asked_to() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let _b = system.coordinator("b").await.unwrap();
    let (code, listed, said) = run(&system, &["elections", "ls", "-j"]).await;
    assert_eq!(code, Some(0), "{said}");
    let leader = &listed[0];
    assert_eq!(leader["holder"], "a", "{listed}");
    assert_eq!(
        (&leader["state"], &leader["pulse"]),
        (&"held".into(), &"answers".into())
    );

    let (code, _, said) = run(&system, &["elections", "step-down", "work", "--epoch", "7"]).await;
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("is in epoch 1, not in epoch 7"), "{said}");
    let (code, _, said) = run(&system, &["elections", "show", "nothing"]).await;
    assert_eq!(code, Some(3), "{said}");

    let asked = ["elections", "step-down", "work", "--epoch", "1", "-j"];
    let (code, now, said) = run(&system, &asked).await;
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(
        (&now["holder"], &now["state"]),
        (&"a".into(), &"held".into()),
        "{now}"
    );
    let next = system.leader_after(1).await.unwrap();
    assert_eq!(next.holder, "b");
    // It stands again, and takes over when it is its turn.
    let (code, _, said) = run(&system, &["elections", "step-down", "work"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(system.leader_after(next.epoch).await.unwrap().holder, "a");
}

#[tokio::test]
async fn a_leader_that_stands_still_is_evicted_and_does_not_come_back() {
    let (system, mut a) = System::with_leader(Size::One, Lease::Stable).await.unwrap();
    a.pause().unwrap();
    let (code, _, said) = run(&system, &["elections", "step-down", "work"]).await;
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("`evict` takes the lease away"), "{said}");

    let (code, _, said) = run(&system, &["elections", "evict", "work", "--epoch", "2"]).await;
    assert_eq!(code, Some(4), "{said}");
    let evict = ["elections", "evict", "work", "--epoch", "1", "-j"];
    let (code, now, said) = run(&system, &evict).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        (&now["holder"], &now["epoch"]),
        (&"operator".into(), &2.into()),
        "{now}"
    );
    let (code, _, said) = run(&system, &evict).await;
    assert_eq!(code, Some(4), "{said}");

    // Nobody else is there, so it leads again: in a new epoch.
    a.resume().unwrap();
    a.wait_for_line("reason: TakenOver", PATIENCE)
        .await
        .unwrap();
    let next = system.leader_after(2).await.unwrap();
    assert_eq!(next.holder, "a");
}
