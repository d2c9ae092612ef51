//! Who has a permission and means harm: what they can reach, what the coordinator sees and says, and
//! how an operator gets out of it.

use std::process::Output;

use nats_config::Role;
use tests::raw::publish_raw;
use tests::system::job;
use tests::wait::{PATIENCE, eventually};
use tests::{Lease, Size, System};

fn text_of(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// One message of a trusted submitter stops a replicated ledger of nats-server 2.14.6 to 2.15.1 for good.
#[tokio::test]
async fn a_poisoned_header_stops_a_replicated_ledger_and_the_status_says_so() {
    let (system, _a) = System::with_leader(Size::Three, Lease::Quick)
        .await
        .unwrap();
    let _worker = system.worker("w1").await.unwrap();
    system.submit(job("before", "")).await.unwrap();
    system.ended(1).await.unwrap();
    let submitter = system.client_of(Role::TrustedSubmitter);
    let poisoned = job("poisoned", "").header("Nats-Expected-Last-Msg-Id", &"no such id");
    let refused = publish_raw(submitter, poisoned).await.unwrap();
    assert_eq!(refused.code(), 10_070);
    let output = system.command(&["submit", "work", "after"]).await.unwrap();
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(
        text.contains("not known whether the job was accepted"),
        "{text}"
    );

    let alarm = eventually("an alarm about the ledger", PATIENCE, async || {
        let output = system.command(&["status"]).await;
        let text = text_of(&output.map_err(|error| error.to_string())?);
        let alarm = text.lines().find(|line| line.starts_with("ALARM"));
        alarm.map(str::to_owned).ok_or(text)
    });
    let alarm = alarm.await.unwrap();
    assert!(alarm.contains("the ledger has not answered for"), "{alarm}");
    assert!(alarm.contains("A ledger that does not answer"), "{alarm}");

    // What was accepted can still be read out, by direct get.
    let request = r#"{"seq":3}"#.into();
    let stored = system.client.request("$JS.API.DIRECT.GET.JOBS", request);
    let stored = stored.await.unwrap();
    let subject = stored
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Subject"));
    assert_eq!(subject.unwrap().as_str(), "jobs.submit.work.before");
}
