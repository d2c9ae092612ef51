//! `coordinator run`: the process that an operator keeps running.

use std::path::PathBuf;

use crate::settings::{
    ByteSize, CoordinatorName, Layer, LeaseProfile, LogFormat, Provision, Replicas, RunSettings,
    Window,
};
use nats_config::connection::Environment;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failure};
use super::{Global, log, signals};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArguments {
    /// The configuration file [default: ./coordinator.toml, then coordinator/config.toml in
    /// $XDG_CONFIG_HOME and /etc, where one exists].
    #[arg(long, env = "COORDINATOR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Who this is among the coordinators [default: host and process id].
    #[arg(long, env = "COORDINATOR_NAME")]
    name: Option<CoordinatorName>,
    /// What to do about streams, consumers and buckets: create, verify or off [default: create].
    #[arg(long, env = "COORDINATOR_PROVISION", value_name = "WHAT")]
    provision: Option<Provision>,
    /// On how many servers each stream is kept: 1, 3 or 5 [default: 1].
    #[arg(long, env = "COORDINATOR_REPLICAS", value_name = "COUNT")]
    replicas: Option<Replicas>,
    /// The most bytes that the ledger takes [default: 8GiB].
    #[arg(long, env = "COORDINATOR_LEDGER_MAX_BYTES", value_name = "SIZE")]
    ledger_max_bytes: Option<ByteSize>,
    /// The times of the election: stable, quick or test [default: stable].
    #[arg(long, env = "COORDINATOR_LEASE", value_name = "PROFILE")]
    lease: Option<LeaseProfile>,
    /// How many dispatches may be in flight, 1 to 512 [default: 256].
    #[arg(long, env = "COORDINATOR_WINDOW", value_name = "COUNT")]
    window: Option<Window>,
    /// How log lines look: text or json [default: text].
    #[arg(long, env = "COORDINATOR_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// What the flags and variables say.
pub(super) fn layer(global: Global, arguments: RunArguments) -> Layer {
    Layer {
        name: arguments.name,
        namespace: global.namespace,
        connection: global.connection.running(),
        provision: arguments.provision,
        replicas: arguments.replicas,
        ledger_max_bytes: arguments.ledger_max_bytes,
        lease: arguments.lease,
        window: arguments.window,
        log_format: arguments.log_format,
    }
}

pub(crate) async fn run(global: Global, arguments: RunArguments) -> Result<Exit, Failure> {
    let config = arguments.config.clone();
    let flags = layer(global, arguments);
    let settings = RunSettings::load(flags, config, &Environment::of_process())?;
    log::running(settings.log_format)?;
    let shutdown = CancellationToken::new();
    let running = async {
        crate::run(settings, shutdown.clone()).await?;
        Ok(Exit::Done)
    };
    signals::in_order(shutdown.clone(), Box::pin(running)).await
}
