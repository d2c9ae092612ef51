//! A front end: takes work over HTTP and hands it in. Any number of them run; none knows the others.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use distributed_workers::{front_end, program};
use tokio::net::TcpListener;
use tokio::sync::watch;
use worker_sdk::Client;
use worker_sdk::async_nats::ConnectOptions;

/// How long a submission is tried before its client hears that nothing is known.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long requests under way may take after SIGTERM: longer than each of them tries.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Takes work over HTTP: `PUT /jobs/<id>` with a number as its body.
#[derive(Debug, Parser)]
#[command(name = "front-end", version)]
struct Arguments {
    /// NATS servers, separated by commas.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    server: String,
    /// Where to listen; port 0 is any free one, which the log names.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    program::log();
    let told = program::told_to_stop()?;
    // A broker that is not there yet is one that is away: clients hear so, and ask again.
    let options = ConnectOptions::new().retry_on_initial_connect();
    let client = Client::connect(&arguments.server, options, "jobs".parse()?).await?;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", arguments.listen))?;
    tracing::info!("ready, listening on {}", listener.local_addr()?);
    serve(listener, client.with_patience(PATIENCE), told).await
}

/// Serves until it is told to stop, then finishes what is under way.
async fn serve(
    listener: TcpListener,
    client: Client,
    told: impl Future<Output = ()>,
) -> Result<()> {
    let (stop, mut stopping) = watch::channel(false);
    let stopped = async move {
        // An error is a sender that is gone: then all is over, too.
        stopping.wait_for(|stop| *stop).await.ok();
    };
    let server = axum::serve(listener, front_end::router(client)).with_graceful_shutdown(stopped);
    let mut server = pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.context("serve"),
        () = told => {}
    }
    stop.send_replace(true);
    tracing::info!("stopping: finishes the requests under way");
    match tokio::time::timeout(FINISH_WITHIN, server).await {
        Ok(ended) => ended.context("serve")?,
        // Its client has no answer and repeats the request, which is safe.
        Err(_elapsed) => tracing::warn!("a request was still under way"),
    }
    tracing::info!("stopped");
    Ok(())
}
