//! The live heap of a nats-server, from its profile port: what is left after a round of its garbage
//! collector, for which it is asked. It judges nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;

/// A server that is hurt meanwhile does not answer; its next answer comes soon.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Version 1.0, so that the answer comes in one piece and ends with the connection.
const REQUEST: &[u8] = b"GET /debug/pprof/heap?gc=1&debug=1 HTTP/1.0\r\nHost: localhost\r\n\r\n";
/// Before the bytes, in the last lines of the answer.
const LABEL: &str = "# HeapAlloc = ";

/// Bytes of the heap that are in use after a round of the collector.
///
/// # Errors
/// When the server does not answer, or with something else.
pub(super) async fn live(port: u16) -> Result<u64> {
    let asking = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(REQUEST).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let asked = within("the profile of a server", ANSWERS_WITHIN, asking);
    in_use(&asked.await.flatten()?)
}

fn in_use(answer: &str) -> Result<u64> {
    let status = answer.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200 "), "no profile: {status:?}");
    let bytes = answer.lines().find_map(|line| line.strip_prefix(LABEL));
    let bytes = bytes.context("a profile without the size of the heap")?;
    bytes.trim().parse().context("the size of the heap")
}

#[cfg(test)]
mod tests {
    use super::in_use;

    #[test]
    fn the_heap_stands_in_the_last_lines() {
        let answer = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nheap profile: 1: 2 [3: 4]\n\n\
                      # runtime.MemStats\n# Alloc = 7\n# HeapAlloc = 4711\n# HeapSys = 9\n";
        assert_eq!(in_use(answer).unwrap(), 4_711);
        assert!(in_use("HTTP/1.0 404 Not Found\r\n\r\n# HeapAlloc = 1\n").is_err());
        assert!(in_use("HTTP/1.0 200 OK\r\n\r\nheap profile\n").is_err());
        assert!(in_use("").is_err());
    }
}
