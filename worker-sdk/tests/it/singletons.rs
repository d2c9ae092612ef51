//! Several singletons in one process: who shares one, and who does not.

use tokio::sync::mpsc;
use worker_sdk::{ExplicitIdentity, Singleton, SingletonBuilder, SingletonEnd};

use crate::support::server::Server;
use crate::support::workers::in_time;

/// Starts one of a group whose work tells the group when it begins, and ends when it is told to.
async fn start(
    server: &Server,
    singleton: SingletonBuilder,
    group: &'static str,
    begun: &mpsc::Sender<&'static str>,
) -> Singleton {
    let begun = begun.clone();
    let singleton = singleton
        .servers(&server.url())
        .identity(ExplicitIdentity::new(&format!("node-{group}"), group))
        .fenced()
        .start(move |tenure| {
            let begun = begun.clone();
            async move {
                begun.send(group).await.expect("the test listens");
                tenure.cancelled().await;
            }
        });
    singleton.await.expect("it stands")
}

#[tokio::test]
async fn each_group_has_one_and_a_global_one_is_the_only_one_of_all() {
    let server = Server::start().await;
    let (tell, mut begun) = mpsc::channel(8);
    let mut next = async || {
        let begun = in_time("the begin of a work", begun.recv()).await;
        begun.expect("a group")
    };
    let eu = start(&server, Singleton::in_group("report"), "eu", &tell).await;
    assert_eq!(next().await, "eu");
    let us = start(&server, Singleton::in_group("report"), "us", &tell).await;
    assert_eq!(next().await, "us");

    // The same name, for all: neither of the two is in its way.
    let first = start(&server, Singleton::global("report"), "eu", &tell).await;
    assert_eq!(next().await, "eu");
    let second = start(&server, Singleton::global("report"), "us", &tell).await;
    let mut status = second.watch();
    let seen = in_time(
        "the sight of who works",
        status.wait_for(|status| status.leader.is_some()),
    );
    let seen = seen.await.expect("it runs").clone();
    assert_eq!(
        seen.leader.map(|leader| leader.holder),
        Some("node-eu".to_owned())
    );
    assert_eq!(seen.working, None);
    let ended = in_time("the stop", first.stop()).await;
    assert_eq!(ended, SingletonEnd::Released);
    assert_eq!(next().await, "us");

    for singleton in [eu, us, second] {
        assert!(singleton.status().working.is_some(), "{singleton:?}");
        let ended = in_time("the stop", singleton.stop()).await;
        assert_eq!(ended, SingletonEnd::Released);
    }
}
