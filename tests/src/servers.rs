//! The servers of a system in a test: one, or three. It starts none by itself.

use anyhow::Result;
use async_nats::Client;
use nats_config::Role;

use crate::cluster::Cluster;
use crate::roles;
use crate::server::Server;

/// The servers of a system.
pub enum Servers {
    /// One.
    One(Box<Server>),
    /// Three.
    Three(Box<Cluster>),
}

impl Servers {
    /// A connection of a role, or one that may do everything.
    pub(crate) async fn connect_as(&self, role: Option<Role>) -> Result<Client> {
        let options = roles::connect_options(role);
        match self {
            Self::One(server) => server.connect_with(options).await,
            Self::Three(cluster) => cluster.connect_with(options).await,
        }
    }
}
