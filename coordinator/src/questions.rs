//! What the API asks of the folded state, and the answers. Nothing here changes anything.

use protocol::effects::RecordWrite;
use protocol::id::QueueName;
use protocol::message::{CoordinatorStatus, JobView};
use protocol::number::Accepted;
use protocol::subject::Verb;
use tokio::sync::oneshot;

use crate::driver::Driver;
use crate::perform;

/// Questions that may wait for the driver.
pub(crate) const QUESTIONS_MAX: usize = 1_024;

/// A question, and where its answer goes.
pub(crate) enum Question {
    Job(Accepted, oneshot::Sender<Option<JobView>>),
    Control(
        Accepted,
        Verb,
        oneshot::Sender<Result<RecordWrite, &'static str>>,
    ),
    Knows(QueueName, oneshot::Sender<bool>),
    Status(oneshot::Sender<CoordinatorStatus>),
}

impl Driver {
    pub(crate) fn answer(&self, question: Question) {
        let now = self.clock.now();
        // Who asked may have gone; then nobody misses the answer.
        let is_heard = match question {
            Question::Job(accepted, reply) => reply.send(self.rules.view(now, accepted)).is_ok(),
            Question::Control(accepted, verb, reply) => reply
                .send(self.rules.control_record(accepted, verb))
                .is_ok(),
            Question::Knows(queue, reply) => reply
                .send(self.rules.ledger().queue_config(&queue).is_some())
                .is_ok(),
            Question::Status(reply) => reply.send(perform::status(self)).is_ok(),
        };
        if !is_heard {
            tracing::debug!("nobody waits for an answer any more");
        }
    }
}
