//! A coordinator that is started on a stream that was altered ends with an error, and is right to: the
//! machinery must know by whose hand.

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use tests::chaos::members::Member;
use tests::chaos::stage::Stage;
use tests::runs;
use tests::wait::{PATIENCE, eventually};

async fn takes_batches(stage: &Stage, it_does: bool) {
    let jetstream = jetstream::new(stage.client.clone());
    let stream = jetstream.get_stream(stage.broker.names().work()).await;
    let config = stream.unwrap().cached_info().config.clone();
    let altered = Config {
        allow_atomic_publish: it_does,
        ..config
    };
    jetstream.update_stream(altered).await.unwrap();
}

/// Starts it anew, and returns when it has ended by itself and was started again.
async fn ends_by_itself(member: &mut Member) {
    member.mend().unwrap();
    member.kill().await.unwrap();
    member.start(None).unwrap();
    eventually("the coordinator to end", PATIENCE, async || {
        match member.mend() {
            Ok(true) => Ok(()),
            Ok(false) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn only_an_alteration_of_ours_explains_that_a_coordinator_ends() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(runs::folder(folder.path())).unwrap();
    let stage = Box::pin(Stage::start(1, folder.path())).await.unwrap();
    let mut member = stage.coordinators[0].member.lock().await;

    let place = stage
        .alterations
        .begin(stage.broker.names().work(), "allow_atomic");
    takes_batches(&stage, false).await;
    ends_by_itself(&mut member).await;
    takes_batches(&stage, true).await;
    stage.alterations.end(place);
    assert_eq!(member.wrong, Vec::<String>::new());

    // The same by a hand that nobody knows of.
    takes_batches(&stage, false).await;
    ends_by_itself(&mut member).await;
    takes_batches(&stage, true).await;
    assert_eq!(member.wrong.len(), 1, "{:#?}", member.wrong);
    assert!(
        member.wrong[0].contains("allow_atomic"),
        "{:#?}",
        member.wrong
    );
}
