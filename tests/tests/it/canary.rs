//! Secrets and contents of jobs are looked for in all that the programs write, at the most talkative
//! level of their logs, through a job, a failure and refusals.

use std::collections::BTreeMap;
use std::path::Path;

use tests::process::Process;
use tests::program::workspace_binary;
use tests::raw::{Answer, publish_raw};
use tests::server::ServerOptions;
use tests::system::{QUEUE, job};
use tests::tap::Tap;
use tests::wait::{PATIENCE, within};
use tests::{Server, roles};
use tokio::process::Command;

const PASSWORD: &str = "canary-password-3f9a";
const TOKEN: &str = "canary-token-77c1";
const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";
const PUBLIC: &str = "UAMMBNV2EYR65NYZZ7IAK5SIR5ODNTTERJOBOF4KJLMWI45YOXOSWULM";
const PAYLOAD: &str = "canary-payload-b204";
const HEADER: &str = "canary-header-5e6d";
const ALL: [&str; 5] = [PASSWORD, TOKEN, SEED, PAYLOAD, HEADER];

/// What was written, by who wrote it.
#[derive(Default)]
struct Seen(BTreeMap<String, String>);

impl Seen {
    fn add(&mut self, who: &str, text: &str) {
        self.0.entry(who.to_owned()).or_default().push_str(text);
    }

    /// A process's output, its arguments, and its name for `ps`.
    fn add_process(&mut self, process: &Process) {
        let lines: Vec<String> = process.lines().into_iter().map(|line| line.text).collect();
        assert!(lines.len() > 20, "{} wrote next to nothing", process.name());
        self.add(process.name(), &lines.join("\n"));
        let pid = process.pid().as_raw_nonzero();
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        self.add(process.name(), &String::from_utf8_lossy(&arguments));
    }

    async fn add_command(&mut self, mut command: Command, arguments: &[&str]) {
        command.args(arguments).kill_on_drop(true);
        let what = format!("the end of coordinator {}", arguments.join(" "));
        let output = within(&what, PATIENCE, command.output())
            .await
            .unwrap()
            .unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            self.add(&what, &String::from_utf8_lossy(bytes));
        }
        assert!(!self.0[&what].is_empty(), "{what} wrote nothing");
    }
}

/// The coordinator's program with its secrets where an operator puts them.
fn coordinator(url: &str) -> Command {
    let mut command = Command::new(workspace_binary("coordinator").unwrap());
    command.env_clear().args(["--server", url]);
    command.env("RUST_LOG", "trace").env("NATS_TIMEOUT", "3s");
    command
}

fn with_password(url: &str) -> Command {
    let mut command = coordinator(url);
    command
        .env("NATS_USER", "ann")
        .env("NATS_PASSWORD", PASSWORD);
    command
}

const RUN: [&str; 6] = [
    "run",
    "--lease",
    "quick",
    "--ledger-max-bytes",
    "64MiB",
    "--name",
];

/// A server that knows a password and a key.
async fn server(folder: &Path) -> Server {
    let config = folder.join("server.conf");
    std::fs::write(&config, format!(
        "jetstream {{}}\nauthorization {{ users: [ {{ user: ann, password: \"{PASSWORD}\" }}, {{ nkey: {PUBLIC} }} ] }}\n"
    )).unwrap();
    let options = ServerOptions {
        config_file: Some(config),
        ..ServerOptions::default()
    };
    Server::start_with(options).await.unwrap()
}

async fn standing(name: &str, mut command: Command) -> Process {
    command.args(RUN).arg(name);
    let mut process = Process::start(&format!("coordinator {name}"), command).unwrap();
    process
        .wait_for_line("standing for leadership", PATIENCE)
        .await
        .unwrap();
    process
}

async fn worker(url: &str, folder: &Path) -> Process {
    let mut command = Command::new(workspace_binary("test-worker").unwrap());
    // What a worker's program logs is its own; the SDK is asked for all that it has to say.
    command.env("RUST_LOG", "trace,async_nats::connection=debug");
    command.args(["--server", url, "--name", "w1", "--queue", QUEUE, "--log"]);
    command.arg(folder.join("w1.jsonl"));
    command.args(["--user", "ann", "--password", PASSWORD]);
    let mut worker = Process::start("worker w1", command).unwrap();
    worker.wait_for_line("ready", PATIENCE).await.unwrap();
    worker
}

/// A job that completes, one that fails once, one whose payload its handler cannot read.
async fn three_jobs(server: &Server) {
    let options = async_nats::ConnectOptions::with_user_and_password("ann".into(), PASSWORD.into());
    let client = server.connect_with(options).await.unwrap();
    let tap = Tap::open(&client, "JOBS");
    let fine = format!(r#"{{"do":"work","note":"{PAYLOAD}"}}"#);
    let again = format!(r#"{{"do":"fail-once","note":"{PAYLOAD}"}}"#);
    let payloads = [
        ("fine", fine.as_str()),
        ("again", &again),
        ("broken", PAYLOAD),
    ];
    for (id, payload) in payloads {
        let job = job(id, payload)
            .header("X-Note", &HEADER)
            .header("Jobs-Max-Attempts", &2);
        let stored = publish_raw(&client, job).await.unwrap();
        assert!(matches!(stored, Answer::Stored(_)), "{stored:?}");
    }
    let all = tap.until("the end of three jobs", PATIENCE, |book| {
        (book.ended() == 3).then_some(())
    });
    all.await.unwrap();
}

/// Refusals, help and answers.
async fn commands(url: &str, folder: &Path, seen: &mut Seen) {
    let with_token = ["--token", TOKEN, "status"];
    seen.add_command(coordinator(url), &with_token).await;
    let creds = folder.join("bad.creds").display().to_string();
    std::fs::write(&creds, format!("{TOKEN}\n{SEED}\n")).unwrap();
    let with_creds = ["--creds", &creds, "status"];
    seen.add_command(coordinator(url), &with_creds).await;
    for arguments in [
        &["status"][..],
        &["jobs", "get", QUEUE, "broken"],
        &["--help"],
        &["run", "--help"],
        &["submit", "--help"],
        &["status", "--no-such-flag"],
    ] {
        seen.add_command(with_password(url), arguments).await;
    }
}

#[tokio::test]
async fn no_secret_and_no_content_of_a_job_is_written_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut server = server(folder).await;
    let url = server.url();
    let mut seen = Seen::default();

    // One with a password, one with a key, and a worker; all say as much as they can.
    let a = standing("a", with_password(&url)).await;
    let key = folder.join("a.nk");
    std::fs::write(&key, SEED).unwrap();
    let mut with_key = coordinator(&url);
    with_key.arg("--nkey").arg(&key);
    let b = standing("b", with_key).await;
    seen.add_command(with_password(&url), &["queue", "add", QUEUE])
        .await;
    let worker = worker(&url, folder).await;
    three_jobs(&server).await;
    commands(&url, folder, &mut seen).await;
    seen.add_process(&a);
    seen.add_process(&b);
    let lines: Vec<String> = worker.lines().into_iter().map(|line| line.text).collect();
    seen.add("worker w1", &lines.join("\n"));

    server.stop().await.unwrap();
    // Under the roles a refusal fails a test that does not ask for it.
    assert_eq!(server.take_refused().is_empty(), !roles::on());
    for (who, text) in &seen.0 {
        for secret in ALL {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} was written by {who}");
        }
    }
}
