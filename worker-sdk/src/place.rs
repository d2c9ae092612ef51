//! Where a singleton or a crew is: at which servers, in which bucket, under which name. What all who
//! meet there must agree on.

use std::fmt;
use std::sync::Arc;

use async_nats::{ConnectOptions, ServerAddr};
use election::Broker;
use futures::FutureExt;
use nats_config::Names;
use protocol::id::{GroupName, NameError, Namespace, SingletonKey, SingletonName};

use crate::identity::{EnvironmentIdentity, IdentityProvider};
use crate::scope::Scope;

/// The brokers of a program that names none.
const SERVERS_DEFAULT: &str = "nats://127.0.0.1:4222";

/// Credentials, TLS and so on, made anew for each connection.
type Connect = Arc<dyn Fn() -> ConnectOptions + Send + Sync>;

pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) servers: String,
    pub(crate) connect: Connect,
    pub(crate) namespace: Namespace,
    pub(crate) bucket: Option<String>,
    pub(crate) identity: Box<dyn IdentityProvider + Send>,
}

/// The servers' addresses are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the servers `{servers}`: {reason}")]
pub struct ServersError {
    /// What was given.
    pub servers: String,
    /// The client's words.
    pub reason: String,
}

impl fmt::Debug for Place {
    /// Without the connection options: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Place {
    pub(crate) fn new(name: &str, scope: Scope) -> Self {
        Self {
            name: name.to_owned(),
            scope,
            servers: SERVERS_DEFAULT.to_owned(),
            connect: Arc::new(ConnectOptions::new),
            namespace: Namespace::default(),
            bucket: None,
            identity: Box::new(EnvironmentIdentity::new()),
        }
    }

    /// The key of its lease record; a global one has no use for the group.
    pub(crate) fn key(&self, group: &GroupName) -> Result<SingletonKey, NameError> {
        let name = SingletonName::new(&self.name)?;
        Ok(match self.scope {
            Scope::Group => SingletonKey::Group(group.clone(), name),
            Scope::Global => SingletonKey::Global(name),
        })
    }

    pub(crate) fn names(&self) -> Names {
        Names::new(self.namespace.clone())
    }

    /// The bucket that was named, or else the one of its kind.
    pub(crate) fn bucket(&self, of_its_kind: impl Fn(&Names) -> &str) -> String {
        let own = || of_its_kind(&self.names()).to_owned();
        self.bucket.clone().unwrap_or_else(own)
    }

    pub(crate) fn broker(&self) -> Result<Broker, ServersError> {
        let servers = self.servers()?;
        let connect = Arc::clone(&self.connect);
        Ok(Broker::with(Arc::new(move || {
            futures::future::ready(Ok((servers.clone(), connect()))).boxed()
        })))
    }

    /// The addresses, with commas between.
    pub(crate) fn servers(&self) -> Result<Vec<ServerAddr>, ServersError> {
        let read = |address: &str| address.trim().parse::<ServerAddr>();
        let all: Result<Vec<ServerAddr>, _> = self.servers.split(',').map(read).collect();
        all.map_err(|error| ServersError {
            servers: self.servers.clone(),
            reason: error.to_string(),
        })
    }
}
