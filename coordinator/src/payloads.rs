//! Payloads and headers of submissions that wait: a bounded cache of what was just folded. What it
//! does not hold is read from the ledger again.

use std::collections::{BTreeMap, HashMap};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use protocol::number::Accepted;

/// Most bytes of payloads and headers that are kept.
const CACHE_BYTES_MAX: usize = 64 << 20;
/// Of these, what submissions may not take when they come: room for what is read again, since its
/// turn is sooner.
const READ_AHEAD_BYTES: usize = 4 << 20;
/// What an entry costs beside its payload and headers, in bytes; an estimate.
const ENTRY_BYTES: usize = 128;

/// A submission as it is handed on to a worker.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// A line each, name and value with a colon between, without those that mean something to the
    /// broker: a map of headers takes ten times the room.
    headers: Box<str>,
    /// What the handler gets.
    pub payload: Bytes,
}

impl Content {
    /// Copies what came in: a slice would keep the whole read buffer of the connection alive.
    #[must_use]
    pub fn copied(headers: Option<&HeaderMap>, payload: &[u8]) -> Self {
        let mut lines = String::new();
        for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
            let name: &str = name.as_ref();
            let own = name
                .get(..5)
                .is_some_and(|start| start.eq_ignore_ascii_case("nats-"));
            if own {
                continue;
            }
            for value in values {
                for part in [name, ":", value.as_str(), "\n"] {
                    lines.push_str(part);
                }
            }
        }
        Self {
            headers: lines.into_boxed_str(),
            payload: Bytes::copy_from_slice(payload),
        }
    }

    /// The headers of the submission, without those that mean something to the broker.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let lines = self.headers.lines();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            // Both were parsed as such before.
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
            {
                headers.append(name, value);
            }
        }
        headers
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.headers.len() + self.payload.len()
    }
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    held: BTreeMap<Accepted, Content>,
    bytes: usize,
}

impl Payloads {
    /// Keeps a submission while there is room: the oldest are needed first, so the newest is left
    /// out.
    pub(crate) fn keep(&mut self, accepted: Accepted, headers: Option<&HeaderMap>, payload: &[u8]) {
        let room = (CACHE_BYTES_MAX - READ_AHEAD_BYTES).saturating_sub(self.bytes);
        // A long backlog: nothing is copied for nothing.
        if payload.len() + ENTRY_BYTES <= room {
            self.put(accepted, Content::copied(headers, payload));
        }
    }

    /// Keeps what was read ahead of its turn: of open jobs only, as the others will not have one.
    pub(crate) fn keep_ahead(
        &mut self,
        ahead: HashMap<Accepted, Content>,
        is_open: impl Fn(Accepted) -> bool,
    ) {
        for (accepted, content) in ahead {
            if is_open(accepted) {
                self.put(accepted, content);
            }
        }
    }

    fn put(&mut self, accepted: Accepted, content: Content) {
        if self.bytes + content.bytes() <= CACHE_BYTES_MAX {
            self.bytes += content.bytes();
            let before = self.held.insert(accepted, content);
            self.bytes -= before.map_or(0, |content| content.bytes());
        }
    }

    /// Takes a submission out.
    pub(crate) fn take(&mut self, accepted: Accepted) -> Option<Content> {
        let content = self.held.remove(&accepted)?;
        self.bytes -= content.bytes();
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::{CACHE_BYTES_MAX, Content, Payloads};
    use async_nats::HeaderMap;
    use protocol::number::Accepted;

    #[test]
    fn headers_come_back_as_they_were_but_the_brokers() {
        let mut headers = HeaderMap::new();
        headers.append("Jobs-Key", "a:b c");
        headers.append("X-Two", "1");
        headers.append("X-Two", "");
        headers.append("Nats-Msg-Id", "7");
        let content = Content::copied(Some(&headers), b"payload");
        let mut expected = HeaderMap::new();
        expected.append("Jobs-Key", "a:b c");
        expected.append("X-Two", "1");
        expected.append("X-Two", "");
        assert_eq!(content.headers(), expected);
        assert_eq!(content.payload, "payload");
        assert!(Content::copied(None, b"").headers().is_empty());
    }

    #[test]
    fn the_cache_keeps_the_oldest_and_its_bound() {
        let mut payloads = Payloads::default();
        let big = vec![0; CACHE_BYTES_MAX / 4];
        for n in 1..=9 {
            payloads.keep(Accepted::new(n), None, &big);
        }
        assert!(payloads.bytes <= CACHE_BYTES_MAX);
        assert!(payloads.take(Accepted::new(1)).is_some());
        assert!(payloads.take(Accepted::new(9)).is_none());
        payloads.keep(Accepted::new(10), None, &big);
        assert!(payloads.take(Accepted::new(10)).is_some());
        for n in 2..=8 {
            payloads.take(Accepted::new(n));
        }
        payloads.keep(Accepted::new(11), None, &big);
        payloads.keep(Accepted::new(11), None, &big);
        payloads.take(Accepted::new(11));
        assert_eq!(payloads.bytes, 0);
    }
}
