//! Which nats-server to start, and with what configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use nats_config::ServerVersion;
use nats_config::connection::Environment;
use nats_config::version::NEEDED;
use serde::Deserialize;

use super::error::DevError;
use super::folder::Folder;

/// Room for the store: nothing is reserved on the disk before it is used.
const STORE_MAX: &str = "16GB";

/// A nats-server program that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServerBinary {
    /// The program.
    pub path: PathBuf,
    /// What it calls itself, such as `2.15.1`.
    pub version: String,
}

impl NatsServerBinary {
    /// The one that is named, else `NATS_SERVER_BIN`, else the first new enough of `PATH` and of
    /// `.tools/` in the working directory, the program's folder and those above them.
    ///
    /// # Errors
    /// There is none, or the named one will not do; the text names what helps.
    pub fn find(named: Option<&Path>, env: &Environment) -> Result<Self, DevError> {
        let named = match (named, env.get("NATS_SERVER_BIN")) {
            (Some(path), _) => Some(("--nats-server", path.to_owned())),
            (None, Some(path)) => Some(("NATS_SERVER_BIN", PathBuf::from(path))),
            (None, None) => None,
        };
        if let Some((by, path)) = named {
            return Self::check(&path)
                .map_err(|why| none(&format!("{by} names {}, {why}", path.display())));
        }
        let mut refused = Vec::new();
        for path in candidates(env) {
            match Self::check(&path) {
                Ok(found) => return Ok(found),
                Err(why) => refused.push(format!("{}, {why}", path.display())),
            }
        }
        Err(none(&match refused.is_empty() {
            true => "there is no nats-server in NATS_SERVER_BIN, PATH or .tools/".to_owned(),
            false => format!("no nats-server will do: {}", refused.join("; ")),
        }))
    }

    /// Asks the program for its version; the error is a half-sentence.
    fn check(path: &Path) -> Result<Self, String> {
        let output = Command::new(path)
            .arg("--version")
            .output()
            .map_err(|error| format!("which does not run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version(&text)
            .ok_or_else(|| "which does not say that it is a nats-server".to_owned())?;
        if ServerVersion::parse(version).is_none_or(|found| found < NEEDED) {
            return Err(format!("which is version {version}, older than {NEEDED}"));
        }
        Ok(Self {
            path: path.to_owned(),
            version: version.to_owned(),
        })
    }
}

fn none(found: &str) -> DevError {
    DevError::NoNatsServer {
        found: found.to_owned(),
        oldest: NEEDED.to_string(),
    }
}

/// The version in a text such as `nats-server: v2.15.1`.
fn version(text: &str) -> Option<&str> {
    let version = text.trim().strip_prefix("nats-server: ")?;
    Some(version.strip_prefix('v').unwrap_or(version))
}

fn candidates(env: &Environment) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(env.get("PATH").unwrap_or("")).collect();
    for start in [std::env::current_dir(), std::env::current_exe()]
        .into_iter()
        .flatten()
    {
        folders.extend(start.ancestors().map(|folder| folder.join(".tools")));
    }
    folders
        .into_iter()
        .map(|folder| folder.join("nats-server"))
        .filter(|path| path.is_file())
        .collect()
}

/// Writes the server's configuration and returns its arguments.
pub(super) fn configure(
    folder: &Folder,
    port: Option<u16>,
    more: &str,
) -> Result<Vec<String>, DevError> {
    let store = folder.path().join("jetstream");
    let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    // A JSON text is a quoted text of this format, too.
    let store = serde_json::Value::from(store.display().to_string());
    let text = format!(
        "server_name: dev\nlisten: \"127.0.0.1:{port}\"\njetstream {{\n  store_dir: {store}\n  max_file_store: {STORE_MAX}\n}}\n{more}"
    );
    let path = folder.write("nats.conf", &text)?;
    Ok(vec![
        "--config".to_owned(),
        path.display().to_string(),
        "--ports_file_dir".to_owned(),
        folder.path().display().to_string(),
    ])
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

/// The address in the file that the server writes once it listens.
pub(super) fn address(folder: &Folder, program: &Path, pid: u32) -> Option<String> {
    let program = program.file_name()?.to_str()?;
    let path = folder.path().join(format!("{program}_{pid}.ports"));
    let ports: Ports = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    ports.nats.into_iter().next()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use nats_config::connection::Environment;
    use tempfile::TempDir;

    use super::NatsServerBinary;

    fn program(dir: &TempDir, name: &str, says: &str) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).expect("a script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it may run");
        path
    }

    /// One test: a script that one thread is still writing, while another starts a process, would be
    /// "text file busy".
    #[test]
    fn a_program_is_found_or_refused_with_what_helps() {
        refuses_what_will_not_do();
        takes_the_variable_before_the_path();
    }

    fn refuses_what_will_not_do() {
        let dir = TempDir::new().expect("a temporary folder");
        for (says, words) in [
            (
                "nats-server: v2.11.9",
                "which is version 2.11.9, older than 2.12.0",
            ),
            ("nats-server: v1.4.1", "version 1.4.1"),
            ("hello", "does not say that it is a nats-server"),
        ] {
            let path = program(&dir, "nats-server", says);
            let error = NatsServerBinary::find(Some(&path), &Environment::default())
                .expect_err(says)
                .to_string();
            assert!(
                error.contains(words) && error.contains("--nats-server names"),
                "{error}"
            );
            assert!(
                error.contains("brew install") && error.contains("NATS_SERVER_BIN="),
                "{error}"
            );
        }
        let missing = NatsServerBinary::find(Some(Path::new("/nowhere")), &Environment::default());
        let error = missing.expect_err("it does not exist").to_string();
        assert!(error.contains("/nowhere, which does not run"), "{error}");
    }

    fn takes_the_variable_before_the_path() {
        let dir = TempDir::new().expect("a temporary folder");
        let new = program(&dir, "nats-server", "nats-server: v2.14.0-RC.1");
        let other = program(&dir, "other", "nats-server: v2.12.0");
        let folder = dir.path().to_str().expect("UTF-8");
        let env = Environment::of([("PATH", folder)]);
        let found = NatsServerBinary::find(None, &env).expect("the one in PATH");
        assert_eq!((found.path, found.version.as_str()), (new, "2.14.0-RC.1"));
        let env = Environment::of([
            ("PATH", folder),
            ("NATS_SERVER_BIN", other.to_str().expect("UTF-8")),
        ]);
        let found = NatsServerBinary::find(None, &env).expect("the named one");
        assert_eq!(found.version, "2.12.0");
    }
}
