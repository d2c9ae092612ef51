//! Tells an operator why a connection that was there does not come back. It changes nothing: the client
//! goes on trying by itself.

use std::sync::{Mutex, PoisonError};

use async_nats::Event;
use tokio::task::JoinSet;

use super::error::ConnectError;
use super::resolved::Connection;

/// What is known of one connection.
#[derive(Debug)]
pub(super) struct Watch {
    connection: Connection,
    /// What was said last, so that each trouble is said once.
    said: Mutex<Option<String>>,
}

impl Watch {
    pub(super) const fn new(connection: Connection) -> Self {
        Self {
            connection,
            said: Mutex::new(None),
        }
    }

    /// The client says by what kind of error a try failed, and no more. A try of our own says the rest.
    pub(super) async fn heard(&self, event: Event) {
        match event {
            Event::Connected => {
                if self.say(None) {
                    tracing::info!(servers = self.connection.servers(), "connected again");
                }
            }
            Event::Disconnected => {
                let servers = self.connection.servers();
                self.warn(&format!(
                    "the connection to {servers} is gone; trying again"
                ));
            }
            Event::ClientError(_) => {
                // In a task of its own: the client wants a callback that is `Sync`, which a
                // connecting one is not.
                let mut tried = JoinSet::new();
                tried.spawn(try_once(self.connection.clone()));
                if let Some(Ok(Err(error))) = tried.join_next().await {
                    self.warn(&error.to_string());
                }
            }
            Event::ServerError(error) => match self.connection.turned_out(&error) {
                Some(refused) => self.warn(&refused.to_string()),
                None => self.warn(&format!("the server says: {error}")),
            },
            Event::LameDuckMode | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {
                tracing::info!(%event, "connection");
            }
        }
    }

    fn warn(&self, text: &str) {
        if self.say(Some(text)) {
            tracing::warn!("{text}");
        }
    }

    /// Whether this is news.
    fn say(&self, text: Option<&str>) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = said.as_deref() != text;
        *said = text.map(str::to_owned);
        is_news
    }
}

async fn try_once(connection: Connection) -> Result<(), ConnectError> {
    let options = connection.options()?.max_reconnects(1);
    connection.open(options).await.map(drop)
}
