//! The real `nats` command line tool, built once from the pinned `tests/tools/natscli/go.mod`.
//!
//! It never uses the contexts or the environment of whoever runs the tests.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::program::{in_path, repository};
use crate::roles;
use crate::wait::within;

const PACKAGE: &str = "github.com/nats-io/natscli/nats";
const MODULE: &str = "github.com/nats-io/natscli ";

/// The build fetches and compiles some 200 packages on a machine that has none of them yet.
const BUILD: Duration = Duration::from_secs(20 * 60);

/// No call of the tool in a test does more than wait for one answer.
const CALL: Duration = Duration::from_secs(60);

static BUILT: OnceCell<Option<PathBuf>> = OnceCell::const_new();

/// The tool, with a home folder of its own.
pub struct NatsCli {
    program: PathBuf,
    home: TempDir,
}

/// What one call wrote and how it ended.
#[derive(Debug, Clone)]
pub struct CliOutput {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl CliOutput {
    /// Standard output, for a call that must succeed.
    ///
    /// # Errors
    /// When the exit code is not 0, with all it wrote.
    pub fn success(self) -> Result<String> {
        match self.code {
            Some(0) => Ok(self.stdout),
            code => bail!(
                "nats ended with {code:?}:\n{}\n{}",
                self.stdout,
                self.stderr
            ),
        }
    }
}

impl NatsCli {
    /// The tool; `None`, after a line that says so, where Go is missing.
    ///
    /// # Errors
    /// When the build fails, or Go is missing under `CI`.
    pub async fn find_or_build() -> Result<Option<Self>> {
        let Some(program) = BUILT.get_or_try_init(build).await?.clone() else {
            return Ok(None);
        };
        let home = tempfile::tempdir().context("make a home folder for the nats tool")?;
        Ok(Some(Self { program, home }))
    }

    /// Runs `nats --server <server> <arguments>`.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn run(&self, server: &str, arguments: &[&str]) -> Result<CliOutput> {
        self.run_with_input(server, arguments, "").await
    }

    /// The same with text on standard input.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub async fn run_with_input(
        &self,
        server: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<CliOutput> {
        let mut child = Command::new(&self.program)
            .args(["--server", server])
            .args(roles::arguments(None))
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start the nats tool")?;
        let mut stdin = child.stdin.take().context("the nats tool takes no input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let what = format!("the end of nats {}", arguments.join(" "));
        let output = within(&what, CALL, child.wait_with_output()).await??;
        Ok(CliOutput {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

async fn build() -> Result<Option<PathBuf>> {
    let module = repository().join("tests/tools/natscli");
    let version = pinned_version(&module)?;
    let tools = repository().join(".tools");
    let program = tools.join(format!("nats-{version}"));
    if program.is_file() {
        return Ok(Some(program));
    }
    let Some(go) = in_path("go") else {
        if env::var_os("CI").is_some() {
            bail!("the nats tool cannot be built without Go: install Go 1.25 or newer");
        }
        say_skipped(&version);
        return Ok(None);
    };
    std::fs::create_dir_all(&tools).context("make .tools/")?;
    // Under a name of its own first: two test binaries may build at once, and half a file is none.
    let fresh = tools.join(format!("nats-{version}.{}", std::process::id()));
    let building = Command::new(go)
        .current_dir(&module)
        .env("GOFLAGS", "-mod=readonly")
        .args(["build", "-trimpath", "-o"])
        .arg(&fresh)
        .arg(PACKAGE)
        .kill_on_drop(true)
        .output();
    let output = within("the build of the nats tool", BUILD, building).await??;
    if !output.status.success() {
        bail!(
            "`go build {PACKAGE}` in tests/tools/natscli failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    std::fs::rename(&fresh, &program).context("put the nats tool into .tools/")?;
    Ok(Some(program))
}

fn pinned_version(module: &Path) -> Result<String> {
    let text = std::fs::read_to_string(module.join("go.mod")).context("read the tool's go.mod")?;
    text.lines()
        .find_map(|line| line.split_once(MODULE))
        .map(|(_, version)| version.trim().to_owned())
        .ok_or_else(|| anyhow!("tests/tools/natscli/go.mod pins no {MODULE}"))
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn say_skipped(version: &str) {
    eprintln!(
        "SKIPPED: needs the nats tool {version}, which is built with Go; install Go 1.25 or newer"
    );
}
