//! A message as a stream holds it, read out of the server's JSON. It judges no content.

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use protocol::number::Sequence;
use protocol::time::Timestamp;
use serde::Deserialize;

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the stream.
    pub sequence: Sequence,
    /// When the broker stored it.
    pub time: Timestamp,
    /// Its subject.
    pub subject: String,
    /// Its headers, empty where it has none. A line that is no header is left out: a foreign
    /// message must not make its stream unreadable.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

/// The `message` part of an answer to `STREAM.MSG.GET`.
#[derive(Debug, Deserialize)]
pub(crate) struct RawStored {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
    time: String,
}

impl RawStored {
    /// Decodes it; the error says what is wrong.
    pub(crate) fn decode(self) -> Result<Stored, String> {
        let decode = |what, text: Option<String>| {
            STANDARD
                .decode(text.unwrap_or_default())
                .map_err(|error| format!("its {what} is not base64: {error}"))
        };
        Ok(Stored {
            sequence: Sequence::new(self.seq),
            time: Timestamp::parse_rfc3339(&self.time).map_err(|error| error.to_string())?,
            subject: self.subject,
            headers: headers(&decode("header", self.hdrs)?),
            payload: decode("payload", self.data)?.into(),
        })
    }
}

/// Reads a header block. Values of a repeated name are all kept, in their order.
fn headers(block: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(block);
    text.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            let parsed = (name.parse::<HeaderName>(), value.trim().parse());
            if let (Ok(name), Ok::<HeaderValue, _>(value)) = parsed {
                headers.append(name, value);
            }
            headers
        })
}

#[cfg(test)]
mod tests {
    use super::headers;

    #[test]
    fn a_header_block_is_read() {
        let read = headers(b"NATS/1.0\r\nJobs-Key: SE\r\nA:1\r\nA: 2 \r\nJobs-Kind: a:b\r\n\r\n");
        assert_eq!(read.get("Jobs-Key").map(|v| v.as_str()), Some("SE"));
        assert_eq!(read.get("Jobs-Kind").map(|v| v.as_str()), Some("a:b"));
        let all: Vec<&str> = read.get_all("A").map(|v| v.as_str()).collect();
        assert_eq!(all, ["1", "2"]);
    }

    #[test]
    fn a_line_that_is_no_header_is_left_out() {
        let read = headers(b"NATS/1.0\r\nno colon\r\nb\x01d: 1\r\nB: \xff\r\nC: a\nb\r\n\r\n");
        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names, ["B"], "{read:?}");
        assert!(headers(b"").is_empty());
        assert!(headers(b"NATS/1.0 503\r\n\r\n").is_empty());
    }
}
