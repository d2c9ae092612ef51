//! The system itself beside the bare flow: coordinators and workers as processes, a handler that does
//! nothing, the same payload and the same table.
//!
//! What belongs here: jobs a second with one coordinator and its ratio to the bare flow of the same
//! run; idle submission to handler start; SIGKILL of the leader to the next dispatch, the worst of
//! many; SIGKILL of a worker to its job running elsewhere, keyed and not; memory of an idle
//! coordinator. It never reaches into a process: it reads records, worker logs and `/proc`.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// The memory that a process holds now, in bytes.
///
/// # Errors
/// When the process is gone, or where there is no `/proc`.
pub fn resident_bytes(pid: Pid) -> Result<u64> {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: u64 = kilobytes.context("no VmRSS line")?.parse()?;
    Ok(kilobytes * 1024)
}
