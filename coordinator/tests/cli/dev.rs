//! A local system and its processes: started, ended in order, and never left behind.

use std::process::Stdio;
use std::time::Duration;

use coordinator::dev::{ProcessSpec, Signal, System, SystemOptions};
use nats_config::connection::Environment;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::program::Home;

const PATIENCE: Duration = Duration::from_secs(30);

fn options() -> SystemOptions {
    SystemOptions {
        coordinators: 0,
        ..SystemOptions::new(env!("CARGO_BIN_EXE_coordinator").into())
    }
}

fn shell(name: &str, script: &str) -> ProcessSpec {
    ProcessSpec {
        name: name.to_owned(),
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        variables: Vec::new(),
    }
}

#[tokio::test]
async fn a_system_starts_and_ends_with_its_folder() {
    let mut system = System::start(options(), &Environment::of_process())
        .await
        .expect("it starts");
    let folder = system.folder().to_owned();
    let state = system.broker().client().server_info();
    assert!(state.jetstream, "JetStream is on");
    system
        .add_worker(shell("w-1", "echo \"$NATS_URL\""))
        .expect("it starts");
    let ended = tokio::time::timeout(PATIENCE, system.next_exit()).await;
    let ended = ended.expect("the worker is seen to end");
    assert!(ended.name == "w-1" && ended.status.success(), "{ended:?}");
    let log = std::fs::read_to_string(ended.log).expect("its log");
    assert_eq!(log.trim(), system.address());
    system
        .add_worker(shell("w-2", "exec sleep 1000"))
        .expect("it starts");
    let pid = system.workers()[0].pid();
    system.signal("w-2", Signal::KILL).expect("it is there");
    let killed = tokio::time::timeout(PATIENCE, system.next_exit()).await;
    let killed = killed.expect("the killed worker is seen to end");
    assert_eq!((killed.name.as_str(), killed.pid), ("w-2", pid));
    assert!(system.workers().is_empty());
    assert!(system.signal("w-2", Signal::KILL).is_err(), "it is gone");
    let stopped = system.stop().await;
    assert!(stopped.killed.is_empty(), "{stopped:?}");
    assert!(!folder.exists(), "a temporary folder goes");
}

#[tokio::test]
async fn a_kept_folder_keeps_the_store() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let kept = SystemOptions {
        data_dir: Some(dir.path().join("data")),
        ..options()
    };
    for _ in 0..2 {
        let system = System::start(kept.clone(), &Environment::of_process()).await;
        let system = system.expect("it starts");
        let again = System::start(kept.clone(), &Environment::of_process()).await;
        let error = again.expect_err("the folder is in use").to_string();
        assert!(error.contains("another `coordinator dev` uses"), "{error}");
        system.stop().await;
    }
    assert!(dir.path().join("data/logs/nats-server.log").exists());
}

#[tokio::test]
async fn a_port_in_use_is_said_with_the_servers_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let options = SystemOptions {
        port: Some(port),
        ..options()
    };
    let error = System::start(options, &Environment::of_process()).await;
    let error = error.expect_err("the port is taken").to_string();
    assert!(error.contains("address already in use"), "{error}");
}

/// The child's end is seen by the end of its stdout, which nobody else holds.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_dies_with_its_parent() {
    let program = env!("CARGO_BIN_EXE_coordinator");
    let script = format!("{program} with-parent $$ -- sleep 1000 & wait");
    let mut parent = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell");
    let mut out = parent.stdout.take().expect("it is piped");
    parent.kill().await.expect("it is killed");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, out.read_to_end(&mut rest)).await;
    ended
        .expect("the child ends after its parent")
        .expect("its stdout is read");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_whose_parent_has_ended_does_not_start() {
    let ran = Home::new()
        .run(&["with-parent", "1", "--", "/bin/echo", "started"])
        .await;
    let ran = ran.ended(1, "the process that started this one has ended");
    assert_eq!(ran.out, "");
}
