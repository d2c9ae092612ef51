//! Credentials and certificates that change under a running coordinator: what it says, and that it
//! comes back when they do. What is wrong at a start is tested with the commands.

mod jwt;

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;
use tests::process::{Mark, Process};
use tests::program::workspace_binary;
use tests::server::ServerOptions;
use tests::wait::{PATIENCE, eventually, within};
use tests::{Server, roles};
use tokio::process::Command;

const OLD: [&str; 2] = [
    "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY",
    "UAMMBNV2EYR65NYZZ7IAK5SIR5ODNTTERJOBOF4KJLMWI45YOXOSWULM",
];
const NEW: [&str; 2] = [
    "SUAMJDEDKWV4JDTU6U5NECBEGS4DWMCGNXYYE7DXUQJ3B3B36AJSXPLFGA",
    "UD3GAJ3YZYG3DDSQ4JPZ3XBBEE6GDCADN5KS2DKJERRPS5WMID4OVC3X",
];

/// A server with a configuration file of the test's own, and a coordinator.
struct Broker {
    folder: TempDir,
    server: Server,
}

impl Broker {
    async fn start(config: impl FnOnce(&TempDir) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder);
        let path = folder.path().join("server.conf");
        std::fs::write(&path, config).unwrap();
        let options = ServerOptions {
            config_file: Some(path),
            ..ServerOptions::default()
        };
        let server = Server::start_with(options).await.unwrap();
        Self { folder, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, scheme: &str, connection: &[&str]) -> Command {
        let mut command = Command::new(workspace_binary("coordinator").unwrap());
        let url = format!("{scheme}://127.0.0.1:{}", self.server.port());
        command
            .env_clear()
            .args(["--server", &url])
            .args(connection);
        command
    }

    async fn coordinator(&self, scheme: &str, connection: &[&str]) -> Process {
        let mut command = self.command(scheme, connection);
        command.args([
            "run",
            "--name",
            "a",
            "--lease",
            "quick",
            "--ledger-max-bytes",
            "64MiB",
        ]);
        let mut process = Process::start("coordinator a", command).unwrap();
        let stands = process.wait_for_line("standing for leadership", PATIENCE);
        stands.await.unwrap();
        process
    }

    /// Waits until a coordinator leads and answers.
    async fn led(&self, scheme: &str, connection: &[&str]) {
        eventually("a leader that answers", PATIENCE, async || {
            let mut command = self.command(scheme, connection);
            command.arg("status").kill_on_drop(true);
            let output = within("a status", PATIENCE, command.output()).await;
            let output = output
                .map_err(|e| e.to_string())?
                .map_err(|e| e.to_string())?;
            match output.status.code() {
                Some(0) => Ok(()),
                _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            }
        })
        .await
        .unwrap();
    }
}

async fn says(process: &mut Process, since: Mark, words: &[&str]) {
    let line = process.wait_for_line_after(since, words[0], PATIENCE).await;
    let line = line.unwrap().text;
    for word in words {
        assert!(line.contains(word), "{word:?} in {line}");
    }
}

fn nkey_config(public: &str) -> String {
    format!(
        "server_name: n1\njetstream {{}}\nauthorization {{ users: [ {{ nkey: {public} }} ] }}\n"
    )
}

#[tokio::test]
async fn a_rotated_key_is_taken_up_and_a_revoked_one_is_said() {
    let mut broker = Broker::start(|_| nkey_config(OLD[1])).await;
    broker.write("a.nk", OLD[0]);
    let file = broker.path("a.nk").display().to_string();
    let connection = ["--nkey", file.as_str()];
    let mut coordinator = broker.coordinator("nats", &connection).await;

    // Revoked: the server closes the connection and refuses the next.
    let since = coordinator.mark();
    broker.write("server.conf", &nkey_config(NEW[1]));
    broker.server.reload().await.unwrap();
    let refused = [
        "refused the credentials",
        "127.0.0.1",
        "nkey file",
        "--nkey",
    ];
    says(&mut coordinator, since, &refused).await;

    // Rotated: the file holds another one.
    broker.write("a.nk", NEW[0]);
    says(&mut coordinator, since, &["connected again"]).await;
    broker.led("nats", &connection).await;

    // And it is no file of keys any more.
    let since = coordinator.mark();
    broker.write("a.nk", "nothing");
    broker.server.stop().await.unwrap();
    broker.server.start_again().await.unwrap();
    says(&mut coordinator, since, &["holds no nkey seed", "--nkey"]).await;
    broker.write("a.nk", NEW[0]);
    says(&mut coordinator, since, &["connected again"]).await;
    broker.led("nats", &connection).await;
    broker.server.stop().await.unwrap();
    // Under the roles a refusal fails a test that does not ask for it.
    assert_eq!(broker.server.take_refused().is_empty(), !roles::on());
}

/// Certificates of one authority, for the server and for clients.
struct Authority {
    own: CertifiedIssuer<'static, KeyPair>,
}

/// When a certificate ends.
#[derive(Clone, Copy)]
enum Ends {
    Later,
    Before,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { own }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str, ends: Ends) -> [String; 2] {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if let Ends::Before = ends {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let issuer: &Issuer<'_, KeyPair> = &self.own;
        let cert = params.signed_by(&key, issuer).unwrap();
        [cert.pem(), key.serialize_pem()]
    }
}

fn install(folder: &TempDir, [cert, key]: [String; 2]) {
    std::fs::write(folder.path().join("cert.pem"), cert).unwrap();
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
}

#[tokio::test]
async fn a_certificate_that_goes_wrong_is_said_and_a_new_one_is_taken_up() {
    let authority = Authority::new("ours");
    let good = || authority.issue("127.0.0.1", Ends::Later);
    let mut broker = Broker::start(|folder| {
        install(folder, good());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        format!("jetstream {{}}\ntls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}\n")
    })
    .await;
    broker.write("ca.pem", &authority.own.pem());
    let file = broker.path("ca.pem").display().to_string();
    let connection = ["--tlsca", file.as_str()];
    let mut coordinator = broker.coordinator("tls", &connection).await;
    let other = Authority::new("another");
    for (certificate, why) in [
        (authority.issue("127.0.0.1", Ends::Before), "expired"),
        (
            authority.issue("elsewhere.example", Ends::Later),
            "not valid for name",
        ),
        (other.issue("127.0.0.1", Ends::Later), "UnknownIssuer"),
    ] {
        let since = coordinator.mark();
        install(&broker.folder, certificate);
        broker.server.stop().await.unwrap();
        broker.server.start_again().await.unwrap();
        says(
            &mut coordinator,
            since,
            &["no encrypted connection", "127.0.0.1", why, "--tlsca"],
        )
        .await;
        install(&broker.folder, good());
        broker.server.stop().await.unwrap();
        broker.server.start_again().await.unwrap();
        says(&mut coordinator, since, &["connected again"]).await;
    }
    broker.led("tls", &connection).await;
}
