//! The ways to reach a server and to be refused, as natscli's users know them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::program::Home;
use crate::server::Server;

/// What a command says that reached the server and found no coordinator there.
const REACHED: &str = "no coordinator answers";

const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";
const PUBLIC: &str = "UAMMBNV2EYR65NYZZ7IAK5SIR5ODNTTERJOBOF4KJLMWI45YOXOSWULM";

#[tokio::test]
async fn a_user_is_let_in_by_flags_variables_address_and_context() {
    let server = Server::with("authorization { user: ann, password: s3cret }").await;
    let address = server.address();
    let home = Home::of(&address);
    let with_password = ["status", "--user", "ann", "--password", "s3cret"];
    home.run(&with_password).await.ended(5, REACHED);
    let home = Home::of(&address)
        .with("NATS_USER", "ann")
        .with("NATS_PASSWORD", "s3cret");
    home.run(&["status"]).await.ended(5, REACHED);
    let inline = format!("nats://ann:s3cret@127.0.0.1:{}", server.port);
    Home::of(&inline).run(&["status"]).await.ended(5, REACHED);

    let home = Home::new();
    let body = format!(r#"{{"url":"{address}","user":"ann","password":"s3cret"}}"#);
    let path = home.file(".config/nats/context/prod.json", &body);
    home.run(&["status", "--context", "prod"])
        .await
        .ended(5, REACHED);
    home.run(&["status", "--context", &path])
        .await
        .ended(5, REACHED);
    home.file(".config/nats/context.txt", "prod");
    home.run(&["status"]).await.ended(5, REACHED);
    // Its address stays, so the flag's wrong password is what the server refuses.
    let ran = home
        .run(&["status", "--user", "ann", "--password", "wrong-one"])
        .await;
    let ran = ran.ended(4, "refused the credentials");
    assert!(
        ran.err.contains("user from --user") && !ran.err.contains("wrong-one"),
        "{}",
        ran.err
    );
    let ran = home.run(&["status", "--no-context", "-s", &address]).await;
    ran.ended(4, "no credentials");
}

#[tokio::test]
async fn a_token_is_a_user_without_a_password() {
    let server = Server::with("authorization { token: t0ken }").await;
    let home = Home::of(&server.address());
    home.run(&["status", "--token", "t0ken"])
        .await
        .ended(5, REACHED);
    home.run(&["status", "--user", "t0ken"])
        .await
        .ended(5, REACHED);
    let inline = format!("nats://t0ken@127.0.0.1:{}", server.port);
    home.run(&["status", "-s", &inline]).await.ended(5, REACHED);
    home.run(&["status", "--token", "other"])
        .await
        .ended(4, "token from --token");
}

#[tokio::test]
async fn an_nkey_is_read_from_its_file() {
    let lines = format!("authorization {{ users: [ {{ nkey: {PUBLIC} }} ] }}");
    let server = Server::with(&lines).await;
    let home = Home::of(&server.address());
    let path = home.file("ann.nk", &format!("{SEED}\n"));
    home.run(&["status", "--nkey", &path])
        .await
        .ended(5, REACHED);
    home.run(&["status"])
        .await
        .ended(4, "refused the credentials");
    let path = home.file("bad.nk", "nothing\n");
    home.run(&["status", "--nkey", &path])
        .await
        .ended(78, "holds no nkey seed");
}

#[tokio::test]
async fn certificates_are_checked_both_ways() {
    let home = Home::new();
    let pki = Pki::new(&home);
    let tls = |more: &str| {
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true {more} }}",
            pki.cert, pki.key, pki.ca
        )
    };
    let server = Server::with(&tls("")).await;
    let address = format!("tls://127.0.0.1:{}", server.port);
    let pair = ["--tlscert", pki.cert.as_str(), "--tlskey", pki.key.as_str()];
    let status = |more: &[&'static str]| {
        let mut all = vec!["status".to_owned(), "-s".to_owned(), address.clone()];
        all.extend(pair.iter().map(|&text| text.to_owned()));
        all.extend(["--tlsca".to_owned(), pki.ca.clone()]);
        all.extend(more.iter().map(|&text| text.to_owned()));
        all
    };
    let run = async |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        home.run(&arguments).await
    };
    run(status(&[])).await.ended(5, REACHED);
    home.run(&["status", "-s", &address])
        .await
        .ended(78, "no encrypted connection");
    let ran = home
        .run(&["status", "-s", &address, "--tlsca", "ca.pem"])
        .await;
    assert_ne!(
        ran.code, 0,
        "a client without a certificate is refused: {ran:?}"
    );
    drop(server);

    let server = Server::with(&tls(", handshake_first: true")).await;
    let address = format!("tls://127.0.0.1:{}", server.port);
    let mut first = status(&["--tlsfirst"]);
    first[2] = address;
    run(first).await.ended(5, REACHED);
}

#[tokio::test]
async fn jetstream_off_and_absent_streams_are_told_apart() {
    let server = Server::with("").await;
    let home = Home::of(&server.address());
    home.run(&["queue", "ls"])
        .await
        .ended(5, "JetStream is off");
    let server = Server::start().await;
    let home = Home::of(&server.address());
    home.run(&["queue", "ls"])
        .await
        .ended(5, "stream JOBS does not exist: start a coordinator");
    let ran = home.run(&["queue", "ls", "--js-domain", "hub"]).await;
    ran.ended(5, "$JS.hub.API");
}

#[tokio::test]
async fn missing_permissions_are_said() {
    let server = Server::with(
        "jetstream { store_dir: \"store\" }\nauthorization { users: [ { user: ann, password: x, permissions: { publish: \"nothing\" } } ] }",
    )
    .await;
    let home = Home::of(&server.address())
        .with("NATS_USER", "ann")
        .with("NATS_PASSWORD", "x")
        .with("NATS_TIMEOUT", "500ms");
    home.run(&["queue", "ls"])
        .await
        .ended(5, "may not publish there");
}

/// A certificate authority and one certificate for both sides, in files.
struct Pki {
    ca: String,
    cert: String,
    key: String,
}

impl Pki {
    fn new(home: &Home) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &ca).expect("a certificate");
        Self {
            ca: home.file("ca.pem", &ca.pem()),
            cert: home.file("cert.pem", &cert.pem()),
            key: home.file("key.pem", &key.serialize_pem()),
        }
    }
}
