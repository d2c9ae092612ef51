//! Several members in one process: who shares with whom, and what a member is told.

use std::time::Duration;

use async_nats::{ConnectOptions, jetstream};
use futures::TryStreamExt;
use tokio::sync::mpsc;
use worker_sdk::{
    Coordinated, CoordinatedBuilder, CoordinatedEnd, CrewNotice, CrewStatus, ExplicitIdentity,
    LeaseTimings, OutReason,
};

use crate::support::server::Server;
use crate::support::workers::in_time;

/// Waited out soon, and renewed where each answer takes half a second.
const TIMINGS: LeaseTimings = LeaseTimings {
    lease: Duration::from_secs(3),
    renew: Duration::from_millis(300),
    request: Duration::from_millis(600),
    margin: Duration::from_millis(200),
};

/// What docs/operating.md says that the programs of a crew need.
const PERMISSIONS: &str = r#"
authorization { users: [ { user: crew, password: crew, permissions: {
  publish: [
    "$KV.jobs_crews.>", "election.jobs_crews.>", "$JS.FC.KV_jobs_crews.>",
    "$JS.API.STREAM.CREATE.KV_jobs_crews", "$JS.API.STREAM.INFO.KV_jobs_crews",
    "$JS.API.STREAM.MSG.GET.KV_jobs_crews",
    "$JS.API.CONSUMER.CREATE.KV_jobs_crews", "$JS.API.CONSUMER.CREATE.KV_jobs_crews.>",
    "$JS.API.CONSUMER.DELETE.KV_jobs_crews.>", "_INBOX_crew.>"
  ]
  subscribe: [ "$KV.jobs_crews.>", "election.jobs_crews.>", "_INBOX_crew.>" ]
} } ] }
"#;

/// Starts a member of a group, whose work does nothing until it is told to end.
async fn start(
    server: &Server,
    crew: CoordinatedBuilder,
    group: &str,
) -> (Coordinated, mpsc::Receiver<CrewNotice>) {
    let (tell, told) = mpsc::channel(1_024);
    let crew = crew
        .servers(&server.url())
        .identity(ExplicitIdentity::new(&format!("node-{group}"), group))
        .timings(TIMINGS)
        .fenced()
        .report_to(tell)
        .start(|share| async move { share.cancelled().await });
    (crew.await.expect("it joins"), told)
}

/// Waits until a member sees this.
async fn sees(crew: &Coordinated, what: &str, seen: impl Fn(&CrewStatus) -> bool) -> CrewStatus {
    let mut status = crew.watch();
    let status = in_time(what, status.wait_for(|status| seen(status))).await;
    status.expect("it runs").clone()
}

async fn holds(crew: &Coordinated, count: usize) -> CrewStatus {
    let what = format!("{count} shares");
    sees(crew, &what, |status| status.shares.len() == count).await
}

/// All that was told by now.
fn all(told: &mut mpsc::Receiver<CrewNotice>) -> Vec<CrewNotice> {
    std::iter::from_fn(|| told.try_recv().ok()).collect()
}

#[tokio::test]
async fn crews_of_one_bucket_do_not_meet_unless_name_and_group_are_the_same() {
    let server = Server::start().await;
    let shop = || Coordinated::partitions("shop", 4);
    let mut members = [
        (start(&server, shop(), "eu").await, 2),
        (start(&server, shop(), "eu").await, 2),
        (start(&server, shop(), "us").await, 4),
        (start(&server, shop().global(), "eu").await, 2),
        (start(&server, shop().global(), "us").await, 2),
        (start(&server, Coordinated::index("stock"), "eu").await, 1),
    ];
    for ((crew, _), count) in &members {
        let status = holds(crew, *count).await;
        assert!(status.member, "{status:?}");
    }
    for ((crew, told), _) in &mut members {
        let told = all(told);
        let evicted = |notice: &CrewNotice| matches!(notice, CrewNotice::Evicted(_));
        assert!(!told.iter().any(evicted), "{crew:?} {told:?}");
    }
    for ((crew, _), _) in members {
        let ended = in_time("the stop", crew.stop()).await;
        assert_eq!(ended, CoordinatedEnd::Left);
    }
}

#[tokio::test]
async fn a_member_whose_record_is_gone_holds_nothing_and_joins_as_another() {
    let server = Server::start().await;
    let (crew, mut told) = start(&server, Coordinated::index("shop").global(), "eu").await;
    let before = holds(&crew, 1).await;
    let client = async_nats::connect(server.url()).await.expect("connects");
    let bucket = jetstream::new(client).get_key_value("jobs_crews").await;
    let bucket = bucket.expect("the bucket is there");
    let keys: Vec<String> = bucket
        .keys()
        .await
        .expect("keys")
        .try_collect()
        .await
        .expect("keys");
    let own = keys
        .iter()
        .find(|key| key.starts_with("global.shop.member."));
    bucket
        .delete(own.expect("its record"))
        .await
        .expect("deleted");
    let newer = sees(&crew, "a newer share", |status| {
        let newest = status.shares.first();
        newest.is_some_and(|share| share.token > before.shares[0].token)
    });
    newer.await;
    let told = all(&mut told);
    let place = |wanted: &CrewNotice| told.iter().position(|notice| notice == wanted);
    let out = place(&CrewNotice::Out(OutReason::Deleted));
    let last = told
        .iter()
        .rposition(|notice| *notice == CrewNotice::Joined);
    assert!(place(&CrewNotice::Joined) < out && out < last, "{told:?}");
    assert_eq!(in_time("the stop", crew.stop()).await, CoordinatedEnd::Left);
}

#[tokio::test]
async fn who_shares_something_else_under_the_name_is_told_and_holds_nothing() {
    let server = Server::start().await;
    let four = Coordinated::partitions("shop", 4);
    let (first, _) = start(&server, four, "eu").await;
    holds(&first, 4).await;
    let (other, mut told) = start(&server, Coordinated::index("shop"), "eu").await;
    let seen = sees(&other, "that it cannot be", |status| {
        status.member && status.unusable.is_some()
    });
    let seen = seen.await;
    assert_eq!(seen.shares, Vec::new());
    let told = all(&mut told);
    let unusable = |notice: &CrewNotice| matches!(notice, CrewNotice::Unusable(_));
    assert!(told.iter().any(unusable), "{told:?}");
    assert_eq!(
        in_time("the stop", other.stop()).await,
        CoordinatedEnd::Left
    );
    assert_eq!(
        in_time("the stop", first.stop()).await,
        CoordinatedEnd::Left
    );
}

#[tokio::test]
async fn a_member_needs_no_more_permissions_than_the_manual_names() {
    let mut server = Server::start_with(PERMISSIONS).await;
    let permitted = || {
        Coordinated::partitions("shop", 4).connect(|| {
            ConnectOptions::with_user_and_password("crew".to_owned(), "crew".to_owned())
                .custom_inbox_prefix("_INBOX_crew")
        })
    };
    let (first, _) = start(&server, permitted(), "eu").await;
    holds(&first, 4).await;
    let (second, _) = start(&server, permitted(), "eu").await;
    holds(&second, 2).await;
    assert_eq!(
        in_time("the stop", first.stop()).await,
        CoordinatedEnd::Left
    );
    holds(&second, 4).await;
    assert_eq!(
        in_time("the stop", second.stop()).await,
        CoordinatedEnd::Left
    );
    let log = server.kill().await;
    let refused = log.lines().filter(|line| line.contains("Violation"));
    assert_eq!(refused.collect::<Vec<_>>(), Vec::<&str>::new());
}
