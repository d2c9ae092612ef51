//! Payloads and headers of submissions that wait: a bounded cache of what was just folded. What it
//! does not hold is read from the ledger again.

use std::collections::HashMap;

use async_nats::HeaderMap;
use bytes::Bytes;
use protocol::number::Accepted;

/// Most bytes of payloads and headers that are kept.
const CACHE_BYTES_MAX: usize = 32 << 20;
/// What an entry costs beside its payload and headers, in bytes; an estimate.
const ENTRY_BYTES: usize = 128;

/// A submission as it is handed on to a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

impl Content {
    fn bytes(&self) -> usize {
        let headers = self.headers.as_ref().map_or(0, |headers| {
            headers
                .iter()
                .map(|(name, values)| {
                    <_ as AsRef<str>>::as_ref(name).len()
                        + values.iter().map(|v| v.as_str().len()).sum::<usize>()
                })
                .sum()
        });
        ENTRY_BYTES + headers + self.payload.len()
    }
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    held: HashMap<Accepted, Content>,
    bytes: usize,
}

impl Payloads {
    /// Keeps a submission while there is room: the oldest are needed first, so the newest is left
    /// out.
    pub(crate) fn keep(&mut self, accepted: Accepted, headers: Option<HeaderMap>, payload: &[u8]) {
        let content = Content {
            headers,
            // A copy: a slice would keep the whole read buffer of the connection alive.
            payload: Bytes::copy_from_slice(payload),
        };
        let bytes = content.bytes();
        if self.bytes + bytes <= CACHE_BYTES_MAX {
            self.bytes += bytes;
            let before = self.held.insert(accepted, content);
            self.bytes -= before.map_or(0, |content| content.bytes());
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
                self.keep(accepted, content.headers, &content.payload);
            }
        }
    }

    /// Takes a submission out.
    pub(crate) fn take(&mut self, accepted: Accepted) -> Option<Content> {
        let content = self.held.remove(&accepted)?;
        self.bytes -= content.bytes();
        if self.held.is_empty() {
            // After a burst the room is given back.
            self.held.shrink_to(1_024);
        }
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::{CACHE_BYTES_MAX, Payloads};
    use protocol::number::Accepted;

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
