//! How a connection of an election comes about, and how often it is tried. A connection serves once:
//! a client that reconnected by itself would send, late, what was meant for another moment.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ServerAddr};
use protocol::leadership::Incarnation;

use crate::bucket::{Bucket, BucketError, bucket_config, bucket_faults, ensure_bucket};
use crate::config::{Broker, ElectionConfig, Provision};
use crate::link::Link;

/// What may wait in a connection of the election itself: little is ever under way.
pub(crate) const ROOM: Room = Room {
    commands: 64,
    messages: 256,
};
/// How often the client asks the server whether it lives; two silences end the connection.
const CLIENT_PING_EVERY: Duration = Duration::from_secs(1);
/// How long one server may take to connect and to answer.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Where nobody listens: what a used-up connection reconnects to.
const NOWHERE: &str = "nats://127.0.0.1:0";
/// The pauses between tries.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(250);

/// The server is too old below this version: compare-and-set of clusters was not yet sound.
const SERVER_MIN: (i64, i64, i64) = (2, 12, 0);

/// How much may wait in a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Commands that may wait in the client; more are not sent at all.
    pub commands: usize,
    /// Messages that may wait in a subscription; more are dropped.
    pub messages: usize,
}

/// No usable connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server could be named, reached or subscribed at.
    #[error("connect to {server}: {reason}")]
    Unreachable {
        /// Which server.
        server: String,
        /// The client's words.
        reason: String,
    },
    /// The server is older than this crate is safe with.
    #[error("connect to {server}: it is version {version}, needed is {}.{}.{} or later", SERVER_MIN.0, SERVER_MIN.1, SERVER_MIN.2)]
    TooOld {
        /// Which server.
        server: String,
        /// Its version.
        version: String,
    },
}

/// Connects to the server whose turn it is. Who lost a connection goes on with the next turn: the
/// server that ended it is the one that may have died, and the others take a pause for a death.
pub(crate) async fn connect(
    config: ElectionConfig,
    incarnation: Incarnation,
    turn: usize,
) -> Result<Link, ConnectError> {
    let (client, server) = dial(&config.broker, &incarnation, turn, ROOM).await?;
    let fails = |reason: String| ConnectError::Unreachable {
        server: server.clone(),
        reason,
    };
    let prepare = async {
        let link = Link::new(client.clone(), &config, &incarnation).await;
        let link = link.map_err(|error| fails(error.to_string()))?;
        // From the flush on, the server knows our ping subject.
        client
            .flush()
            .await
            .map_err(|error| fails(error.to_string()))?;
        Ok(link)
    };
    tokio::time::timeout(CONNECT_MAX, prepare)
        .await
        .map_err(|_| fails("no answer to the subscriptions".to_owned()))?
}

impl Broker {
    /// A connection to the server whose turn it is, and that server's name. Processes of different
    /// incarnations begin with different servers, and go round as `turn` grows. It serves once: when
    /// it breaks it never comes back by itself, so that nothing is sent later than it was meant.
    ///
    /// # Errors
    /// No server is known, that one is not reached within two seconds, or it is too old.
    pub async fn connect_once(
        &self,
        incarnation: &Incarnation,
        turn: usize,
        room: Room,
    ) -> Result<(Client, String), ConnectError> {
        dial(self, incarnation, turn, room).await
    }

    /// How many servers there are to go round; at least one.
    pub async fn turns(&self) -> usize {
        let servers = self.servers().await;
        servers.map_or(1, |(servers, _)| servers.len().max(1))
    }
}

/// A connection to the server whose turn it is, which serves once, and that server's name.
async fn dial(
    broker: &Broker,
    incarnation: &Incarnation,
    turn: usize,
    room: Room,
) -> Result<(Client, String), ConnectError> {
    let unreachable = |server: &str, reason: String| ConnectError::Unreachable {
        server: server.to_owned(),
        reason,
    };
    let (servers, options) = broker
        .servers()
        .await
        .map_err(|error| unreachable("the broker", error.to_string()))?;
    let Some(server) = pick(&servers, incarnation, turn) else {
        return Err(unreachable(
            "the broker",
            "no server is configured".to_owned(),
        ));
    };
    let name = server.as_url_str();
    let fails = |reason: String| unreachable(name, reason);
    let client = options
        .client_capacity(room.commands)
        .subscription_capacity(room.messages)
        .ping_interval(CLIENT_PING_EVERY)
        .connection_timeout(CONNECT_MAX)
        .request_timeout(Some(CONNECT_MAX))
        .ignore_discovered_servers()
        .max_reconnects(1)
        .connect(server.clone())
        .await
        .map_err(|error| fails(error.to_string()))?;
    check_version(&client, name)?;
    let used_up = client.set_server_pool(NOWHERE);
    let used_up = tokio::time::timeout(CONNECT_MAX, used_up).await;
    used_up
        .map_err(|_| fails("no answer".to_owned()))?
        .map_err(|error| fails(error.to_string()))?;
    Ok((client, name.to_owned()))
}

/// Whether the bucket carries the election, asked on a connection.
pub(crate) async fn verify(
    client: Client,
    config: ElectionConfig,
    provision: Provision,
) -> Result<Bucket, BucketError> {
    let wanted = bucket_config(&config.bucket, &config.timings, config.replicas);
    let fit = |actual: &Config| bucket_faults(actual, &wanted);
    ensure_bucket(client, (&config.bucket, &wanted), fit, provision).await
}

/// A context in which no request waits long.
pub(crate) fn context(client: Client) -> Context {
    let mut context = jetstream::new(client);
    context.set_timeout(CONNECT_MAX);
    context
}

/// The pause before a try to connect: none before the first, a quarter of a second at most.
#[must_use]
pub fn retry_after(attempt: usize) -> Duration {
    if attempt == 0 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempt - 1).unwrap_or(u32::MAX).min(10);
    RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX)
}

/// Candidates begin with different servers, and go round.
fn pick<'a>(
    servers: &'a [ServerAddr],
    incarnation: &Incarnation,
    turn: usize,
) -> Option<&'a ServerAddr> {
    let bytes = incarnation.as_str().bytes();
    let start = bytes.fold(0_usize, |sum, byte| sum.wrapping_add(usize::from(byte)));
    let place = start.wrapping_add(turn).checked_rem(servers.len())?;
    servers.get(place)
}

fn check_version(client: &Client, server: &str) -> Result<(), ConnectError> {
    let (major, minor, patch) = SERVER_MIN;
    if client.is_server_compatible(major, minor, patch) {
        return Ok(());
    }
    Err(ConnectError::TooOld {
        server: server.to_owned(),
        version: client.server_info().version,
    })
}

#[cfg(test)]
mod tests {
    use super::{ServerAddr, pick};

    #[test]
    fn each_turn_is_that_of_another_server_until_all_had_theirs() {
        let servers: Vec<ServerAddr> = ["nats://a", "nats://b", "nats://c"]
            .map(|url| url.parse().unwrap())
            .into();
        let incarnation = "A7".parse().unwrap();
        let at = |turn| pick(&servers, &incarnation, turn).map(ServerAddr::as_url_str);
        for turn in 0..7 {
            assert_ne!(at(turn), at(turn + 1));
            assert_ne!(at(turn), at(turn + 2));
            assert_eq!(at(turn), at(turn + 3));
        }
        assert!(pick(&[], &incarnation, 0).is_none());
    }
}
