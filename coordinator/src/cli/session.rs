//! What a command that asks the broker has at hand: connection, names, output.

use nats_config::connection::{Connection, Environment};
use nats_config::{Broker, Names};
use protocol::id::Namespace;

use super::Global;
use super::exit::Failure;
use super::output::Output;

/// A connection for one command.
pub(crate) struct Session {
    pub(crate) broker: Broker,
    pub(crate) output: Output,
}

impl Session {
    /// Connects as the flags, the environment and the selected context say.
    pub(crate) async fn open(global: Global) -> Result<Self, Failure> {
        let output = Output::new(&global);
        let namespace: Namespace = global.namespace.unwrap_or_default();
        let settings = global.connection.interactive();
        let connection = Connection::resolve(&settings, &Environment::of_process())?;
        let name = concat!("coordinator ", env!("CARGO_PKG_VERSION"), " command");
        let client = connection.connect(name).await?;
        Ok(Self {
            broker: connection.broker(client, Names::new(namespace)),
            output,
        })
    }
}
