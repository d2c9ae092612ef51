//! Runs one coordinator until it is told to stop. A stand-in: it connects and waits.

use nats_config::ProvisionError;
use nats_config::connection::ConnectError;
use protocol::effects::Stop;
use tokio_util::sync::CancellationToken;

use crate::settings::RunSettings;

/// A coordinator could not start, or must not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The connection's settings are wrong, or the server refuses them.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What must exist on the broker is not there, or not as it must be.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The election could not begin.
    #[error(transparent)]
    Election(#[from] election::StartError),
    /// A subscription was refused.
    #[error("failed to subscribe to {subject}: {why}")]
    Subscribe {
        /// What.
        subject: String,
        /// The client's words.
        why: String,
    },
    /// A setting that no coordinator can run with.
    #[error("{0}")]
    Setting(String),
    /// The rules stopped it.
    #[error("stopped for good: {}", match .0 { Stop::Newer(why) | Stop::WentBack(why) => why })]
    Stopped(Stop),
}

/// Runs a coordinator until `shutdown`.
///
/// # Errors
/// See [`RunError`].
pub async fn run(settings: RunSettings, shutdown: CancellationToken) -> Result<(), RunError> {
    let client = nats_config::connection::connect(&settings.connection, "coordinator").await?;
    shutdown.cancelled().await;
    drop(client);
    Ok(())
}
