//! A disk that is full: what the coordinators say, what submitters hear, and that nothing accepted is
//! lost when there is room again and the server was restarted.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::raw::{Answer, publish_raw};
use tests::system::job;
use tests::wait::eventually;
use tests::{Server, ServerOptions, System};

use crate::scene::{LIMIT, alarm, finish, no_alarm, scene_on};

/// A small disk of its own, in memory. Gone when it is dropped.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of `megabytes`; none where this user may not mount.
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap().keep();
        let size = format!("size={megabytes}m");
        let mounted = mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &folder);
        if !mounted {
            println!("SKIPPED: this user may not mount a small disk");
            std::fs::remove_dir(&folder).unwrap();
            return None;
        }
        Some(Self { folder })
    }

    /// Gives it more room.
    fn grow(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        assert!(mount(&["-o", &size], &self.folder), "grow the disk");
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(folder);
    command.output().is_ok_and(|output| output.status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.folder).status();
        assert!(
            std::thread::panicking() || unmounted.is_ok_and(|status| status.success()),
            "unmount {}",
            self.folder.display()
        );
        std::fs::remove_dir(&self.folder).ok();
    }
}

/// Submits until the ledger takes nothing more. Returns how many it took.
async fn fill(system: &System) -> usize {
    let payload = format!(r#"{{"do":"work","ms":1,"pad":"{}"}}"#, "x".repeat(60_000));
    let mut accepted = 0;
    loop {
        let next = job(&format!("big-{accepted}"), &payload);
        match publish_raw(&system.client, next).await.unwrap() {
            Answer::Stored(_) => accepted += 1,
            refused => {
                assert!(!matches!(refused, Answer::Refused(_)), "{refused:?}");
                return accepted;
            }
        }
        assert!(accepted < 10_000, "the disk does not fill");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing_after_a_restart_with_room() {
    let Some(disk) = Disk::mount(24) else { return };
    let options = ServerOptions {
        store: Some(disk.folder.clone()),
        // The server believes that it has room: its disk knows better.
        max_store: Some(4 << 30),
        ..ServerOptions::default()
    };
    let server = Server::start_with(options).await.unwrap();
    let (mut system, _a) = scene_on(server).await;
    let accepted = fill(&system).await;
    assert!(accepted > 0);

    alarm(&system, "restart that NATS server").await;
    let refused = system
        .command(&["submit", "work", "one-more", "--payload", "{}"])
        .await
        .unwrap();
    assert!(!refused.status.success(), "{refused:?}");

    disk.grow(512);
    system.server().stop().await.unwrap();
    system.server().start_again().await.unwrap();
    no_alarm(&system, "restart that NATS server").await;
    let _worker = system.worker("w1").await.unwrap();
    // What was not answered may be there, too: it is submitted again, and then it is.
    let accepted = accepted + usize::from(resubmit(&system, accepted).await);
    finish(&system, accepted).await;
}

async fn resubmit(system: &System, n: usize) -> bool {
    let payload = format!(r#"{{"do":"work","ms":1,"pad":"{}"}}"#, "x".repeat(60_000));
    let next = job(&format!("big-{n}"), &payload);
    eventually(
        "an answer of the ledger",
        LIMIT,
        async || match publish_raw(&system.client, next.clone()).await {
            Ok(Answer::Stored(_)) => Ok(true),
            Ok(Answer::Refused(refusal)) if refusal.code == 10_077 => Ok(true),
            other => Err(format!("{other:?}")),
        },
    )
    .await
    .unwrap()
}
