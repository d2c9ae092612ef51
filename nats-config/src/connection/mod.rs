//! How a program of ours reaches the broker: the same settings, environment and context files as
//! the `nats` command line, made into connect options.
//!
//! It never keeps a connection, never writes a context file, and never shows a secret.

mod auth;
mod connect;
mod context;
mod environment;
mod error;
mod resolved;
mod secret;
mod settings;
mod uri;
mod watch;

pub use self::auth::seed_in;
pub use self::connect::{connect, connect_options};
pub use self::context::Context;
pub use self::environment::Environment;
pub use self::error::ConnectError;
pub use self::resolved::Connection;
pub use self::secret::Secret;
pub use self::settings::{ConnectionSettings, ContextChoice};

#[cfg(test)]
mod tests;
