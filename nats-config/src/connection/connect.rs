//! Opens connections, and says in our words why one did not open.

use std::error::Error;
use std::sync::Arc;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr, ServerError};

use super::environment::Environment;
use super::error::ConnectError;
use super::resolved::{Connection, Placed};
use super::settings::ConnectionSettings;
use super::watch::Watch;

/// Connects by these settings and the process's environment. `name` shows in the server's list of
/// connections unless the settings name one.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(settings: &ConnectionSettings, name: &str) -> Result<Client, ConnectError> {
    let connection = Connection::resolve(settings, &Environment::of_process())?;
    connection.connect(name).await
}

/// The servers and options of these settings and the process's environment, for who adds options
/// or opens several connections. Files are read anew at each call.
///
/// # Errors
/// [`ConnectError::Setting`].
pub fn connect_options(
    settings: &ConnectionSettings,
) -> Result<(Vec<ServerAddr>, ConnectOptions), ConnectError> {
    let connection = Connection::resolve(settings, &Environment::of_process())?;
    Ok((connection.servers.clone(), connection.options()?))
}

impl Connection {
    /// The connect options; files of credentials are read now.
    ///
    /// # Errors
    /// [`ConnectError::Setting`]: a file cannot be read or holds something else.
    pub fn options(&self) -> Result<ConnectOptions, ConnectError> {
        let mut options = self
            .auth
            .options()?
            .connection_timeout(self.timeout)
            .request_timeout(Some(self.timeout));
        if let Some(name) = &self.name {
            options = options.name(name);
        }
        if let Some(prefix) = &self.inbox_prefix {
            options = options.custom_inbox_prefix(prefix);
        }
        if let Some(ca) = &self.tls.ca {
            must_hold(ca, "CERTIFICATE-----", "certificate")?;
            options = options.add_root_certificates(ca.value.clone().into());
        }
        if let Some((cert, key)) = &self.tls.pair {
            must_hold(cert, "CERTIFICATE-----", "certificate")?;
            must_hold(key, "PRIVATE KEY-----", "private key")?;
            options =
                options.add_client_certificate(cert.value.clone().into(), key.value.clone().into());
        }
        if self.tls.first {
            options = options.tls_first();
        }
        Ok(options)
    }

    /// Connects; one try at each server. When the connection breaks later and does not come back, the
    /// log says why.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, name: &str) -> Result<Client, ConnectError> {
        let watch = Arc::new(Watch::new(self.clone()));
        let options = self.options()?.event_callback(move |event| {
            let watch = Arc::clone(&watch);
            async move { watch.heard(event).await }
        });
        let options = match &self.name {
            Some(_) => options,
            None => options.name(name),
        };
        self.open(options).await
    }

    /// One try at each server.
    pub(super) async fn open(&self, options: ConnectOptions) -> Result<Client, ConnectError> {
        options
            .connect(self.servers.clone())
            .await
            .map_err(|error| self.explain(&error))
    }

    /// Says in our words why the client could not connect.
    #[must_use]
    pub fn explain(&self, error: &async_nats::ConnectError) -> ConnectError {
        let servers = self.servers();
        let why = chain(error);
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                ConnectError::Unauthorized {
                    servers,
                    why,
                    used: self.auth.describe(),
                }
            }
            ConnectErrorKind::Tls => ConnectError::Tls { servers, why },
            // The client reports a failed handshake as an IO error.
            ConnectErrorKind::Io if is_tls(&why) => ConnectError::Tls { servers, why },
            ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => ConnectError::Unreachable { servers, why },
        }
    }

    /// Says in our words that a server ends the connection since the credentials are good no more.
    /// `None`: it says something else.
    pub(super) fn turned_out(&self, error: &ServerError) -> Option<ConnectError> {
        let why = error.to_string();
        let of_credentials = match error {
            ServerError::AuthorizationViolation => true,
            ServerError::SlowConsumer(_) => false,
            // "User Authentication Expired", "Account Authentication Expired", "… Revoked".
            ServerError::Other(words) => words.to_lowercase().contains("authentication"),
        };
        of_credentials.then(|| ConnectError::Unauthorized {
            servers: self.servers(),
            why,
            used: self.auth.describe(),
        })
    }
}

fn is_tls(why: &str) -> bool {
    [
        "certificate",
        "Certificate",
        "tls",
        "TLS",
        "InvalidContentType",
        "HandshakeFailure",
    ]
    .iter()
    .any(|word| why.contains(word))
}

/// The error's text with those below it, each said once.
fn chain(error: &async_nats::ConnectError) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        below = cause.source();
    }
    text
}

/// The client takes a certificate file without a certificate for an empty one; we do not.
fn must_hold(path: &Placed<String>, mark: &str, what: &str) -> Result<(), ConnectError> {
    let text = std::fs::read(&path.value)
        .map_err(|error| ConnectError::file(path.place.clone(), &path.value, &error))?;
    if String::from_utf8_lossy(&text).contains(mark) {
        return Ok(());
    }
    Err(ConnectError::setting(
        path.place.clone(),
        format!("{} holds no {what} in PEM form", path.value),
        "name a PEM file",
    ))
}
