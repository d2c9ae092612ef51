//! How a worker is put together: options, handlers, and what can be wrong with them. Nothing is
//! connected here.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use bytes::Bytes;
use protocol::id::{Kind, NAME_LEN_MAX, NameError, Namespace, QueueName, WorkerId};
use serde_json::Value;

use crate::context::JobContext;
use crate::handler::{self, Handler, QueueHandlers};
use crate::job::{Job, JobError};
use crate::observer::Observer;
use crate::worker::Worker;

/// Jobs of a queue that one worker runs at once, unless it says otherwise.
pub const SLOTS_DEFAULT: u32 = 16;
/// Most jobs of a queue that one worker runs at once.
pub const SLOTS_MAX: u32 = 20_000;
/// How long a cancelled handler may wind up before it is aborted, unless the worker says otherwise.
pub const CANCEL_GRACE_DEFAULT: Duration = Duration::from_secs(5);
/// Characters of a worker's id that make each of its starts unique.
const INCARNATION_LEN: usize = 10;

/// What a worker is told once, at its start.
pub struct WorkerOptions {
    pub(crate) servers: String,
    pub(crate) name: String,
    pub(crate) connect: ConnectOptions,
    pub(crate) namespace: Namespace,
    pub(crate) api_prefix: Option<String>,
    slots: u32,
    pub(crate) cancel_grace: Duration,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for WorkerOptions {
    /// Without the connection options: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl WorkerOptions {
    /// A worker called `name` (1 to 53 of `A-Z a-z 0-9 _ -`), at the servers of `servers`: one
    /// address such as `nats://127.0.0.1:4222`, or several with commas between.
    #[must_use]
    pub fn new(servers: &str, name: &str) -> Self {
        Self {
            servers: servers.to_owned(),
            name: name.to_owned(),
            connect: ConnectOptions::new(),
            namespace: Namespace::default(),
            api_prefix: None,
            slots: SLOTS_DEFAULT,
            cancel_grace: CANCEL_GRACE_DEFAULT,
            observer: None,
        }
    }

    /// Credentials, TLS and so on. The worker sets the name, the event callback, the capacities and
    /// the ping interval itself.
    #[must_use]
    pub fn connect(mut self, connect: ConnectOptions) -> Self {
        self.connect = connect;
        self
    }

    /// The namespace of the installation; default `jobs`.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// The prefix of the JetStream API, such as `$JS.hub.API`; default `$JS.API`.
    #[must_use]
    pub fn api_prefix(mut self, prefix: &str) -> Self {
        self.api_prefix = Some(prefix.to_owned());
        self
    }

    /// How many jobs of each queue run at once, 1 to [`SLOTS_MAX`]; default [`SLOTS_DEFAULT`].
    #[must_use]
    pub const fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// How long a handler may wind up after its cancellation before it is aborted; default
    /// [`CANCEL_GRACE_DEFAULT`]. After a lost lease it is half a second at most.
    #[must_use]
    pub const fn cancel_grace(mut self, grace: Duration) -> Self {
        self.cancel_grace = grace;
        self
    }

    /// Is told of each start and end of a handler.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A name is none.
    #[error("start a worker: {0}")]
    Name(#[from] NameError),
    /// Two handlers for one kind in one queue.
    #[error(
        "start a worker: queue `{queue}` has two handlers for kind `{kind}`; give each kind one"
    )]
    TwoHandlers {
        /// The queue.
        queue: QueueName,
        /// The kind.
        kind: Kind,
    },
    /// No handler at all.
    #[error("start a worker: it has no handler; add one with `handle`")]
    NoHandlers,
    /// A number of slots that cannot be.
    #[error("start a worker: queue `{queue}` has {slots} slots; it takes 1 to {SLOTS_MAX}")]
    Slots {
        /// The queue.
        queue: String,
        /// What was asked for.
        slots: u32,
    },
    /// Slots for a queue that no handler is in.
    #[error("start a worker: slots are set for queue `{0}`, which has no handler")]
    SlotsWithoutHandler(String),
    /// Not called on a tokio runtime.
    #[error("start a worker: there is no tokio runtime here to run its handlers on")]
    NoRuntime,
    /// The worker's own thread did not start.
    #[error("start a worker: make its own thread")]
    Thread(#[source] std::io::Error),
    /// The broker cannot be reached, or refuses.
    #[error("start a worker: connect to {servers}")]
    Connect {
        /// Where.
        servers: String,
        /// What the client says.
        #[source]
        source: async_nats::Error,
    },
    /// A message to itself did not come back.
    #[error(
        "start a worker: its message to itself on `{subject}` did not come back; may this user publish and subscribe there?"
    )]
    Unheard {
        /// Where it was sent.
        subject: String,
    },
    /// The thread ended before it was connected.
    #[error("start a worker: its own thread ended")]
    Ended,
}

/// A worker without a connection yet: collects its handlers.
#[derive(Debug)]
pub struct WorkerBuilder {
    pub(crate) options: WorkerOptions,
    handlers: Vec<Registered>,
    slots: HashMap<String, u32>,
}

struct Registered {
    queue: String,
    kind: String,
    handler: Handler,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.kind, self.queue)
    }
}

impl WorkerBuilder {
    pub(crate) fn new(options: WorkerOptions) -> Self {
        Self {
            options,
            handlers: Vec::new(),
            slots: HashMap::new(),
        }
    }

    /// Runs jobs of kind `J` of `queue` with `handler`. Mistakes in names are said by
    /// [`WorkerBuilder::start`].
    #[must_use]
    pub fn handle<J, Fut>(
        self,
        queue: &str,
        handler: impl Fn(J, JobContext) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        J: Job,
        Fut: Future<Output = Result<J::Output, JobError>> + Send + 'static,
    {
        self.register(J::KIND, queue, handler::typed(handler))
    }

    /// Runs jobs of `kind` of `queue` whose payload is no JSON: the handler gets its bytes.
    #[must_use]
    pub fn handle_bytes<Fut>(
        self,
        kind: &str,
        queue: &str,
        handler: impl Fn(Bytes, JobContext) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<Value, JobError>> + Send + 'static,
    {
        self.register(kind, queue, handler::raw(handler))
    }

    fn register(mut self, kind: &str, queue: &str, handler: Handler) -> Self {
        self.handlers.push(Registered {
            queue: queue.to_owned(),
            kind: kind.to_owned(),
            handler,
        });
        self
    }

    /// Another number of slots for one queue than [`WorkerOptions::slots`].
    #[must_use]
    pub fn slots(mut self, queue: &str, slots: u32) -> Self {
        self.slots.insert(queue.to_owned(), slots);
        self
    }

    /// Connects and starts to take jobs. A queue that the broker does not have yet is waited for.
    /// Handlers run on the runtime that this is called on.
    ///
    /// # Errors
    /// A name, a number or the broker's address is wrong, the broker refuses, or there is no tokio
    /// runtime here.
    pub async fn start(self) -> Result<Worker, StartError> {
        Worker::start(self).await
    }

    /// Checks all names and numbers.
    pub(crate) fn queues(&mut self) -> Result<Vec<QueueHandlers>, StartError> {
        let mut queues: Vec<QueueHandlers> = Vec::new();
        for Registered {
            queue,
            kind,
            handler,
        } in self.handlers.drain(..)
        {
            let (queue, kind) = (QueueName::new(&queue)?, Kind::new(&kind)?);
            let at = match queues.iter().position(|known| known.queue == queue) {
                Some(at) => at,
                None => {
                    let slots = self
                        .slots
                        .remove(queue.as_str())
                        .unwrap_or(self.options.slots);
                    queues.push(QueueHandlers {
                        queue: queue.clone(),
                        slots: checked_slots(&queue, slots)?,
                        kinds: HashMap::new(),
                    });
                    queues.len() - 1
                }
            };
            if queues[at].kinds.insert(kind.clone(), handler).is_some() {
                return Err(StartError::TwoHandlers { queue, kind });
            }
        }
        if queues.is_empty() {
            return Err(StartError::NoHandlers);
        }
        match self.slots.keys().next() {
            Some(queue) => Err(StartError::SlotsWithoutHandler(queue.clone())),
            None => Ok(queues),
        }
    }

    /// The worker's id: its name and what makes this start of it unique.
    pub(crate) fn worker_id(&self) -> Result<WorkerId, StartError> {
        // Checked alone, so that the error shows what the caller wrote.
        let name = WorkerId::new(&self.options.name)?;
        let unique = nuid::next();
        let (_, incarnation) = unique.split_at(unique.len() - INCARNATION_LEN);
        let room = NAME_LEN_MAX - INCARNATION_LEN - 1;
        let name: String = name.as_str().chars().take(room).collect();
        Ok(WorkerId::new(&format!("{name}-{incarnation}"))?)
    }
}

fn checked_slots(queue: &QueueName, slots: u32) -> Result<u32, StartError> {
    if (1..=SLOTS_MAX).contains(&slots) {
        Ok(slots)
    } else {
        Err(StartError::Slots {
            queue: queue.to_string(),
            slots,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value;

    use super::{WorkerBuilder, WorkerOptions};
    use crate::{JobContext, JobError};

    async fn nothing(_: Bytes, _: JobContext) -> Result<Value, JobError> {
        Ok(Value::Null)
    }

    fn builder() -> WorkerBuilder {
        WorkerBuilder::new(WorkerOptions::new("nats://127.0.0.1:4222", "w"))
    }

    fn refused(mut builder: WorkerBuilder) -> String {
        match builder.queues() {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it was taken"),
        }
    }

    #[test]
    fn mistakes_are_named() {
        let two = builder()
            .handle_bytes("k", "q", nothing)
            .handle_bytes("k", "q", nothing);
        assert!(refused(two).contains("two handlers for kind `k`"));
        assert!(refused(builder()).contains("no handler"));
        let dotted = builder().handle_bytes("k", "a.b", nothing);
        assert!(refused(dotted).contains("a.b"));
        let spaced = builder().handle_bytes("a b", "q", nothing);
        assert!(refused(spaced).contains("kind"));
        let none = builder().handle_bytes("k", "q", nothing).slots("q", 0);
        assert!(refused(none).contains("0 slots"));
        let other = builder().handle_bytes("k", "q", nothing).slots("p", 2);
        assert!(refused(other).contains("`p`"));
    }

    #[test]
    fn each_start_of_a_worker_has_its_own_id() {
        let first = builder().worker_id().expect("a name");
        let second = builder().worker_id().expect("a name");
        assert_ne!(first, second);
        assert!(first.as_str().starts_with("w-"));
        let long = WorkerBuilder::new(WorkerOptions::new("x", &"w".repeat(64)));
        assert_eq!(long.worker_id().expect("a name").as_str().len(), 64);
        let bad = WorkerBuilder::new(WorkerOptions::new("x", "a.b"));
        assert!(bad.worker_id().is_err());
    }
}
