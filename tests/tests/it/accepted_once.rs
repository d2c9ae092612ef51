//! Accepted once, as submitters see it: repeats, conflicts and lost answers, by both doors.

use std::time::Duration;

use nats_config::Role;
use protocol::submission::Priority;
use tests::proxy::{Frame, Proxy};
use tests::system::QUEUE;
use tests::{Lease, Process, Size, System, roles};
use worker_sdk::{Client, SubmitRequest, Submitted};

/// A lost answer is noticed within this by a client that does not wait as long as the default.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

async fn start() -> (System, Process) {
    System::with_leader(Size::One, Lease::Quick).await.unwrap()
}

fn client(system: &System) -> Client {
    Client::with_broker(system.broker_of(Role::TrustedSubmitter))
}

fn request(id: &str, payload: &'static str) -> SubmitRequest {
    SubmitRequest::new(QUEUE, id)
        .unwrap()
        .payload(payload.as_bytes())
}

async fn answers(client: Client) {
    let first = client.submit_raw(request("x", "one")).await.unwrap();
    let Submitted::Accepted { accepted } = first else {
        panic!("{first:?}");
    };
    let again = client.submit_raw(request("x", "one")).await.unwrap();
    assert_eq!(again, Submitted::Duplicate { accepted });
    let others = [
        (request("x", "two"), "payload"),
        (request("x", "one").key("k").unwrap(), "key"),
        (request("x", "one").kind("k").unwrap(), "kind"),
        (
            request("x", "one").priority(Priority::new(0).unwrap()),
            "priority",
        ),
        (
            request("x", "one").run_at(protocol::time::Timestamp::from_millis(1)),
            "run-at",
        ),
    ];
    for (other, named) in others {
        match client.submit_raw(other).await.unwrap() {
            Submitted::Conflict {
                accepted: first,
                differs,
            } => {
                assert_eq!(first, accepted);
                assert!(differs.contains(named), "{differs}");
            }
            other => panic!("another {named} is {other:?}"),
        }
    }
    // What does not make it another job is not compared.
    let patient = request("x", "one").max_attempts(9);
    let again = client.submit_raw(patient).await.unwrap();
    assert_eq!(again, Submitted::Duplicate { accepted });
}

#[tokio::test]
async fn a_repeat_is_a_duplicate_or_a_conflict_for_a_direct_submitter() {
    let (system, _a) = start().await;
    answers(client(&system)).await;
}

#[tokio::test]
async fn a_repeat_is_a_duplicate_or_a_conflict_at_the_front_door() {
    let (system, _a) = start().await;
    let client = Client::with_broker(system.broker_of(Role::Submitter));
    answers(client.front_door()).await;
}

#[tokio::test]
async fn many_at_once_are_each_accepted_once() {
    let (system, _a) = start().await;
    let client = client(&system);
    let all = || (0..200).map(|n| request(&format!("x-{n}"), "same"));
    // Twice each in one go, and by two submitters at once.
    let (left, right) = tokio::join!(
        client.submit_many(all().chain(all())),
        client.submit_many(all())
    );
    let accepted = left.iter().chain(&right).filter(|answer| {
        let answer = answer.as_ref().unwrap();
        assert!(!matches!(answer, Submitted::Conflict { .. }), "{answer:?}");
        matches!(answer, Submitted::Accepted { .. })
    });
    assert_eq!(accepted.count(), 200);
}

/// A client behind a proxy that swallows what `swallow` says.
async fn behind(
    system: &mut System,
    role: Role,
    swallow: impl FnMut(&Frame) -> bool + Send + 'static,
) -> (Proxy, Client) {
    let proxy = Proxy::start(system.server().port()).await.unwrap();
    proxy.swallow(swallow);
    let options = roles::connect_options(Some(role));
    let client = options.connect(proxy.url()).await.unwrap();
    let broker = nats_config::Broker::new(client, nats_config::Names::default());
    let broker = broker.with_api_prefix(&roles::api_prefix(Some(role)));
    let client = Client::with_broker(broker.with_timeout(ANSWER_WITHIN));
    (proxy, client)
}

/// Holds for the first message that contains `text`, and for no other.
fn the_first(text: &'static str) -> impl FnMut(&Frame) -> bool + Send {
    let mut swallowed = false;
    move |frame: &Frame| {
        let body = String::from_utf8_lossy(&frame.body);
        let is_first = !swallowed && body.contains(text);
        swallowed |= is_first;
        is_first
    }
}

#[tokio::test]
async fn a_submitter_whose_answer_was_lost_finds_its_record() {
    let (mut system, _a) = start().await;
    let acks = the_first("\"stream\":\"JOBS\"");
    let (proxy, client) = behind(&mut system, Role::TrustedSubmitter, acks).await;
    let answer = client.submit_raw(request("x", "one")).await.unwrap();
    assert_eq!(*proxy.swallowed().borrow(), 1, "an answer was lost");
    let Submitted::Accepted { accepted } = answer else {
        panic!("it is its own: {answer:?}");
    };
    let job = system.tap.until("the job", ANSWER_WITHIN, |book| {
        book.jobs.keys().next().copied()
    });
    assert_eq!(job.await.unwrap(), accepted.get());
}

#[tokio::test]
async fn a_submitter_whose_answer_was_lost_at_the_front_door_asks_again() {
    let (mut system, _a) = start().await;
    let accepted = the_first("accepted");
    let (proxy, client) = behind(&mut system, Role::Submitter, accepted).await;
    let client = client.front_door();
    let answer = client.submit_raw(request("x", "one")).await.unwrap();
    assert_eq!(*proxy.swallowed().borrow(), 1, "an answer was lost");
    assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");
    assert_eq!(system.tap.look(|book| book.jobs.len()), 1);
}
