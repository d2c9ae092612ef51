//! Where the programs are that tests start. It never fetches or builds one: that is `./x`'s part.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder of the whole workspace.
#[must_use]
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The nats-server to start: `NATS_SERVER_BIN`, else the one in `PATH`, else `.tools/nats-server`.
///
/// # Errors
/// When none of the three is there, with the ways to get one.
pub fn nats_server() -> Result<PathBuf> {
    if let Some(named) = env::var_os("NATS_SERVER_BIN").filter(|named| !named.is_empty()) {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path);
        }
        bail!(
            "NATS_SERVER_BIN names {}, which is no file: correct or unset it",
            path.display()
        );
    }
    if let Some(path) = in_path("nats-server") {
        return Ok(path);
    }
    let own = repository().join(".tools/nats-server");
    if own.is_file() {
        return Ok(own);
    }
    bail!(
        "found no nats-server in NATS_SERVER_BIN, PATH or .tools/; any one of these mends it: run the \
         tests by `./x test`, which fetches one; install nats-server 2.12 or newer into PATH; set \
         NATS_SERVER_BIN to the program"
    )
}

/// A program of this workspace, built by the same `cargo build` profile as this test.
///
/// # Errors
/// When it is not built yet.
pub fn workspace_binary(name: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("find the running program")?;
    let folder = this
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("find the build folder")?;
    let path = folder.join(name);
    if !path.is_file() {
        bail!(
            "{name} is not built at {}: run `cargo build --workspace --bins`, or `./x test`, which does",
            path.display()
        );
    }
    Ok(path)
}

/// The first file of that name in `PATH`.
#[must_use]
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
