//! A submission to a queue that does not exist waits for it, and is shown meanwhile.

use coordinator::roll_call::{GATHER, roll_call};
use nats_config::Role;
use tests::raw::Message;
use tests::{Lease, Size, System};

#[tokio::test]
async fn a_job_of_an_unknown_queue_waits_until_the_queue_is_added() {
    let (system, _a) = System::with_leader(Size::One, Lease::Quick).await.unwrap();
    let early = Message::new("jobs.submit.other.x", "").header("Jobs-Max-Attempts", &2);
    system.submit(early).await.unwrap();
    system
        .submit(Message::new("jobs.submit.work.y", ""))
        .await
        .unwrap();
    let _worker = system
        .worker_with("w1", &["--queue", "other"])
        .await
        .unwrap();
    // It came first, and what came after it is done.
    assert_eq!(system.end_of("y").await.unwrap().end(), Some("completed"));
    let all = roll_call(
        system.client_of(Role::Viewer),
        system.broker.subjects(),
        GATHER,
    )
    .await;
    let all = all.unwrap();
    assert_eq!(all[0].queues["other"].unconfigured, 1, "{all:?}");
    let status = system.command(&["status"]).await.unwrap();
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("other"), "{text}");

    let added = system.command(&["queue", "add", "other"]).await.unwrap();
    assert!(added.status.success(), "{added:?}");
    system.ended(2).await.unwrap();
    system.tap.look(|book| book.check_all_ended_as("completed"));
    let again = system.command(&["queue", "add", "other"]).await.unwrap();
    assert_eq!(again.status.code(), Some(4), "{again:?}");
}
