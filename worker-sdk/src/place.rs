//! Where a singleton is: at which servers, in which bucket, under which key. What those who stand for
//! it and those who call its holder must agree on.

use std::fmt;
use std::sync::Arc;

use async_nats::{ConnectOptions, ServerAddr};
use election::Broker;
use nats_config::Names;
use protocol::id::{GroupName, NameError, Namespace, SingletonKey, SingletonName};

use crate::identity::{EnvironmentIdentity, IdentityProvider};
use crate::scope::Scope;
use crate::servers::{Connect, SERVERS_DEFAULT, addresses, broker};

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

    pub(crate) fn bucket(&self) -> String {
        let own = || self.names().singletons_bucket().to_owned();
        self.bucket.clone().unwrap_or_else(own)
    }

    pub(crate) fn broker(&self) -> Result<Broker, ServersError> {
        broker(&self.servers, &self.connect).map_err(|reason| self.wrong(reason))
    }

    pub(crate) fn servers(&self) -> Result<Vec<ServerAddr>, ServersError> {
        addresses(&self.servers).map_err(|reason| self.wrong(reason))
    }

    fn wrong(&self, reason: String) -> ServersError {
        ServersError {
            servers: self.servers.clone(),
            reason,
        }
    }
}
