//! The brokers that a program names, and how it connects to them.

use std::sync::Arc;

use async_nats::{ConnectOptions, ServerAddr};
use election::Broker;
use futures::FutureExt;

/// The brokers of a program that names none.
pub(crate) const SERVERS_DEFAULT: &str = "nats://127.0.0.1:4222";

/// Credentials, TLS and so on, made anew for each connection.
pub(crate) type Connect = Arc<dyn Fn() -> ConnectOptions + Send + Sync>;

/// The addresses, with commas between; else what is wrong with one.
pub(crate) fn addresses(text: &str) -> Result<Vec<ServerAddr>, String> {
    let read = |address: &str| address.trim().parse::<ServerAddr>();
    let all: Result<Vec<ServerAddr>, _> = text.split(',').map(read).collect();
    all.map_err(|error| error.to_string())
}

/// The brokers at these addresses, with commas between; else what is wrong with one.
pub(crate) fn broker(text: &str, connect: &Connect) -> Result<Broker, String> {
    let servers = addresses(text)?;
    let connect = Arc::clone(connect);
    Ok(Broker::with(Arc::new(move || {
        futures::future::ready(Ok((servers.clone(), connect()))).boxed()
    })))
}
