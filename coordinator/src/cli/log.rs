//! The log: to stderr, as text or JSON, filtered by `RUST_LOG`.

use std::io::IsTerminal;

use crate::settings::LogFormat;
use tracing_subscriber::EnvFilter;

use super::exit::{Exit, Failure};

/// For commands that answer and end: errors only, and not those that the command says itself.
pub(crate) fn quiet() -> Result<(), Failure> {
    start(LogFormat::Text, "error,async_nats=off")
}

/// For a process that runs: what an operator wants to know.
pub(crate) fn running(format: LogFormat) -> Result<(), Failure> {
    start(format, "info,async_nats=warn")
}

fn start(format: LogFormat, default: &str) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::new(
                Exit::Config,
                format!("RUST_LOG: {text:?} is no filter: {error}; give such as info or coordinator=debug"),
            )
        })?,
        Ok(_) | Err(_) => EnvFilter::new(default),
    };
    // At `trace` the client writes each message, and what it logs in with. It has nothing to say there
    // at the levels above.
    let filter = filter.add_directive("async_nats::connection=debug".parse().expect("it is one"));
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter);
    let started = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| Failure::failed(format!("start the log: {error}")))
}
