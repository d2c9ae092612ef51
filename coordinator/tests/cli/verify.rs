//! `verify`: a good ledger is proved, a forged record is caught by its rule, on a real server.

use async_nats::HeaderMap;
use nats_config::roles::permissions_conf;
use nats_config::{BatchMessage, Broker, Ledger, Mode, Names, Role, Settings};
use protocol::answer::Answer;
use protocol::subject::FENCE_LEN;

use crate::program::Home;
use crate::server::Server;

const BARRIER: &str = r#"{"v":1,"fold":1,"holder":"c-1","incarnation":"i-1"}"#;
const FAILED: &str = r#"{"v":1,"status":"failed","error":{"code":"x","permanent":true}}"#;

/// A namespace of its own on a server, and the next thing that is written there.
struct World {
    broker: Broker,
    namespace: String,
}

impl World {
    /// Provisioned, and with a short history of every kind of record.
    async fn new(server: &Server, namespace: &str) -> Self {
        let client = server.broker().await.client().clone();
        let names = Names::new(namespace.parse().expect("a namespace"));
        let broker = Broker::new(client, names);
        let settings = Settings {
            ledger_bytes_max: 1 << 22,
            work_bytes_max: 1 << 22,
            ..Settings::default()
        };
        let made = broker.provision(&settings, Mode::Create, Ledger::MayBeNew);
        made.await.expect("the streams are made");
        let world = Self {
            broker,
            namespace: namespace.to_owned(),
        };
        world.put("config.q.1", r#"{"max_attempts":2}"#, &[]).await;
        world.fence(1).await;
        world.put("epoch.1", BARRIER, &[]).await;
        for (id, key) in [("a", "DE"), ("b", "DE"), ("c", "FR")] {
            let subject = format!("submit.q.{id}");
            world.put(&subject, "{}", &[("Jobs-Key", key)]).await;
        }
        world.put("outcome.q.3.1.a", "", &[]).await;
        world.put("outcome.q.4.1.b", FAILED, &[]).await;
        world.put("control.q.4.1.replay.b", r#"{"v":1}"#, &[]).await;
        world
            .put("work.q.4.2.b", "{}", &[("Jobs-Epoch", "1")])
            .await;
        world
    }

    async fn put(&self, subject: &str, body: &str, headers: &[(&str, &str)]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let subject = format!("{}.{subject}", self.namespace);
        let answer = self
            .broker
            .write(subject.clone(), map, body.to_owned().into());
        let answer = answer.await;
        assert!(matches!(answer, Answer::Stored(_)), "{subject}: {answer:?}");
    }

    async fn fence(&self, epoch: u64) {
        let records = (1..=FENCE_LEN).map(|place| BatchMessage {
            subject: format!("{}.fence.{epoch}.{place}", self.namespace),
            headers: HeaderMap::new(),
            payload: "".into(),
        });
        let answer = self
            .broker
            .write_batch(&format!("fence-{epoch}"), records.collect())
            .await;
        assert!(matches!(answer, Answer::Stored(_)), "{answer:?}");
    }

    /// The rules that `verify` finds broken.
    async fn broken(&self, server: &Server, code: i32) -> Vec<String> {
        let home = Home::of(&server.address());
        let arguments = ["-j", "--namespace", &self.namespace, "verify"];
        let report = home.run(&arguments).await.ended(code, "").json();
        assert_eq!(report["good"], code == 0);
        let verdicts = report["verdicts"].as_array().expect("a list").iter();
        verdicts
            .filter(|verdict| verdict["violations"] != 0)
            .map(|verdict| verdict["rule"].as_str().expect("a name").to_owned())
            .collect()
    }
}

#[tokio::test]
async fn a_good_ledger_is_proved() {
    let server = Server::start().await;
    let world = World::new(&server, "jobs").await;
    let home = Home::of(&server.address());
    let text = home.run(&["verify"]).await.ended(0, "").out;
    for words in [
        "│ A1   ┆ an id is accepted once                          ┆ 3       ┆ 0          │",
        "8 records: 3 jobs, 1 ended (1 completed,",
        "2 open",
        "1 work messages, 0 of them",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = home.run(&["verify", "--json"]).await.ended(0, "").json();
    assert_eq!(json["good"], true);
    assert_eq!(json["figures"]["records"], 8);

    // It is not drained until all has ended.
    let drained = ["verify", "--drained"];
    let ran = home
        .run(&drained)
        .await
        .ended(1, "the ledger breaks L1, L2");
    assert!(
        ran.out.contains("L1 broken: job n4: has not ended"),
        "{}",
        ran.out
    );
    world.put("outcome.q.4.2.b", "", &[]).await;
    world.put("outcome.q.5.1.c", "", &[]).await;
    home.run(&drained).await.ended(1, "the ledger breaks L2");
}

#[tokio::test]
async fn a_forged_record_is_caught_by_its_rule() {
    let server = Server::start().await;
    let forged: [(&str, &str, &str, &str); 12] = [
        ("R2", "outcome.q.99.1.a", "", ""),
        ("R2", "outcome.q.3.2.z", "", ""),
        ("R3", "outcome.q.5.2.c", "", ""),
        ("R4", "outcome.q.3.2.a", "", ""),
        ("R5", "outcome.q.5.1.c", r#"{"v":1,"status":"expired"}"#, ""),
        ("C1", "control.q.5.1.cancel.c", "{}", ""),
        ("C2", "control.q.5.0.replay.c", "{}", ""),
        ("Q1", "config.q.3", "{}", ""),
        ("E3", "epoch.2", BARRIER, ""),
        ("F1", "control.q.5.0.pause.c", "{}", ""),
        ("D2", "work.q.3.2.a", "{}", "1"),
        ("E2", "work.q.5.1.c", "{}", "0"),
    ];
    for (number, (rule, subject, body, epoch)) in forged.into_iter().enumerate() {
        let world = World::new(&server, &format!("forged-{number}")).await;
        world.put(subject, body, &[("Jobs-Epoch", epoch)]).await;
        assert_eq!(world.broken(&server, 1).await, [rule], "{subject}");
    }
}

#[tokio::test]
async fn a_deleted_record_is_missed_wherever_it_stood() {
    let server = Server::start().await;
    // The first, one in the middle, and the last.
    for sequence in [1, 6, 8] {
        let world = World::new(&server, &format!("deleted-{sequence}")).await;
        let jetstream = world.broker.jetstream();
        let ledger = jetstream.get_stream(world.broker.names().ledger()).await;
        let ledger = ledger.expect("it is there");
        ledger
            .delete_message(sequence)
            .await
            .expect("it is deleted");
        let broken = world.broken(&server, 1).await;
        assert!(broken.contains(&"G1".to_owned()), "{sequence}: {broken:?}");
    }
}

#[tokio::test]
async fn nothing_is_proved_of_a_ledger_that_is_not_there() {
    let server = Server::start().await;
    let home = Home::of(&server.address());
    home.run(&["verify"])
        .await
        .ended(5, "stream JOBS does not exist");
}

/// A viewer has no JetStream on purpose: with it, one could place the server's own answers anywhere.
#[tokio::test]
async fn verify_takes_the_permissions_of_the_coordinator_role() {
    let mut config = permissions_conf(&Names::default());
    for role in Role::ALL {
        let variable = format!("${}", role.password_variable());
        config = config.replace(&variable, role.user());
    }
    let server = Server::with(&format!("jetstream {{ store_dir: \"store\" }}\n{config}")).await;
    let run = async |role: Role| {
        let home = Home::of(&server.address())
            .with("NATS_USER", role.user())
            .with("NATS_PASSWORD", role.user());
        let prefix = ["--inbox-prefix", role.inbox_prefix(), "--timeout", "1s"];
        home.run(&[&["verify"], &prefix[..]].concat()).await
    };
    run(Role::Coordinator)
        .await
        .ended(5, "stream JOBS does not exist");
    for role in [
        Role::Viewer,
        Role::Submitter,
        Role::TrustedSubmitter,
        Role::Worker,
    ] {
        let ran = run(role).await;
        ran.ended(5, "with the permissions of the coordinator role");
    }
}
