//! What a test program writes down of its acts, a line each.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

/// A file that only grows.
#[derive(Debug)]
pub struct ActLog(File);

impl ActLog {
    /// Opens it at its end.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn append(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(file.context("open the log")?))
    }

    /// Writes a line at once: nothing is lost with the process.
    pub fn write(&mut self, line: &str) {
        if let Err(error) = self.0.write_all(format!("{line}\n").as_bytes()) {
            tracing::error!(%error, "a line was not written");
        }
    }
}
