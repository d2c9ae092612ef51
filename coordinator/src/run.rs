//! Runs one coordinator until it is told to stop.

use tokio_util::sync::CancellationToken;

use crate::settings::RunSettings;

/// How a coordinator ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// It was told to stop, and handed over what it led.
    Stopped,
}

/// Why a coordinator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The broker cannot be reached.
    #[error(transparent)]
    Connect(#[from] nats_config::connection::ConnectError),
}

/// Runs a coordinator until `shutdown`.
///
/// # Errors
/// See [`RunError`].
pub async fn run(settings: RunSettings, shutdown: CancellationToken) -> Result<ExitKind, RunError> {
    let client = nats_config::connection::connect(&settings.connection, "coordinator").await?;
    shutdown.cancelled().await;
    drop(client);
    Ok(ExitKind::Stopped)
}
