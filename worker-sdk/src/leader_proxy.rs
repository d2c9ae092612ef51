//! Calls to whoever does the work of a singleton now: the public face. Whom a call is asked, when again,
//! and how it ends is decided in `protocol::proxy`; `engine` carries it out.

mod engine;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use bytes::Bytes;
use protocol::id::{CallId, NameError, Namespace, SingletonKey, SingletonName};
use protocol::number::Epoch;
use protocol::proxy::{CallFailure, CallerRules};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::identity::{ExplicitIdentity, IdentityError, IdentityProvider};
use crate::place::{Place, ServersError};
use crate::scope::Scope;

/// How long a call may take, unless it says otherwise.
pub const CALL_WITHIN_DEFAULT: Duration = Duration::from_secs(10);
/// The longest that a call may take: less than its answer is remembered where it is carried out.
pub const CALL_WITHIN_MAX: Duration = Duration::from_secs(60);
const COMMANDS_MAX: usize = 64;

/// Calls whoever does the work of a singleton, by the singleton's name, from any process. A clone
/// shares the connection and the limits; the last one that is dropped ends it.
#[derive(Debug, Clone)]
pub struct LeaderProxy {
    commands: mpsc::Sender<Command>,
    /// Owns the loop: dropped, it ends the loop.
    _tasks: Arc<JoinSet<()>>,
}

/// A leader proxy that is being put together.
#[must_use = "a leader proxy does nothing before it is started"]
pub struct LeaderProxyBuilder {
    place: Place,
    rules: CallerRules,
}

/// Why a leader proxy did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaderProxyError {
    /// The singleton's name is none.
    #[error("start a leader proxy: {0}")]
    Name(#[from] NameError),
    /// Nobody knows which group this process belongs to.
    #[error("start a leader proxy: {0}")]
    Identity(#[from] IdentityError),
    /// The servers' addresses are none.
    #[error("start a leader proxy: {0}")]
    Servers(#[from] ServersError),
    /// No server can be reached, or it refuses.
    #[error("start a leader proxy: connect to {servers}")]
    Connect {
        /// Where.
        servers: String,
        /// What the client says.
        #[source]
        source: async_nats::Error,
    },
}

/// A call to whoever leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    id: CallId,
    payload: Bytes,
    within: Duration,
}

/// What a leader answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallAnswer {
    /// What its handler returned.
    pub payload: Bytes,
    /// The epoch under which the call was carried out.
    pub epoch: Epoch,
}

pub(crate) struct Command {
    pub(crate) request: CallRequest,
    pub(crate) reply: oneshot::Sender<Result<CallAnswer, CallFailure>>,
}

impl CallRequest {
    /// A call with an id of its own, which may take [`CALL_WITHIN_DEFAULT`].
    ///
    /// # Panics
    /// Never: what the id is made of is letters and digits.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            id: CallId::new(&nuid::next()).expect("a nuid is letters and digits"),
            payload: payload.into(),
            within: CALL_WITHIN_DEFAULT,
        }
    }

    /// The same call however often it is made: under one epoch it is carried out once, and each
    /// repeat gets the same answer, up to two minutes after the first.
    #[must_use]
    pub fn with_id(self, id: CallId) -> Self {
        Self { id, ..self }
    }

    /// How long it may take, waiting for a leader included; longer than [`CALL_WITHIN_MAX`] is cut.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        let within = within.min(CALL_WITHIN_MAX);
        Self { within, ..self }
    }

    /// Its id, to make the same call again.
    #[must_use]
    pub const fn id(&self) -> &CallId {
        &self.id
    }
}

impl LeaderProxy {
    /// Calls the one who works as [`Singleton::in_group`](crate::Singleton::in_group) under this name.
    pub fn in_group(name: &str) -> LeaderProxyBuilder {
        LeaderProxyBuilder::new(name, Scope::Group)
    }

    /// Calls the one who works as [`Singleton::global`](crate::Singleton::global) under this name.
    pub fn global(name: &str) -> LeaderProxyBuilder {
        LeaderProxyBuilder::new(name, Scope::Global)
    }

    /// Calls whoever leads now. While nobody does, the call waits, within the limits of this proxy and
    /// its own time; it is asked again of each next leader until one answers.
    ///
    /// Carried out at least once if it is answered, and once under each epoch: see
    /// [`CallRequest::with_id`] and [`Call::id`](crate::Call::id).
    ///
    /// # Errors
    /// It has no answer. [`CallFailure::may_be_done`] says whether it may have been carried out all
    /// the same; the variants say why.
    pub async fn call(&self, request: CallRequest) -> Result<CallAnswer, CallFailure> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command { request, reply }).await;
        if sent.is_err() {
            return Err(CallFailure::Ended);
        }
        answer.await.unwrap_or(Err(CallFailure::Ended))
    }
}

impl fmt::Debug for LeaderProxyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderProxyBuilder")
            .field("place", &self.place)
            .field("rules", &self.rules)
            .finish()
    }
}

impl LeaderProxyBuilder {
    fn new(name: &str, scope: Scope) -> Self {
        Self {
            place: Place::new(name, scope),
            rules: CallerRules::default(),
        }
    }

    /// The brokers: one address, or several with commas between. Default `nats://127.0.0.1:4222`.
    pub fn servers(mut self, servers: &str) -> Self {
        servers.clone_into(&mut self.place.servers);
        self
    }

    /// Credentials, TLS and so on.
    pub fn connect(mut self, options: impl Fn() -> ConnectOptions + Send + Sync + 'static) -> Self {
        self.place.connect = Arc::new(options);
        self
    }

    /// The namespace of the installation; default `jobs`. The singleton must have the same.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.place.namespace = namespace;
        self
    }

    /// The singleton's bucket, if it has another one than `<namespace>_singletons`.
    pub fn bucket(mut self, bucket: &str) -> Self {
        self.place.bucket = Some(bucket.to_owned());
        self
    }

    /// The group whose leader is called; default: that of this process, as its environment says.
    pub fn group(mut self, group: &str) -> Self {
        self.place.identity = Box::new(ExplicitIdentity::new("caller", group));
        self
    }

    /// Whose group is meant, as [`SingletonBuilder::identity`](crate::SingletonBuilder::identity).
    pub fn identity(mut self, provider: impl IdentityProvider + Send + 'static) -> Self {
        self.place.identity = Box::new(provider);
        self
    }

    /// How many calls may be without an answer at a time; default 1,000. One more is
    /// [`CallFailure::Overflow`].
    pub const fn calls_max(mut self, calls_max: usize) -> Self {
        self.rules.calls_max = calls_max;
        self
    }

    /// How many bytes their payloads may have in all; default 8 MiB. A call beyond that is
    /// [`CallFailure::Overflow`].
    pub const fn len_max(mut self, len_max: usize) -> Self {
        self.rules.len_max = len_max;
        self
    }

    /// Connects. Nobody need lead yet.
    ///
    /// # Errors
    /// A name is none, or no server is reached.
    pub async fn start(self) -> Result<LeaderProxy, LeaderProxyError> {
        let key = self.key()?;
        self.place.servers()?;
        let (commands, commands_out) = mpsc::channel(COMMANDS_MAX);
        let engine = engine::open(&self.place, &key, self.rules, commands_out).await;
        let engine = engine.map_err(|source| LeaderProxyError::Connect {
            servers: self.place.servers.clone(),
            source,
        })?;
        let mut tasks = JoinSet::new();
        tasks.spawn(engine.run());
        Ok(LeaderProxy {
            commands,
            _tasks: Arc::new(tasks),
        })
    }

    fn key(&self) -> Result<SingletonKey, LeaderProxyError> {
        match self.place.scope {
            Scope::Group => Ok(self.place.key(self.place.identity.identity()?.group())?),
            Scope::Global => Ok(SingletonKey::Global(SingletonName::new(&self.place.name)?)),
        }
    }
}
