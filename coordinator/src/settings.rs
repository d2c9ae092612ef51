//! What a coordinator is started with: flags over environment over one TOML file over defaults,
//! checked before anything connects.
//!
//! Nothing here holds for a queue: queues are configured by records of the ledger.

mod file;
mod value;

use std::path::PathBuf;

use nats_config::connection::{ConnectError, Connection, ConnectionSettings, Environment};
use protocol::id::{NameError, Namespace};

pub use self::file::{ConfigFile, FileError};
pub use self::value::{
    ByteSize, CoordinatorName, LeaseProfile, LogFormat, Provision, Replicas, ValueError, Window,
};

/// What `coordinator run` runs with.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Who this is, among the coordinators: shown in `status`, the lease and the epoch records.
    pub name: CoordinatorName,
    /// The root token of all subjects.
    pub namespace: Namespace,
    /// How to reach the broker.
    pub connection: ConnectionSettings,
    /// Whether streams, consumers and buckets are made, compared, or left alone.
    pub provision: Provision,
    /// On how many servers each stream is kept.
    pub replicas: Replicas,
    /// The most bytes that the ledger takes; the door closes at 80 % of it.
    pub ledger_max_bytes: ByteSize,
    /// How long a silent leader is waited for where nobody saw it die.
    pub lease: LeaseProfile,
    /// How many dispatches may be in flight.
    pub window: Window,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// What one layer (flags and environment, or the file) says. `None` leaves it to the next.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// See [`RunSettings::name`].
    pub name: Option<CoordinatorName>,
    /// See [`RunSettings::namespace`].
    pub namespace: Option<Namespace>,
    /// See [`RunSettings::connection`].
    pub connection: ConnectionSettings,
    /// See [`RunSettings::provision`].
    pub provision: Option<Provision>,
    /// See [`RunSettings::replicas`].
    pub replicas: Option<Replicas>,
    /// See [`RunSettings::ledger_max_bytes`].
    pub ledger_max_bytes: Option<ByteSize>,
    /// See [`RunSettings::lease`].
    pub lease: Option<LeaseProfile>,
    /// See [`RunSettings::window`].
    pub window: Option<Window>,
    /// See [`RunSettings::log_format`].
    pub log_format: Option<LogFormat>,
}

/// A configuration that nothing can run with.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is missing, no TOML, or has a wrong key or value.
    #[error(transparent)]
    File(#[from] FileError),
    /// The connection's settings are wrong.
    #[error("{error}{stands}")]
    Connection {
        /// What is wrong.
        error: ConnectError,
        /// Where the file says it, if it does.
        stands: String,
    },
    /// Two settings exclude each other.
    #[error("{0}")]
    Relation(String),
    /// The host's name is no name for a coordinator.
    #[error(
        "no name for this coordinator: {0}; give one with --name, COORDINATOR_NAME or `name` in the file"
    )]
    Name(#[from] NameError),
}

impl RunSettings {
    /// Finds and reads the file, puts `flags` over it and fills in the defaults.
    ///
    /// # Errors
    /// See [`SettingsError`]. Nothing was connected or changed.
    pub fn load(
        flags: Layer,
        config: Option<PathBuf>,
        env: &Environment,
    ) -> Result<Self, SettingsError> {
        let file = ConfigFile::find(config, env)?;
        let settings = Self::from_layers(flags, &file)?;
        // Files and relations of the connection are looked at now, while the place of each key is
        // known; the connection itself is opened later.
        let checked = Connection::resolve(&settings.connection, env)
            .and_then(|connection| connection.options().map(drop));
        match checked {
            Ok(()) => Ok(settings),
            Err(error) => Err(SettingsError::Connection {
                stands: file.stands(&error.to_string()),
                error,
            }),
        }
    }

    /// Puts `flags` over the file and fills in the defaults. Nothing is read.
    ///
    /// # Errors
    /// Two settings exclude each other, or this process finds no name for itself.
    pub fn from_layers(flags: Layer, file: &ConfigFile) -> Result<Self, SettingsError> {
        let below = file.layer.clone();
        let provision = flags.provision.or(below.provision).unwrap_or_default();
        let replicas = flags.replicas.or(below.replicas);
        let ledger_max_bytes = flags.ledger_max_bytes.or(below.ledger_max_bytes);
        if provision == Provision::Off {
            let useless = [
                ("replicas", replicas.is_some()),
                ("ledger_max_bytes", ledger_max_bytes.is_some()),
            ];
            if let Some((key, _)) = useless.iter().find(|(_, is_set)| *is_set) {
                return Err(SettingsError::Relation(format!(
                    "{key} is set, but provision is off, which neither makes nor compares a stream{}; leave {key} out, or set provision to create or verify",
                    file.stands(key)
                )));
            }
        }
        let name = match flags.name.or(below.name) {
            Some(name) => name,
            None => CoordinatorName::of_this_process()?,
        };
        Ok(Self {
            name,
            namespace: flags.namespace.or(below.namespace).unwrap_or_default(),
            connection: flags.connection.or(below.connection),
            provision,
            replicas: replicas.unwrap_or_default(),
            ledger_max_bytes: ledger_max_bytes.unwrap_or_default(),
            lease: flags.lease.or(below.lease).unwrap_or_default(),
            window: flags.window.or(below.window).unwrap_or_default(),
            log_format: flags.log_format.or(below.log_format).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests;
