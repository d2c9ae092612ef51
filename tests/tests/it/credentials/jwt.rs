//! Accounts and users that are signed: an operator's key signs an account, the account's key a user, and
//! a user may end. What is written here is what `nsc` writes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tests::roles;

use super::{Broker, says};

/// What an account and a user may have: all of it.
const NO_LIMIT: i64 = -1;
/// What JetStream needs.
const STORAGE: [&str; 4] = ["mem_storage", "disk_storage", "streams", "consumer"];
/// What any account needs.
const OTHERS: [&str; 7] = [
    "subs", "data", "payload", "imports", "exports", "conn", "leaf",
];

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// An operator and an account of its own.
struct Accounts {
    operator: KeyPair,
    account: KeyPair,
}

/// When a user's right ends.
#[derive(Clone, Copy)]
enum Ends {
    Never,
    /// So long after the epoch.
    At(Duration),
}

/// Claims about a key, signed.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, ends: Ends, nats: &Value) -> String {
    let mut claims = json!({
        "jti": name,
        "iat": now().as_secs(),
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": nats,
    });
    if let Ends::At(end) = ends {
        claims["exp"] = json!(end.as_secs());
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let signed = format!("{head}.{}", part(&claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Accounts {
    fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    fn server_config(&self) -> String {
        let nats = json!({"type": "operator", "version": 2});
        let operator = token(&self.operator, &self.operator, "o", Ends::Never, &nats);
        // JetStream needs an account of the system's own beside the one that it is for.
        let system = KeyPair::new_account();
        let [id, system_id] = [&self.account, &system].map(KeyPair::public_key);
        let [account, system] = [
            self.signed(&self.account, "a", &[STORAGE.as_slice(), &OTHERS].concat()),
            self.signed(&system, "s", &OTHERS),
        ];
        format!(
            "server_name: n1\njetstream {{}}\noperator: {operator}\nresolver: MEMORY\n\
             system_account: {system_id}\n\
             resolver_preload: {{ {id}: {account}, {system_id}: {system} }}\n"
        )
    }

    /// An account without limits of these kinds.
    fn signed(&self, account: &KeyPair, name: &str, limits: &[&str]) -> String {
        let limits = limits
            .iter()
            .map(|limit| ((*limit).to_owned(), json!(NO_LIMIT)));
        let mut limits: serde_json::Map<String, Value> = limits.collect();
        limits.insert("wildcards".to_owned(), json!(true));
        let nats = json!({"type": "account", "version": 2, "limits": limits});
        token(&self.operator, account, name, Ends::Never, &nats)
    }

    /// The file of a user.
    fn credentials(&self, ends: Ends) -> String {
        let user = KeyPair::new_user();
        let nats = json!({
            "type": "user", "version": 2, "pub": {}, "sub": {},
            "subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT,
        });
        let jwt = token(&self.account, &user, "u", ends, &nats);
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

const REFUSED: [&str; 3] = ["refused the credentials", "creds file", "--creds"];

#[tokio::test]
async fn a_user_whose_right_ends_is_told_so_and_a_new_file_is_taken_up() {
    let accounts = Accounts::new();
    let mut broker = Broker::start(|_| accounts.server_config()).await;
    broker.write("a.creds", &accounts.credentials(Ends::Never));
    let file = broker.path("a.creds").display().to_string();
    let connection = ["--creds", file.as_str()];
    let mut coordinator = broker.coordinator("nats", &connection).await;
    broker.led("nats", &connection).await;

    // One ends while the coordinator is connected, or before it is again: refused by the same words. One
    // is signed by an account that this server does not know.
    let soon = now() + Duration::from_secs(3);
    let ending = accounts.credentials(Ends::At(soon));
    let of_others = Accounts::new().credentials(Ends::Never);
    for bad in [ending, of_others] {
        let since = coordinator.mark();
        broker.write("a.creds", &bad);
        broker.server.stop().await.unwrap();
        broker.server.start_again().await.unwrap();
        says(&mut coordinator, since, &REFUSED).await;
        let since = coordinator.mark();
        broker.write("a.creds", &accounts.credentials(Ends::Never));
        says(&mut coordinator, since, &["connected again"]).await;
        broker.led("nats", &connection).await;
    }
    broker.server.stop().await.unwrap();
    assert_eq!(broker.server.take_refused().is_empty(), !roles::on());
}
