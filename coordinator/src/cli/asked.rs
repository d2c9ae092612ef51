//! What the arguments ask for, as far as it can be said before anything is read or connected.

use protocol::config::QueueConfig;
use protocol::id::{JobId, QueueName};
use protocol::submission::Submission;

use crate::settings::Layer;

use super::exit::Failure;
use super::queue::{self, QueueCommand};
use super::{Arguments, Command, jobs, run, submit};

/// What was asked for, checked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// A coordinator with these settings over those of its file.
    Run(Box<Layer>),
    /// A new queue.
    Queue(QueueName, Box<QueueConfig>),
    /// A look at this job, or a request about it.
    Job(QueueName, JobId),
    /// A submission, without its payload.
    Submission(QueueName, JobId, Box<Submission>),
    /// Something whose arguments need no further check.
    Other,
}

impl Arguments {
    /// Checks names, relations and ranges.
    ///
    /// # Errors
    /// What was asked for can never be done.
    pub fn asked(&self) -> Result<Asked, Failure> {
        match &self.command {
            Command::Run(arguments) => {
                let layer = run::layer(self.global.clone(), arguments.clone());
                Ok(Asked::Run(Box::new(layer)))
            }
            Command::Submit(arguments) => {
                let request = submit::bare(arguments)?;
                let submission = request.checked()?;
                let (queue, id) = (request.queue().clone(), request.id().clone());
                Ok(Asked::Submission(queue, id, Box::new(submission)))
            }
            Command::Jobs(command) => {
                jobs::JobsCommand::job(command).map(|(queue, id)| Asked::Job(queue, id))
            }
            Command::Queue(QueueCommand::Add { queue, fields }) => {
                let config = fields.clone().over(QueueConfig::default());
                let config = queue::checked(queue, config)?;
                Ok(Asked::Queue(queue.clone(), Box::new(config)))
            }
            Command::Queue(QueueCommand::Edit { .. } | QueueCommand::Ls)
            | Command::Status
            | Command::Elections(_)
            | Command::Verify(_)
            | Command::Dev(_)
            | Command::WithParent { .. } => Ok(Asked::Other),
        }
    }
}
