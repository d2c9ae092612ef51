//! Calls to holders that die and stand still.

use std::time::Instant;

use async_nats::jetstream;
use async_nats::{Client, HeaderMap, StatusCode};
use futures::{FutureExt, StreamExt};
use protocol::id::{GroupName, Namespace, SingletonKey, SingletonName};
use protocol::number::Epoch;
use protocol::proxy::{TenureName, header};
use protocol::subject::Subjects;
use tests::process::Process;
use tests::wait::{PATIENCE, eventually, until, within};
use worker_sdk::{CallAnswer, CallFailure, CallRequest, LeaderProxy, LeaseTimings};

use crate::stand::{END, Stand, begins};

const SERVE: [&str; 1] = ["--serve"];
const CALL: &str = "test_singleton: call";

/// What is asked again of whoever leads next is asked for this long.
fn request(payload: &'static str) -> CallRequest {
    CallRequest::new(payload).within(PATIENCE)
}

async fn proxy(stand: &Stand) -> LeaderProxy {
    let proxy = LeaderProxy::in_group("report").group("test");
    let proxy = proxy.servers(&stand.server.url()).start().await;
    proxy.unwrap()
}

/// The answer's epoch, if this process gave it.
fn epoch_by(name: &str, answer: Result<CallAnswer, CallFailure>) -> Epoch {
    let answer = answer.unwrap();
    assert_eq!(answer.payload, name);
    answer.epoch
}

#[tokio::test]
async fn a_call_to_a_leader_that_is_killed_is_answered_by_the_next_one() {
    for (mode, lease) in [("fenced", "long"), ("strict", "test")] {
        let stand = Stand::new(mode, lease).await;
        let proxy = proxy(&stand).await;
        let mut first = stand.start("a", &SERVE).await;
        let before = epoch_by("a", proxy.call(request("who")).await);
        let mut second = stand.start("b", &SERVE).await;
        let mark = first.mark();
        let kill = async {
            first
                .wait_for_line_after(mark, CALL, PATIENCE)
                .await
                .unwrap();
            first.kill().await.unwrap();
        };
        let (held, ()) = tokio::join!(proxy.call(request("hold:a")), kill);
        let after = epoch_by("b", held);
        assert!(before < after, "{before} {after}");
        begins(&mut second).await;
        assert_eq!(epoch_by("b", proxy.call(request("who")).await), after);
        stand.tokens_grow();
    }
}

#[tokio::test]
async fn calls_made_while_nobody_leads_are_answered_by_who_comes() {
    let stand = Stand::new("fenced", "long").await;
    let proxy = proxy(&stand).await;
    let mut first = stand.start("a", &SERVE).await;
    epoch_by("a", proxy.call(request("who")).await);
    first.kill().await.unwrap();
    let calls = (0..20).map(|_| proxy.call(request("who")));
    let calls = futures::future::join_all(calls);
    let (answers, _second) = tokio::join!(calls, stand.start("b", &SERVE));
    for answer in answers {
        epoch_by("b", answer);
    }
    let text = std::fs::read_to_string(stand.log("b")).unwrap();
    let carried_out = text.lines().filter(|line| line.starts_with("call"));
    assert_eq!(carried_out.count(), 20);
}

/// Whom the record names.
async fn holder(client: &Client) -> TenureName {
    let context = jetstream::new(client.clone());
    let stream = context.get_stream("KV_jobs_singletons").await.unwrap();
    let subject = "$KV.jobs_singletons.group.test.report";
    let record = stream.get_last_raw_message_by_subject(subject).await;
    TenureName::of_record(&record.unwrap().payload).unwrap()
}

fn subject(tenure: &TenureName) -> String {
    let group = GroupName::new("test").unwrap();
    let key = SingletonKey::Group(group, SingletonName::new("report").unwrap());
    Subjects::new(Namespace::default()).call(&key, tenure)
}

/// Until nobody listens there any more.
async fn is_left(client: &Client, subject: &str) {
    eventually("the end of the old subject", PATIENCE, async || {
        let asked = client.request(subject.to_owned(), "".into()).await;
        match asked {
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_leader_that_wakes_after_its_lease_answers_nothing() {
    let stand = Stand::new("fenced", "test").await;
    let proxy = proxy(&stand).await;
    let client = async_nats::connect(stand.server.url()).await.unwrap();
    let mut first: Process = stand.start("a", &SERVE).await;
    begins(&mut first).await;
    let before = epoch_by("a", proxy.call(request("who")).await);
    let mut second = stand.start("b", &SERVE).await;
    let old = holder(&client).await;
    assert_eq!(old.epoch, before);

    first.pause().unwrap();
    let paused = Instant::now();
    // What waits in the socket of the one that stands still.
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(inbox.clone()).await.unwrap();
    for place in 0..20 {
        let mut headers = HeaderMap::new();
        headers.insert(header::CALL_ID, format!("late-{place}"));
        let asked = client.publish_with_reply_and_headers(
            subject(&old),
            inbox.clone(),
            headers,
            "who".into(),
        );
        asked.await.unwrap();
    }
    client.flush().await.unwrap();
    begins(&mut second).await;
    let after = epoch_by("b", proxy.call(request("who")).await);
    assert!(before < after, "{before} {after}");
    // The pause outlasts the lease.
    until(paused + LeaseTimings::test().lease).await;

    let mark = first.mark();
    first.resume().unwrap();
    first
        .wait_for_line_after(mark, END, PATIENCE)
        .await
        .unwrap();
    is_left(&client, &subject(&old)).await;
    within("the way of what was answered", PATIENCE, client.flush())
        .await
        .unwrap()
        .unwrap();
    while let Some(Some(reply)) = replies.next().now_or_never() {
        assert_ne!(reply.status, Some(StatusCode::NO_RESPONDERS));
        let headers = reply.headers.unwrap();
        let verdict = headers.get(header::VERDICT).unwrap();
        assert_eq!(verdict.as_str(), "not-leading");
    }
    let text = std::fs::read_to_string(stand.log("a")).unwrap();
    let carried_out = text.lines().filter(|line| line.starts_with("call"));
    assert_eq!(carried_out.count(), 1, "{text}");
    assert_eq!(epoch_by("b", proxy.call(request("who")).await), after);
    stand.tokens_grow();
}
