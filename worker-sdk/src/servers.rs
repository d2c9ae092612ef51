//! The brokers that a program names, and how it connects to them.

use std::sync::Arc;

use async_nats::{ConnectOptions, ServerAddr};
use election::Broker;
use futures::FutureExt;

/// The brokers of a program that names none.
pub(crate) const SERVERS_DEFAULT: &str = "nats://127.0.0.1:4222";

/// Credentials, TLS and so on, made anew for each connection.
pub(crate) type Connect = Arc<dyn Fn() -> ConnectOptions + Send + Sync>;

/// The brokers at these addresses, with commas between; else what is wrong with one.
pub(crate) fn broker(addresses: &str, connect: &Connect) -> Result<Broker, String> {
    let read = |address: &str| address.trim().parse::<ServerAddr>();
    let servers: Result<Vec<ServerAddr>, _> = addresses.split(',').map(read).collect();
    let servers = servers.map_err(|error| error.to_string())?;
    let connect = Arc::clone(connect);
    Ok(Broker::with(Arc::new(move || {
        futures::future::ready(Ok((servers.clone(), connect()))).boxed()
    })))
}
