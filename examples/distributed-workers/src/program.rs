//! What both programs do as processes: they log to the standard error, and stop when they are told to.

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Logs to the standard error, without colours: it may be a file.
pub fn log() {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
}

/// Heeds SIGTERM and SIGINT from now on; what is returned ends with the first of them.
///
/// # Errors
/// The system does not let this process hear signals.
pub fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("hear SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("hear SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}
