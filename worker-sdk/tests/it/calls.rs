//! Calls to whoever does the work of a singleton, in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::number::Epoch;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use worker_sdk::{
    Call, CallAnswer, CallFailure, CallId, CallRequest, ExplicitIdentity, LeaderProxy, Overflow,
    Refusal, Singleton, SingletonEnd,
};

use crate::support::server::Server;
use crate::support::workers::in_time;

/// What the work of a test's singleton does with calls.
#[derive(Clone, Default)]
struct Desk {
    carried_out: Arc<AtomicU64>,
    /// A `hold` has begun.
    held: Arc<Notify>,
    /// Lets it go on.
    go_on: Arc<Notify>,
}

impl Desk {
    async fn handle(self, node: String, call: Call) -> Result<Bytes, Refusal> {
        let count = self.carried_out.fetch_add(1, Ordering::SeqCst) + 1;
        match call.payload().as_ref() {
            b"hold" => {
                self.held.notify_one();
                self.go_on.notified().await;
                Ok(format!("{node} held").into())
            }
            b"refuse" => Err(Refusal::new("closed", "nobody works on Sundays")),
            b"long" => Ok(vec![b'x'; 200_000].into()),
            _ => Ok(format!("{node} {count}").into()),
        }
    }

    /// Starts one that stands, and serves whenever it works.
    async fn stand(&self, server: &Server, node: &'static str) -> Singleton {
        let desk = self.clone();
        let singleton = Singleton::in_group("report")
            .servers(&server.url())
            .identity(ExplicitIdentity::new(node, "eu"))
            .fenced()
            .start(move |tenure| {
                let desk = desk.clone();
                async move {
                    let handler = |call: Call| {
                        assert_eq!(call.token(), tenure.token());
                        desk.clone().handle(node.to_owned(), call)
                    };
                    tenure.serve(handler).await.expect("the first time");
                    tenure.serve(handler).await.expect_err("the second time");
                }
            });
        singleton.await.expect("it stands")
    }
}

async fn proxy(server: &Server) -> LeaderProxy {
    let proxy = LeaderProxy::in_group("report")
        .group("eu")
        .servers(&server.url());
    proxy.start().await.expect("a leader proxy")
}

async fn call(proxy: &LeaderProxy, request: CallRequest) -> Result<CallAnswer, CallFailure> {
    in_time("the end of a call", proxy.call(request)).await
}

fn text(answer: &CallAnswer) -> &str {
    std::str::from_utf8(&answer.payload).expect("a text")
}

#[tokio::test]
async fn a_call_made_before_anybody_leads_waits_and_arrives() {
    let server = Server::start().await;
    // Not even the bucket is there.
    let proxy = proxy(&server).await;
    let desk = Desk::default();
    let waiting = call(&proxy, CallRequest::new("status"));
    let standing = desk.stand(&server, "a");
    let (answer, singleton) = tokio::join!(waiting, standing);
    let answer = answer.expect("an answer");
    assert_eq!((text(&answer), answer.epoch), ("a 1", Epoch::new(1)));
    // Of another group, or of all, nobody leads.
    let short = || CallRequest::new("status").within(Duration::from_millis(500));
    for other in [
        LeaderProxy::in_group("report").group("us"),
        LeaderProxy::global("report"),
    ] {
        let other = other.servers(&server.url()).start().await;
        let other = other.expect("a leader proxy");
        assert_eq!(call(&other, short()).await, Err(CallFailure::NoLeader));
    }
    let ended = in_time("the stop", singleton.stop()).await;
    assert_eq!(ended, SingletonEnd::Released);
    assert_eq!(call(&proxy, short()).await, Err(CallFailure::NoLeader));
}

#[tokio::test]
async fn a_repeat_of_an_id_is_carried_out_once_an_epoch() {
    let server = Server::start().await;
    let (proxy, desk) = (proxy(&server).await, Desk::default());
    let singleton = desk.stand(&server, "a").await;
    let id = CallId::new("market/DE").expect("an id");
    let request = |payload: &'static str| CallRequest::new(payload).with_id(id.clone());
    for _ in 0..3 {
        let answer = call(&proxy, request("next")).await.expect("an answer");
        assert_eq!((text(&answer), answer.epoch), ("a 1", Epoch::new(1)));
    }
    let conflict = call(&proxy, request("another")).await;
    assert_eq!(conflict, Err(CallFailure::Conflict(Epoch::new(1))));
    assert_eq!(desk.carried_out.load(Ordering::SeqCst), 1);
    // The next epoch knows nothing of it: at least once.
    let second = desk.stand(&server, "b").await;
    in_time("the stop", singleton.stop()).await;
    let answer = call(&proxy, request("next")).await.expect("an answer");
    assert_eq!((text(&answer), answer.epoch), ("b 2", Epoch::new(2)));
    in_time("the stop", second.stop()).await;
}

#[tokio::test]
async fn two_who_ask_for_the_same_get_one_answer() {
    let server = Server::start().await;
    let desk = Desk::default();
    let singleton = desk.stand(&server, "a").await;
    let (first, second) = (proxy(&server).await, proxy(&server).await);
    let id = CallId::new("one").expect("an id");
    let held = || CallRequest::new("hold").with_id(id.clone());
    let both = async { tokio::join!(call(&first, held()), call(&second, held())) };
    let go_on = async {
        // Whatever is held waits for this, or finds it there.
        desk.go_on.notify_one();
    };
    let ((one, two), ()) = tokio::join!(both, go_on);
    assert_eq!(one, two);
    assert_eq!(text(&one.expect("an answer")), "a held");
    assert_eq!(desk.carried_out.load(Ordering::SeqCst), 1);
    in_time("the stop", singleton.stop()).await;
}

#[tokio::test]
async fn what_the_leader_says_reaches_the_caller() {
    let server = Server::start().await;
    let (proxy, desk) = (proxy(&server).await, Desk::default());
    let singleton = desk.stand(&server, "a").await;
    let epoch = Epoch::new(1);
    let refused = call(&proxy, CallRequest::new("refuse")).await;
    let refusal = Refusal::new("closed", "nobody works on Sundays");
    assert_eq!(refused, Err(CallFailure::Refused { epoch, refusal }));
    let long = call(&proxy, CallRequest::new("long")).await;
    let (len, len_max) = (200_000, 128 << 10);
    let too_long = CallFailure::AnswerTooLong {
        epoch,
        len,
        len_max,
    };
    assert!(too_long.may_be_done());
    assert_eq!(long, Err(too_long));
    // Held until its deadline: nobody knows.
    let held = CallRequest::new("hold").within(Duration::from_millis(300));
    let unknown = call(&proxy, held).await.expect_err("no answer");
    assert_eq!(unknown, CallFailure::Unknown(epoch));
    assert!(unknown.may_be_done());
    desk.go_on.notify_one();
    in_time("the stop", singleton.stop()).await;
}

#[tokio::test]
async fn an_overflow_says_which_limit_and_drops_nothing() {
    let server = Server::start().await;
    let start = async |calls_max, len_max| {
        let proxy = LeaderProxy::in_group("report")
            .group("eu")
            .servers(&server.url())
            .calls_max(calls_max)
            .len_max(len_max);
        proxy.start().await.expect("a leader proxy")
    };
    let (few, small) = (start(2, 1_000).await, start(1_000, 25).await);
    let request = || CallRequest::new(vec![0; 10]);
    let (ends, mut ended) = mpsc::channel(8);
    let mut callers = JoinSet::new();
    for proxy in [&few, &few, &few, &small, &small, &small] {
        let (proxy, ends) = (proxy.clone(), ends.clone());
        callers.spawn(async move {
            let end = proxy.call(request()).await;
            ends.send(end).await.expect("the test listens");
        });
    }
    let mut overflows = Vec::new();
    for _ in 0..2 {
        let end = in_time("an overflow", ended.recv()).await;
        overflows.push(end.expect("it listens").expect_err("nobody leads"));
    }
    let calls = CallFailure::Overflow(Overflow::Calls(2));
    let len = CallFailure::Overflow(Overflow::Len(25));
    overflows.sort_by_key(|failure| *failure != calls);
    assert_eq!(overflows, [calls, len]);
    let large = call(&few, CallRequest::new(vec![0; 200_000])).await;
    let (len, len_max) = (200_000, 128 << 10);
    assert_eq!(large, Err(CallFailure::TooLarge { len, len_max }));
    // What waits is still there.
    let singleton = Desk::default().stand(&server, "a").await;
    for _ in 0..4 {
        let end = in_time("an answer", ended.recv()).await;
        end.expect("it listens").expect("an answer");
    }
    // And there is room again, also for what nobody waits for any more.
    in_time("the stop", singleton.stop()).await;
    for _ in 0..5 {
        let mut gone = Box::pin(few.call(request()));
        assert!(futures::poll!(&mut gone).is_pending());
    }
    let short = request().within(Duration::from_millis(300));
    assert_eq!(call(&few, short).await, Err(CallFailure::NoLeader));
}

#[tokio::test]
async fn hand_overs_lose_no_call_and_what_was_begun_is_answered() {
    let server = Server::start().await;
    let (proxy, desk) = (proxy(&server).await, Desk::default());
    let first = desk.stand(&server, "a").await;
    let mut status = first.watch();
    let working = status.wait_for(|status| status.working.is_some());
    in_time("the begin", working).await.expect("it runs");
    let second = desk.stand(&server, "b").await;
    // One that is being carried out when its leader is told to stop.
    let held = call(&proxy, CallRequest::new("hold"));
    let stop = async {
        desk.held.notified().await;
        let stopped = tokio::join!(first.stop(), async { desk.go_on.notify_one() });
        stopped.0
    };
    let (held, ended) = tokio::join!(held, in_time("the stop", stop));
    assert_eq!(ended, SingletonEnd::Released);
    let held = held.expect("an answer");
    assert_eq!((text(&held), held.epoch), ("a held", Epoch::new(1)));

    let answer = call(&proxy, CallRequest::new("next")).await;
    assert_eq!(text(&answer.expect("an answer")), "b 2");
    let third = desk.stand(&server, "c").await;
    let mut answers = 1;
    let mut epoch = Epoch::new(2);
    while epoch < Epoch::new(3) {
        let answer = call(&proxy, CallRequest::new("next")).await;
        let answer = answer.expect("an answer");
        assert!(answer.epoch >= epoch, "an older leader answered later");
        epoch = answer.epoch;
        answers += 1;
        if answers == 10 {
            second.step_down().await;
        }
    }
    assert!(answers > 10, "nobody was asked to step down");
    assert_eq!(desk.carried_out.load(Ordering::SeqCst), answers + 1);
    for singleton in [second, third] {
        in_time("the stop", singleton.stop()).await;
    }
}
