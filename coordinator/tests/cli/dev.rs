//! A local system and its processes: started, ended in order, and never left behind.

use std::process::Stdio;
use std::time::Duration;

use coordinator::dev::{ProcessSpec, Signal, System, SystemOptions};
use nats_config::connection::Environment;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

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

#[tokio::test]
async fn three_coordinators_have_one_leader_and_a_successor() {
    let three = SystemOptions {
        coordinators: 3,
        ..options()
    };
    let mut system = System::start(three, &Environment::of_process())
        .await
        .expect("it starts");
    let first = system.until_led().await.expect("one leads");
    system.signal(&first, Signal::KILL).expect("it is there");
    let killed = tokio::time::timeout(PATIENCE, system.next_exit()).await;
    assert_eq!(killed.expect("it is seen to end").name, first);
    let second = system.until_led().await.expect("another leads");
    assert_ne!(second, first);
    let queues = coordinator::queue_record::all(system.broker()).await;
    let queues: Vec<String> = queues.expect("the queues").into_keys().collect();
    assert_eq!(queues, ["default", "invoices"]);
    let home = Home::of(system.address());
    let status = home.run(&["status"]).await.ended(0, "");
    assert!(
        status.out.contains(&format!("{second} leads")),
        "{}",
        status.out
    );
    let stopped = system.stop().await;
    assert!(stopped.killed.is_empty(), "{stopped:?}");
}

/// What `dev -j` printed once all of it ran.
async fn summary(dev: &mut Child) -> serde_json::Value {
    let out = dev.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(out).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let line = line.expect("dev says what runs").expect("it is text");
    serde_json::from_str(&line.expect("a line")).expect("it is JSON")
}

fn started(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command(arguments);
    if let Some(found) = Environment::of_process().get("NATS_SERVER_BIN") {
        command.env("NATS_SERVER_BIN", found);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

fn signal(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = id.and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("it runs"), signal).expect("it is sent");
}

#[tokio::test]
async fn the_first_signal_ends_dev_in_order() {
    let home = Home::new();
    let mut dev = started(&home, &["dev", "-j", "--coordinators", "1"]);
    let summary = summary(&mut dev).await;
    let folder = summary["folder"].as_str().expect("a folder").to_owned();
    let server = summary["server"].as_str().expect("an address").to_owned();
    Home::of(&server).run(&["status"]).await.ended(0, "");
    signal(&dev, Signal::INT);
    let ended = tokio::time::timeout(PATIENCE, dev.wait()).await;
    let status = ended.expect("dev ends").expect("it is seen");
    assert_eq!(status.code(), Some(0));
    assert!(!std::path::Path::new(&folder).exists(), "{folder}");
    Home::of(&server)
        .run(&["status"])
        .await
        .ended(5, "no connection");
}

/// Whatever ends `dev`, nothing of it stays: each child's end is seen at its process file.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_child_outlives_a_killed_dev() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    let home = Home::new();
    let data = home.file("data/keep", "");
    let data = data.trim_end_matches("/keep");
    let mut dev = started(&home, &["dev", "-j", "--workers", "0", "--data-dir", data]);
    let summary = summary(&mut dev).await;
    let mut children = Vec::new();
    for process in summary["processes"].as_array().expect("a list") {
        let id = process["pid"]
            .as_i64()
            .and_then(|id| i32::try_from(id).ok());
        let pid = id.and_then(Pid::from_raw).expect("a process id");
        let file = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
        children.push((process["name"].to_string(), file));
    }
    assert_eq!(children.len(), 4);
    dev.kill().await.expect("it is killed");
    let patience = Timespec::try_from(PATIENCE).expect("a span");
    for (name, child) in children {
        let mut ended = [PollFd::new(&child, PollFlags::IN)];
        let seen = poll(&mut ended, Some(&patience)).expect("it can be asked");
        assert_eq!(seen, 1, "{name} outlives dev by {PATIENCE:?}");
    }
}

/// The child's end is seen by the end of its stdout, which nobody else holds.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_dies_with_its_parent() {
    let program = env!("CARGO_BIN_EXE_coordinator");
    let script =
        format!("{program} with-parent $$ -- /bin/sh -c 'echo up; exec sleep 1000' & wait");
    let mut parent = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell");
    let mut out = parent.stdout.take().expect("it is piped");
    let mut up = [0; 3];
    let started = tokio::time::timeout(PATIENCE, out.read_exact(&mut up)).await;
    started
        .expect("the child starts")
        .expect("its stdout is read");
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
