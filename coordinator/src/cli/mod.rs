//! The commands: what they take, which function carries each out, and what they end with.

mod asked;
mod connection;
mod elections;
mod exit;
mod jobs;
mod log;
mod outcome;
mod output;
mod queue;
mod queue_fields;
mod run;
mod session;
mod signals;
mod start_system;
mod status;
mod submit;
mod usage;
mod verify;

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use protocol::id::Namespace;

pub use self::asked::Asked;
pub use self::exit::{Exit, Failure};
pub use self::jobs::page as job_page;
pub use self::status::page as status_page;
pub use self::usage::{parse, read};

use self::connection::ConnectionArguments;
use self::session::Session;

/// Gets each accepted job done, exactly as often as it should.
#[derive(Debug, Parser)]
#[command(name = "coordinator", version, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Print JSON on stdout instead of text.
    #[arg(short, long, global = true)]
    json: bool,
    /// The root token of all subjects [default: jobs].
    #[arg(
        long,
        global = true,
        env = "COORDINATOR_NAMESPACE",
        value_name = "TOKEN"
    )]
    namespace: Option<Namespace>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a coordinator until SIGTERM or Ctrl-C.
    Run(run::RunArguments),
    /// Submit a job.
    Submit(Box<submit::SubmitArguments>),
    /// Look at jobs, follow and cancel them.
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Show who leads, the queues and what needs an operator; ends with 0 if there is a leader.
    Status,
    /// Make, change and list queues.
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Look at the elections of coordinators and singletons, and move a leadership.
    Elections(elections::ElectionsArguments),
    /// Read the whole ledger back, and prove that it kept what is promised; ends with 0 if so.
    Verify(verify::VerifyArguments),
    /// Start a NATS server, coordinators and workers on this machine, to try things out.
    Dev(start_system::DevArguments),
    /// Start a program that ends when its parent does.
    #[command(hide = true)]
    WithParent {
        /// The process id of the parent.
        parent: u32,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// What is done before any thread starts: the log, and becoming another program.
///
/// # Errors
/// The log cannot be set up, or the other program not started.
pub fn prepare(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::WithParent { parent, command } => {
            let (program, rest) = command
                .split_first()
                .ok_or_else(|| Failure::failed("no program to start"))?;
            let error = crate::dev::become_child(*parent, program, rest);
            Err(Failure::failed(format!(
                "start {}: {error}",
                program.display()
            )))
        }
        Command::Run(_) => Ok(()),
        Command::Submit(_)
        | Command::Jobs(_)
        | Command::Status
        | Command::Queue(_)
        | Command::Elections(_)
        | Command::Verify(_)
        | Command::Dev(_) => log::quiet(),
    }
}

/// Carries a command out.
///
/// # Errors
/// It was not done; the text says why, the code what kind of reason it is.
pub async fn execute(arguments: Arguments) -> Result<Exit, Failure> {
    // Said before a connection is needed.
    arguments.asked()?;
    let Arguments { global, command } = arguments;
    match command {
        Command::Run(arguments) => run::run(global, arguments).await,
        Command::Dev(arguments) => start_system::dev(global, arguments).await,
        Command::WithParent { .. } => Ok(Exit::Failed),
        Command::Submit(arguments) => {
            signals::at_once(Box::pin(submit::submit(global, *arguments))).await
        }
        Command::Jobs(command) => signals::at_once(Box::pin(jobs::jobs(global, command))).await,
        Command::Status => signals::at_once(Box::pin(status::status(global))).await,
        Command::Verify(arguments) => {
            signals::at_once(Box::pin(verify::verify(global, arguments))).await
        }
        Command::Queue(command) => signals::at_once(Box::pin(queue::queue(global, command))).await,
        Command::Elections(arguments) => {
            signals::at_once(Box::pin(elections::elections(global, arguments))).await
        }
    }
}
