//! A second connection, to another server than the election's own, that does one thing: it answers
//! pings. Who was connected to a server that dies needs a moment to come back elsewhere, and a holder
//! that nobody can ping for that moment would be taken for dead. So only the end of the process, or of
//! two servers, silences its ping subject.

use futures::StreamExt;
use protocol::leadership::Incarnation;
use tokio::sync::watch;

use crate::config::ElectionConfig;
use crate::connecting::{ConnectError, ROOM, retry_after};
use crate::detect::{answer, ping_subject};

/// Answers pings at a server whose turn is not `main`. Ends at once where there is no second server,
/// else never by itself.
pub(crate) async fn answer_pings(
    config: ElectionConfig,
    incarnation: Incarnation,
    mut main: watch::Receiver<usize>,
) {
    let mut attempt: usize = 0;
    loop {
        let count = match config.broker.servers().await {
            Ok((servers, _)) => servers.len(),
            Err(error) => {
                tracing::debug!(%error, key = %config.key, "no servers are named for pings now");
                attempt = attempt.wrapping_add(1);
                tokio::time::sleep(retry_after(attempt)).await;
                continue;
            }
        };
        if count < 2 {
            tracing::debug!(key = %config.key, "no second server for pings");
            return;
        }
        // Never the server of the first connection, and the others in turn.
        let turn = main
            .borrow_and_update()
            .wrapping_add(1 + attempt % (count - 1));
        let met = |main: usize| main % count == turn % count;
        match at(&config, &incarnation, turn, &mut main, met).await {
            Ok(()) => attempt = 0,
            Err(error) => {
                tracing::debug!(%error, key = %config.key, "no second connection for pings");
                attempt = attempt.wrapping_add(1);
            }
        }
        tokio::time::sleep(retry_after(attempt)).await;
    }
}

/// Answers until the connection ends, or the first one has come to the same server.
async fn at(
    config: &ElectionConfig,
    incarnation: &Incarnation,
    turn: usize,
    main: &mut watch::Receiver<usize>,
    met: impl Fn(usize) -> bool,
) -> Result<(), ConnectError> {
    let (client, server) = config.broker.connect_once(incarnation, turn, ROOM).await?;
    let fails = |reason: String| ConnectError::Unreachable {
        server: server.clone(),
        reason,
    };
    let subject = ping_subject(&config.ping_prefix, incarnation);
    let pings = client.subscribe(subject).await;
    let mut pings = pings.map_err(|error| fails(error.to_string()))?;
    let known = client.flush().await;
    known.map_err(|error| fails(error.to_string()))?;
    loop {
        tokio::select! {
            ping = pings.next() => match ping {
                Some(ping) => answer(&client, ping),
                None => return Ok(()),
            },
            changed = main.changed() => {
                if changed.is_err() || met(*main.borrow_and_update()) {
                    return Ok(());
                }
            }
        }
    }
}
