//! Wrong usage and bad configuration: what is said, and the codes 2, 5 and 78.

use crate::program::Home;

#[tokio::test]
async fn wrong_usage_ends_with_2() {
    let home = Home::new();
    for (arguments, says) in [
        (&[][..], "Usage: coordinator"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (
            &["queue", "add", "a.b"],
            "a queue is 1 to 64 of A-Z a-z 0-9 _ -",
        ),
        (&["queue", "add", "a b"], "queue \"a b\" refused"),
        (&["queue", "add", "a\nb*"], "queue \"a\\nb*\" refused"),
        (
            &["queue", "add", "q", "--backoff", "5 parsecs"],
            "give a span such as 500ms",
        ),
        (
            &["queue", "add", "q", "--max-attempts", "0"],
            "max_attempts is 0: it must be 1 to 1000",
        ),
        (
            &[
                "queue",
                "add",
                "q",
                "--backoff",
                "1m",
                "--backoff-max",
                "1s",
            ],
            "at least backoff_base_ms",
        ),
        (
            &["queue", "add", "q", "--rescue-keyed", "300ms"],
            "rescue_keyed_ms is 300",
        ),
        (
            &["queue", "add", "q", "--key-pointer", "market"],
            "starts with `/`",
        ),
        (
            &["queue", "add", "q", "--kinds", "a b"],
            "kind \"a b\" refused",
        ),
        (
            &["status", "--timeout", "soon"],
            "give a span such as 500ms",
        ),
        (&["status", "--namespace", "A.B"], "1 to 32 of a-z"),
        (&["run", "--window", "513"], "a window: 1 to 512"),
        (&["run", "--replicas", "2"], "1, 3 or 5"),
        (
            &["run", "--provision", "maybe"],
            "one of create, verify, off",
        ),
        (&["dev", "--coordinators", "0"], "0 is not in 1..=9"),
        (
            &["dev", "--worker-bin", "no-such-program"],
            "--worker-bin: no-such-program cannot be started",
        ),
    ] {
        home.run(arguments).await.ended(2, says);
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_is_refused_before_it_is_sent() {
    let home = Home::new();
    for (arguments, says) in [
        (&["submit", "a.b", "1"][..], "a queue is 1 to 64"),
        (&["submit", "q", ""], "give each job an id"),
        (
            &["submit", "q", "1", "@no-such-file"],
            "no-such-file: No such file",
        ),
        (&["submit", "q", "1", "--kind", "a b"], "a kind is 1 to 128"),
        (&["submit", "q", "1", "--key", " "], "a key is 1 to 256"),
        (&["submit", "q", "1", "--priority", "10"], "0 (first) to 9"),
        (
            &["submit", "q", "1", "--run-at", "tomorrow"],
            "expected RFC 3339",
        ),
        (&["submit", "q", "1", "--wait=soon"], "--wait"),
        (&["jobs", "get", "q", ""], "give each job an id"),
    ] {
        home.run(arguments).await.ended(2, says);
    }
}

#[tokio::test]
async fn workers_need_a_program() {
    let home = Home::new();
    // On the disk of the program: a link is no second file that somebody still writes.
    let dir = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let alone = dir.path().join("coordinator");
    std::fs::hard_link(env!("CARGO_BIN_EXE_coordinator"), &alone).expect("a link");
    let alone = alone.to_str().expect("UTF-8");
    let ran = home.run_as(alone, &["dev", "--workers", "2"]).await;
    ran.ended(2, "name a worker with --worker-bin");
}

#[tokio::test]
async fn a_hostile_argument_is_shown_escaped_and_cut() {
    let name = format!("\u{1b}[31m{}", "x".repeat(10_000));
    let ran = Home::new()
        .run(&["queue", "edit", &name])
        .await
        .ended(2, "refused");
    let said = ran
        .err
        .lines()
        .find(|line| line.contains("refused"))
        .expect("a line");
    let (_, ours) = said
        .split_once("for '<QUEUE>'")
        .expect("clap names the argument");
    assert!(!ours.contains('\u{1b}') && ours.len() < 300, "{ours}");
}

#[tokio::test]
async fn help_and_version_end_with_0_and_show_no_secret() {
    let home = Home::new().with("NATS_PASSWORD", "hunter2");
    let help = home.run(&["run", "--help"]).await.ended(0, "");
    assert!(
        help.out.contains("NATS_PASSWORD") && !help.out.contains("hunter2"),
        "{}",
        help.out
    );
    let version = home.run(&["--version"]).await.ended(0, "");
    assert!(version.out.starts_with("coordinator "), "{}", version.out);
}

#[tokio::test]
async fn bad_configuration_ends_with_78() {
    let home = Home::new();
    home.file("bad.toml", "name = \"a\"\nwidnow = 64\n");
    home.file("off.toml", "provision = \"off\"\nreplicas = 3\n");
    for (arguments, says) in [
        (
            &["run", "--config", "missing.toml"][..],
            "missing.toml cannot be read",
        ),
        (&["run", "--config", "bad.toml"], "unknown field `widnow`"),
        (&["run", "--config", "bad.toml"], "line 2"),
        (&["run", "--config", "off.toml"], "off.toml:2 sets replicas"),
        (
            &["run", "--socks-proxy", "p:1080"],
            "SOCKS proxy are not supported",
        ),
        (&["run", "--context", "nope"], "there is no context `nope`"),
        (
            &["run", "--creds", "no.creds"],
            "--creds or NATS_CREDS: no.creds cannot be read",
        ),
        (
            &["run", "--tlscert", "c.pem"],
            "a certificate without its key",
        ),
        (&["status", "--seed", "SU"], "a seed without the JWT"),
        (&["status", "-s", "http://x"], "no address of a server"),
        (
            &["dev", "--nats-server", "/nowhere"],
            "--nats-server names /nowhere, which does not run",
        ),
    ] {
        home.run(arguments).await.ended(78, says);
    }
}

#[tokio::test]
async fn a_file_in_the_working_folder_and_variables_are_read() {
    let home = Home::new().with("COORDINATOR_WINDOW", "900");
    let ran = home.run(&["run"]).await;
    ran.ended(78, "in the variable COORDINATOR_WINDOW");
    home.run(&["run", "--window", "0"])
        .await
        .ended(2, "--window");
    let home = Home::new().with("RUST_LOG", "a=b=c");
    home.run(&["status"]).await.ended(78, "RUST_LOG");
    let home = Home::new();
    home.file("coordinator.toml", "\n\nlease = \"forever\"");
    home.run(&["run"]).await.ended(78, "coordinator.toml");
}

#[tokio::test]
async fn nobody_there_ends_with_5() {
    // Port 1 is reserved and nobody listens on it here.
    let home = Home::of("nats://127.0.0.1:1");
    for arguments in [
        &["status"][..],
        &["queue", "ls"],
        &["queue", "add", "q"],
        &["submit", "q", "1"],
        &["jobs", "get", "q", "1"],
    ] {
        let ran = home.run(arguments).await;
        ran.ended(5, "no connection to nats://127.0.0.1:1");
    }
}
