//! The `coordinator` program: reads its arguments, sets up the log, hears signals, and ends with
//! the code that the command earned. It decides nothing.

use std::process::ExitCode;

use coordinator::cli;

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let ended = cli::prepare(&arguments).and_then(|()| {
        // One thread is enough for a command; a coordinator's own loop is one, too.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| cli::Failure::failed(format!("start the runtime: {error}")))?;
        runtime.block_on(cli::execute(arguments))
    });
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
