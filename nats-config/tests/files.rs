//! The files for operators are what the code makes. `UPDATE_FILES=1` writes them anew.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use nats_config::accounts::accounts_conf;
use nats_config::roles::{Role, permissions_conf};
use nats_config::{Names, Settings, buckets, consumers, streams};
use protocol::config::QueueConfig;
use serde::Serialize;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The form that `nats stream add --config` and `nats consumer add --config` take.
fn json(config: &impl Serialize) -> String {
    let mut value = serde_json::to_value(config).expect("a configuration is JSON");
    let fields = value.as_object_mut().expect("a configuration is an object");
    fields.retain(|_, value| *value != Value::Null);
    serde_json::to_string_pretty(&value).expect("it is JSON") + "\n"
}

/// All files and their text; written first if that is asked for.
fn expected() -> Vec<(String, String)> {
    static WRITE: Once = Once::new();
    let files = made();
    WRITE.call_once(|| {
        if std::env::var_os("UPDATE_FILES").is_some() {
            for (name, text) in &files {
                std::fs::write(folder().join(name), text).expect("the file is written");
            }
        }
    });
    files
}

fn made() -> Vec<(String, String)> {
    let (names, settings) = (Names::default(), Settings::default());
    let lease = std::time::Duration::from_millis(QueueConfig::default().work_lease_ms);
    let mut files = vec![
        (
            "streams/JOBS.json".to_owned(),
            json(&streams::ledger(&names, &settings)),
        ),
        (
            "streams/WORK.json".to_owned(),
            json(&streams::work(&names, &settings)),
        ),
        (
            "buckets/KV_jobs_leader.json".to_owned(),
            json(&buckets::leader(&names, &settings)),
        ),
        (
            "buckets/KV_jobs_workers.json".to_owned(),
            json(&buckets::workers(&names, &settings)),
        ),
        (
            "server/permissions.conf".to_owned(),
            permissions_conf(&names),
        ),
        ("server/accounts.conf".to_owned(), accounts_conf(&names)),
    ];
    for queue in ["default", "invoices"] {
        let name = queue.parse().expect("a queue's name");
        let config = consumers::queue(&names, &name, lease);
        files.push((format!("consumers/{queue}.json"), json(&config)));
    }
    files
}

#[test]
fn the_files_are_what_the_code_makes() {
    for (name, text) in expected() {
        let found = std::fs::read_to_string(folder().join(&name)).unwrap_or_default();
        assert!(
            found == text,
            "nats-config/{name} is not what the code makes: run UPDATE_FILES=1 cargo test -p nats-config --test files, and look at the difference"
        );
    }
}

#[test]
fn no_other_json_lies_beside_them() {
    let mut found = Vec::new();
    for part in ["streams", "buckets", "consumers"] {
        for entry in std::fs::read_dir(folder().join(part)).expect("the folder is there") {
            let name = entry.expect("an entry").file_name();
            found.push(format!("{part}/{}", name.to_string_lossy()));
        }
    }
    let expected: Vec<String> = expected().into_iter().map(|(name, _)| name).collect();
    for name in found {
        assert!(expected.contains(&name), "{name} is made by nothing");
    }
}

#[test]
fn servers_take_the_configurations() {
    assert!(!expected().is_empty());
    let binary = std::env::var("NATS_SERVER_BIN").unwrap_or_else(|_| "nats-server".into());
    for name in ["single", "cluster-1", "cluster-2", "cluster-3"] {
        let mut command = Command::new(&binary);
        command
            .arg("-t")
            .arg("-c")
            .arg(folder().join(format!("server/{name}.conf")));
        for role in Role::ALL {
            command.env_remove(role.password_variable());
        }
        let without = command.output().expect("nats-server runs");
        let said = String::from_utf8_lossy(&without.stderr).into_owned();
        assert!(
            !without.status.success() && said.contains("PASSWORD"),
            "{name}: {said}"
        );
        let with = command.envs(dev_env()).output().expect("nats-server runs");
        let said = String::from_utf8_lossy(&with.stderr).into_owned();
        assert!(with.status.success(), "{name}: {said}");
    }
}

#[test]
fn a_server_takes_the_accounts_in_place_of_the_permissions() {
    assert!(!expected().is_empty());
    let scratch = tempfile::tempdir().expect("a folder");
    let single = std::fs::read_to_string(folder().join("server/single.conf")).expect("it is there");
    let single = single.replace("permissions.conf", "accounts.conf");
    let path = scratch.path().join("single.conf");
    std::fs::write(&path, single).expect("it is written");
    std::fs::copy(
        folder().join("server/accounts.conf"),
        scratch.path().join("accounts.conf"),
    )
    .expect("it is copied");
    let binary = std::env::var("NATS_SERVER_BIN").unwrap_or_else(|_| "nats-server".into());
    let mut command = Command::new(&binary);
    command.arg("-t").arg("-c").arg(path).envs(dev_env());
    let said = command.output().expect("nats-server runs");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{text}");
}

/// The variables of `server/dev.env`.
fn dev_env() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(folder().join("server/dev.env")).expect("dev.env is there");
    let pairs: Vec<(String, String)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for role in Role::ALL {
        let variable = role.password_variable();
        assert!(
            pairs.iter().any(|(name, _)| *name == variable),
            "{variable}"
        );
    }
    pairs
}

/// What a server has acknowledged is on its disk, also when its power is cut.
#[test]
fn the_servers_sync_before_they_acknowledge() {
    for name in ["single", "cluster-1", "cluster-2", "cluster-3"] {
        let file = folder().join(format!("server/{name}.conf"));
        let text = std::fs::read_to_string(file).expect("the file");
        let syncs = text
            .lines()
            .any(|line| line.trim() == "sync_interval: always");
        assert!(syncs, "{name}.conf does not say `sync_interval: always`");
    }
}
