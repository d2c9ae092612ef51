//! `examples/worker-coordination`: its processes say who is the only one and who has which share, while
//! they are killed and stopped.

use std::collections::BTreeMap;

use tests::process::{Process, Source};
use tests::program::workspace_binary;
use tests::server::Server;
use tests::wait::{PATIENCE, eventually};
use tokio::process::Command;

use crate::stand::SHARES_WITHIN;

const PARTITIONS: usize = 12;

async fn start(server: &Server, node: &str, group: &str) -> Process {
    let mut command = Command::new(workspace_binary("worker-coordination").unwrap());
    command.args(["--server", &server.url(), "--node", node, "--group", group]);
    command.args(["--lease", "quick"]);
    let mut process = Process::start(node, command).unwrap();
    let here = process.wait_for_line("is here", SHARES_WITHIN);
    here.await.unwrap();
    process
}

/// What a process has begun and not ended, by its words: each thing with what was said of it.
fn begun(process: &Process) -> BTreeMap<String, String> {
    let mut begun = BTreeMap::new();
    let mut lines = process.lines();
    lines.retain(|line| line.source == Source::Stdout);
    for line in lines {
        let words: Vec<&str> = line.text.split(' ').collect();
        match words[1..] {
            [what, "begins", "as", token] => begun.insert(what.to_owned(), token.to_owned()),
            [what, "ends"] => begun.remove(what),
            [what, "begins:", "I", "am", number, "of", of, "as", _] => {
                begun.insert(format!("{what} {number}"), of.to_owned())
            }
            [what, "ends:", number, "of", _] => begun.remove(&format!("{what} {number}")),
            ["is", "here"] => None,
            _ => panic!("it said {:?}", line.text),
        };
    }
    begun
}

/// Who of these does a thing.
fn doers(processes: &[&Process], what: &str) -> Vec<usize> {
    let does = |process: &&Process| begun(process).contains_key(what);
    let all = processes.iter().enumerate();
    all.filter(|(_, process)| does(process))
        .map(|(place, _)| place)
        .collect()
}

/// Waits until these do all that there is to do, each thing once; says who does the global report.
async fn all_is_done(processes: &[&Process], groups: &[&[usize]]) -> usize {
    let count = processes.len();
    eventually("each thing to be done by one", SHARES_WITHIN, async || {
        let once = |what: &str| match doers(processes, what)[..] {
            [doer] => Ok(doer),
            ref doers => Err(format!("{what} is done by {doers:?}")),
        };
        for index in 0..count {
            let what = format!("worker {index}");
            let doer = once(&what)?;
            let of = begun(processes[doer]).remove(&what);
            if of != Some(count.to_string()) {
                return Err(format!("{what} is of {of:?}"));
            }
        }
        let mut each = vec![0; count];
        for partition in 0..PARTITIONS {
            each[once(&format!("partition {partition}"))?] += 1;
        }
        if each.iter().any(|held| *held != PARTITIONS / count) {
            return Err(format!("partitions are held as {each:?}"));
        }
        let reporters = doers(processes, "cluster-report");
        let reports = |group: &&[usize]| {
            let of_group = reporters.iter().filter(|doer| group.contains(doer));
            of_group.count() == 1
        };
        if !groups.iter().all(reports) {
            return Err(format!("the cluster's report is done by {reporters:?}"));
        }
        once("global-report")
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn each_thing_is_done_by_one_though_processes_are_killed_and_stopped() {
    let server = Server::start().await.unwrap();
    let mut all = vec![
        start(&server, "a", "eu").await,
        start(&server, "b", "eu").await,
        start(&server, "c", "us").await,
    ];
    let three: Vec<&Process> = all.iter().collect();
    let global = all_is_done(&three, &[&[0, 1], &[2]]).await;
    // The one of all dies: it had an index, partitions, and a group.
    let mut dead = all.remove(global);
    dead.kill().await.unwrap();
    let two: Vec<&Process> = all.iter().collect();
    let groups: &[&[usize]] = if global == 2 {
        &[&[0, 1]]
    } else {
        &[&[0], &[1]]
    };
    let global = all_is_done(&two, groups).await;
    // And the next one is told to stop.
    let mut leaving = all.remove(global);
    let status = leaving.terminate(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(begun(&leaving), BTreeMap::new());
    all_is_done(&[&all[0]], &[&[0]]).await;
}
