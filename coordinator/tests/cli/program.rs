//! Starts the program under test in an empty folder with no settings but those given.

use std::process::{Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

/// How long any command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ends by itself"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Asserts the exit code, and that stderr says this.
    pub(crate) fn ended(self, code: i32, says: &str) -> Self {
        let right = self.code == code && self.err.contains(says);
        assert!(
            right,
            "expected exit code {code} and {says:?}, got {self:#?}"
        );
        self
    }

    /// What it printed, as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// An empty home with the settings that a test puts there.
pub(crate) struct Home {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a temporary folder"),
            variables: Vec::new(),
        }
    }

    /// One whose programs find this server.
    pub(crate) fn of(address: &str) -> Self {
        Self::new().with("NATS_URL", address)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file of the home.
    pub(crate) fn file(&self, path: &str, text: &str) -> String {
        let at = self.dir.path().join(path);
        std::fs::create_dir_all(at.parent().expect("a folder")).expect("the folder");
        std::fs::write(&at, text).expect("the file");
        at.to_str().expect("UTF-8").to_owned()
    }

    /// The program, to be started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_as(env!("CARGO_BIN_EXE_coordinator"), arguments)
    }

    fn command_as(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path())
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let program = env!("CARGO_BIN_EXE_coordinator");
        self.run_as(program, arguments).await
    }

    /// Runs a copy of the program.
    pub(crate) async fn run_as(&self, program: &str, arguments: &[&str]) -> Ran {
        let output = self.command_as(program, arguments).output();
        let output = tokio::time::timeout(PATIENCE, output).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?} did not end in {PATIENCE:?}"));
        Ran::of(output.expect("it runs"))
    }
}
