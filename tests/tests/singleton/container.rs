//! A strict singleton as the first process of a process namespace, as in a container.

use std::time::Duration;

use tests::process::Process;
use tests::program::workspace_binary;
use tests::wait::PATIENCE;
use tokio::process::Command;

use crate::stand::{Stand, begins};

/// Runs a program as process 1 of a namespace of its own, which dies with its parent.
fn as_process_1(stand: &Stand, name: &str, more: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
    command.arg(workspace_binary("test-singleton").unwrap());
    command.args(stand.arguments(name, more));
    command
}

#[tokio::test]
async fn process_1_is_refused_and_told_what_to_do() {
    let stand = Stand::new("strict", "test").await;
    let mut refused = Process::start("a", as_process_1(&stand, "a", &[])).unwrap();
    let line = refused.wait_for_line("process 1", PATIENCE).await.unwrap();
    assert!(line.text.contains("run_below_init"), "{}", line.text);
    assert!(!refused.wait_exit(PATIENCE).await.unwrap().success());

    // A fenced one needs no timer.
    let stand = Stand::new("fenced", "test").await;
    let mut fenced = Process::start("a", as_process_1(&stand, "a", &[])).unwrap();
    begins(&mut fenced).await;
}

#[tokio::test]
async fn below_process_1_it_works_and_stops_in_good_order() {
    let stand = Stand::new("strict", "test").await;
    let command = as_process_1(&stand, "a", &["--below-init"]);
    let mut init = Process::start("a", command).unwrap();
    begins(&mut init).await;
    // `unshare` does not pass signals on; process 1 of the namespace does.
    let children = format!("/proc/{0}/task/{0}/children", init.pid());
    let text = std::fs::read_to_string(children).unwrap();
    let first = text.split_whitespace().next().unwrap().parse().unwrap();
    let first = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::TERM).unwrap();
    let status = init.wait_exit(Duration::from_secs(60)).await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(stand.never_two_at_once().len(), 1);
}
