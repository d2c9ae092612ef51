//! The worker's state, and what each event does to it. Nothing here waits: messages go into the
//! outbox, lookups and handlers into sets of tasks, and the loop in `worker.rs` brings what comes
//! back. What may be run, recorded and acked is decided in `protocol::worker`.

mod deliver;
mod hear;
mod perform;
mod present;
mod queues;
mod stop;
mod witness;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nats_config::Broker;
use protocol::id::WorkerId;
use protocol::leadership::Moment;
use protocol::message::Taken;
use protocol::number::{Accepted, Attempt};
use protocol::subject::Subjects;
use protocol::worker::{Ask, Connection, Contact, ECHO_EVERY, Effect, Event, Finish, Found, Run};
use protocol::workers::SAYS_EVERY;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::context::Cancellation;
use crate::delivery::Work;
use crate::handler::{Handler, QueueHandlers};
use crate::lookup::{ConsumerFacts, NoFacts};
use crate::observer::Observer;
use crate::outbox::Outbox;

use queues::Queue;
use stop::Stopping;
use witness::Witness;

pub(crate) use stop::Drained;
pub use stop::Stopped;

/// How often the clock is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A run's number in this process; it stands in the reply subjects of its requests.
type RunId = u64;

/// What a worker is made of, fixed at its start.
pub(crate) struct Setup {
    pub(crate) worker: WorkerId,
    pub(crate) host: String,
    pub(crate) queues: Vec<QueueHandlers>,
    pub(crate) grace: Duration,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Where handlers run.
    pub(crate) user: Handle,
}

/// Where answers and deliveries arrive.
pub(crate) struct Inboxes {
    /// Deliveries, and what the broker says about pulls: what all such inboxes begin with.
    pub(crate) pulls: String,
    /// Answers to outcomes and progress acks.
    pub(crate) answers: String,
}

/// What a lookup found.
pub(crate) enum Looked {
    Outcome(RunId, Ask, Found),
    Consumer {
        queue: usize,
        connection: u64,
        facts: Result<ConsumerFacts, NoFacts>,
    },
}

/// How a handler's task ended by itself.
pub(crate) type Ended = (RunId, Finish);

struct Entry {
    run: Run,
    queue: usize,
    work: Work,
    /// Its handler; `None` where none is to be called.
    handler: Option<Handler>,
    cancellation: Cancellation,
    abort: Option<AbortHandle>,
    /// It stands in the line of its queue.
    in_line: bool,
    /// It uses a slot.
    started: bool,
}

pub(crate) struct Engine {
    setup: Setup,
    broker: Broker,
    subjects: Subjects,
    inboxes: Inboxes,
    queues: Vec<Queue>,
    runs: HashMap<RunId, Entry>,
    attempts: HashMap<(Accepted, Attempt), RunId>,
    last_run: RunId,
    /// Filled by the rules, emptied by `perform`; kept for its room.
    effects: Vec<Effect>,
    pub(crate) outbox: Outbox,
    took: Vec<Taken>,
    /// What is run no longer, until when the leader may be told so.
    let_go: Vec<(Moment, Taken)>,
    contact: Contact,
    /// When the present connection was first used; `None` until the broker told its time on it.
    connection: Option<Connection>,
    /// Counts connections, and what the present one is called.
    connections: u64,
    connected_to: Option<(String, u64)>,
    next_echo: Moment,
    next_presence: Moment,
    next_here: Moment,
    witness: Witness,
    pub(crate) handlers: JoinSet<Ended>,
    tasks: HashMap<Id, RunId>,
    pub(crate) lookups: JoinSet<Looked>,
    stopping: Option<Stopping>,
    stopped: Stopped,
}

impl Engine {
    pub(crate) fn new(setup: Setup, broker: Broker, inboxes: Inboxes, now: Moment) -> Self {
        let queues = setup
            .queues
            .iter()
            .map(|handlers| Queue::new(handlers, &broker, now))
            .collect();
        Self {
            subjects: broker.subjects().clone(),
            outbox: Outbox::new(broker.client().clone()),
            setup,
            broker,
            inboxes,
            queues,
            runs: HashMap::new(),
            attempts: HashMap::new(),
            last_run: 0,
            effects: Vec::new(),
            took: Vec::new(),
            let_go: Vec::new(),
            contact: Contact::new(now),
            connection: None,
            connections: 0,
            connected_to: None,
            next_echo: now,
            next_presence: now,
            next_here: now.after(SAYS_EVERY),
            witness: Witness::default(),
            handlers: JoinSet::new(),
            tasks: HashMap::new(),
            lookups: JoinSet::new(),
            stopping: None,
            stopped: Stopped::default(),
        }
    }

    /// The clock moved on.
    pub(crate) fn look(&mut self, now: Moment) {
        self.look_at_connection(now);
        let change = self.contact.look(now);
        self.contact_changed(change, now);
        self.tell_all(&Event::Look, now);
        self.say_let_go(now);
        self.look_at_queues(now);
        if now >= self.next_echo {
            self.next_echo = now.after(ECHO_EVERY);
            self.send_echo();
        }
        if now >= self.next_presence {
            self.put_presence(None, now);
        }
        if now >= self.next_here {
            self.next_here = now.after(SAYS_EVERY);
            self.say_here();
        }
        self.look_at_stop(now);
        let dropped = self.outbox.take_dropped();
        if dropped > 0 {
            tracing::debug!(
                dropped,
                "messages were not sent: the broker is out of reach"
            );
        }
    }

    /// Says what was taken since the last call. If it returns true, the client should be flushed
    /// before [`Engine::settle`] starts a handler: one that kills its process at once is then known
    /// to the leader, which hands its job on without waiting for the lease.
    pub(crate) fn has_announced(&mut self) -> bool {
        if self.took.is_empty() {
            return false;
        }
        fail_point!("worker.announce-before");
        self.announce();
        self.outbox.send();
        fail_point!("worker.announce-after");
        true
    }

    /// After one or more events: starts what may start, asks for more, into `inbox`, and sends all of
    /// it.
    pub(crate) fn settle(&mut self, inbox: Option<u64>, now: Moment) {
        self.fill_slots(now);
        self.send_witness(now);
        if let Some(inbox) = inbox {
            self.pull(inbox, now);
        }
        self.outbox.send();
    }

    /// A new connection forgets the pulls of the old one, and somebody may have taken this worker
    /// for dead in between.
    fn look_at_connection(&mut self, now: Moment) {
        let Some(info) = self.outbox.client().try_server_info() else {
            return;
        };
        let present = (info.server_id, info.client_id);
        if self.connected_to.as_ref() == Some(&present) {
            return;
        }
        if let Some((server, _)) = &self.connected_to {
            tracing::info!(worker_id = %self.setup.worker, server = %info.server_name, "connected again");
            // A server that was started anew may have forgotten who holds what.
            let event = match *server == present.0 {
                true => Event::Reconnected,
                false => Event::Lost,
            };
            self.tell_all(&event, now);
        }
        self.connected_to = Some(present);
        self.connections += 1;
        self.connection = None;
        for queue in &mut self.queues {
            queue.reconnected(now);
        }
        self.say_here();
        self.put_presence(None, now);
    }

    fn tell(&mut self, id: RunId, event: Event, now: Moment) {
        let Some(entry) = self.runs.get_mut(&id) else {
            return;
        };
        entry.run.handle(now, event, &mut self.effects);
        self.perform(id, now);
    }

    fn tell_all(&mut self, event: &Event, now: Moment) {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        for id in ids {
            self.tell(id, event.clone(), now);
        }
    }
}
