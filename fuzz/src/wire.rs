//! What comes in over the wire beside records: the lease record, headers, the answers that commands
//! print.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use coordinator::cli;
use coordinator::payloads::Content;
use protocol::leadership::LeaseRecord;
use protocol::message::{CoordinatorStatus, JobAnswer, JobView, SubmitAnswer};
use protocol::submission::Submission;

/// What stands in the bucket of the leadership.
pub fn lease(data: &[u8]) {
    let record = match LeaseRecord::parse(data) {
        Ok(record) => record,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(data.len() <= 4_096, "{} bytes", data.len());
    assert!(record.v >= 1 && record.v <= LeaseRecord::VERSION);
    assert!(!record.lease().is_zero() && record.lease_ms <= 3_600_000);
    assert!(!record.holder.contains(char::is_control), "{record:?}");
    let incarnation = record.incarnation.to_string();
    assert_eq!(incarnation.parse(), Ok(record.incarnation.clone()));
    // The next epoch is one that a record can say.
    let mut next = record.clone();
    next.epoch = next.epoch.next();
    if next.epoch.get() < 1 << 53 {
        assert_eq!(LeaseRecord::parse(&next.encode()), Ok(next));
    }
    assert_eq!(LeaseRecord::parse(&record.encode()), Ok(record));
}

/// The headers of a message, a line each, and how they are kept until their job is dispatched.
pub fn headers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut headers = HeaderMap::new();
    for line in text.split('\n') {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.append(name, value);
        }
    }
    let mut expected = HeaderMap::new();
    for (name, values) in headers.iter() {
        let text: &str = name.as_ref();
        let first = nats_config::header(&headers, text);
        assert_eq!(first, values.first().map(|value| value.as_str()));
        if !text.to_ascii_lowercase().starts_with("nats-") {
            for value in values {
                expected.append(name.clone(), value.clone());
            }
        }
    }
    let content = Content::copied(Some(&headers), data);
    assert_eq!(content.headers(), expected);
    assert_eq!(content.payload, data);
    if let Err(error) = Submission::parse(|name| nats_config::header(&headers, name)) {
        assert!(!error.to_string().is_empty());
    }
}

/// What coordinators and others in their place answer, and what commands print of it.
pub fn messages(data: &[u8]) {
    if let Ok(status) = serde_json::from_slice::<CoordinatorStatus>(data) {
        shows(&cli::status_page(std::slice::from_ref(&status)));
        shows(&cli::status_page(&[status.clone(), status.clone()]));
        again(&status);
    }
    if let Ok(view) = serde_json::from_slice::<JobView>(data) {
        shows(&cli::job_page(&view));
        again(&view);
    }
    if let Ok(answer) = serde_json::from_slice::<JobAnswer>(data) {
        if let JobAnswer::Job { job } = &answer {
            shows(&cli::job_page(job));
        }
        again(&answer);
    }
    if let Ok(answer) = serde_json::from_slice::<SubmitAnswer>(data) {
        again(&answer);
    }
}

/// A terminal obeys nothing of it.
fn shows(page: &str) {
    let obeyed = |symbol: char| symbol.is_control() && symbol != '\n';
    assert!(!page.contains(obeyed), "{page:?}");
}

fn again<T>(value: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_vec(value).expect("it was JSON");
    let read: T = serde_json::from_slice(&text).expect("it is what was written");
    assert_eq!(read, *value);
}
