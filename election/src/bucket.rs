//! The bucket of the lease records: what it must be, and whether it is. Its age limit collects what
//! nobody renews; it never decides who leads.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, ErrorCode, stream};
use protocol::leadership::{LeaseTimings, RECORD_BYTES_MAX};
use stream::{Compression, Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::config::Provision;
use crate::connecting::context;

/// The bucket keeps a record at least this many leases long.
const AGE_IN_LEASES: u32 = 4;

/// Headers and subject besides the record.
const MESSAGE_BYTES_MAX: i32 = 16_384;

/// Message ids are not used; this is the least the server takes.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);

/// The bucket cannot carry what is to stand in it.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// It is missing and may not be made.
    #[error("find the bucket `{0}`: it does not exist; create it or allow its creation")]
    Missing(String),
    /// It was there, and is not any more. Making a new one is an operator's act: epochs would start
    /// anew for whoever does not know the old ones.
    #[error("find the bucket `{0}`: it was deleted while this process ran; create it again")]
    Gone(String),
    /// It has settings under which what stands in it is not safe.
    #[error("check the bucket `{bucket}`: {}; correct it or use another bucket", faults.join("; "))]
    Unfit {
        /// Which bucket.
        bucket: String,
        /// Each setting that does not fit.
        faults: Vec<String>,
    },
    /// The broker did not answer, or refused.
    #[error("ask for the bucket `{bucket}`: {reason}")]
    Unanswered {
        /// Which bucket.
        bucket: String,
        /// The client's or the broker's words.
        reason: String,
    },
}

/// A bucket that was found fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Tells a bucket from a later one of the same name.
    pub created: String,
    /// No lease in it is longer.
    pub lease_max: Duration,
}

/// The stream behind the bucket, as it is made: KV layout, history 1, on disk, read at the leader
/// only, records without a time to live of their own.
#[must_use]
pub fn bucket_config(bucket: &str, timings: &LeaseTimings, replicas: usize) -> Config {
    Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        description: Some("Lease records of elections.".to_owned()),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: replicas,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        max_age: timings.lease * AGE_IN_LEASES,
        max_bytes: -1,
        max_messages: -1,
        max_consumers: -1,
        max_message_size: MESSAGE_BYTES_MAX,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: false,
        allow_rollup: true,
        deny_delete: true,
        compression: Some(Compression::None),
        metadata: HashMap::new(),
        ..Config::default()
    }
}

/// What of `actual` does not carry an election that wants `wanted`; empty if it fits. More replicas
/// and a longer age than wanted are fine.
#[must_use]
pub fn bucket_faults(actual: &Config, wanted: &Config) -> Vec<String> {
    let mut faults = size_faults(actual, wanted);
    let mut must = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    must(
        actual.retention == wanted.retention,
        "retention must be limits",
    );
    must(actual.storage == wanted.storage, "storage must be file");
    must(
        actual.max_messages_per_subject == 1,
        "max_msgs_per_subject (history) must be 1",
    );
    must(
        !actual.discard_new_per_subject,
        "discard_new_per_subject must be off: a record is replaced",
    );
    must(
        !actual.allow_direct && !actual.mirror_direct,
        "allow_direct must be off: a follower's answer is out of date",
    );
    must(
        !actual.allow_message_ttl && actual.subject_delete_marker_ttl.is_none(),
        "allow_msg_ttl must be off: a record's end is decided by compare-and-set",
    );
    must(
        actual.subject_transform.is_none(),
        "subject_transform must be absent: conditions are checked on the stored subject",
    );
    must(
        actual.mirror.is_none() && actual.sources.as_ref().is_none_or(Vec::is_empty),
        "mirror and sources must be absent: only candidates write here",
    );
    must(
        !actual.no_ack && !actual.sealed,
        "no_ack and sealed must be off: each write is answered",
    );
    faults
}

fn size_faults(actual: &Config, wanted: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut least = |what: &str, holds: bool, (wanted, actual): (String, String)| {
        if !holds {
            faults.push(format!("{what} must be {wanted}, is {actual}"));
        }
    };
    let (is, should) = (&actual.subjects, &wanted.subjects);
    least(
        "subjects",
        is == should,
        (format!("{should:?}"), format!("{is:?}")),
    );
    let (is, should) = (actual.num_replicas, wanted.num_replicas);
    least(
        "num_replicas",
        is >= should,
        (format!("at least {should}"), is.to_string()),
    );
    let (is, should) = (actual.max_age, wanted.max_age);
    least(
        "max_age",
        is >= should,
        (format!("at least {should:?}"), format!("{is:?}")),
    );
    let (is, should) = (actual.max_message_size, i32::try_from(RECORD_BYTES_MAX));
    let should = should.unwrap_or(i32::MAX);
    least(
        "max_msg_size",
        is <= 0 || is >= should,
        (format!("at least {should}"), is.to_string()),
    );
    faults
}

/// Finds a bucket fit, or makes it as `wanted` where that is allowed. `faults` says what of a bucket
/// that is there does not fit.
///
/// # Errors
/// It is missing, unfit, or the broker did not answer within two seconds.
pub async fn ensure_bucket(
    client: Client,
    (bucket, wanted): (&str, &Config),
    faults: impl Fn(&Config) -> Vec<String>,
    provision: Provision,
) -> Result<Bucket, BucketError> {
    let context = context(client);
    let bucket = bucket.to_owned();
    let unanswered = |reason: String| BucketError::Unanswered {
        bucket: bucket.clone(),
        reason,
    };
    let info = match context.get_stream(&wanted.name).await {
        Ok(stream) => stream.cached_info().clone(),
        Err(error) if is_missing(&error.kind()) => match provision {
            Provision::VerifyOnly => return Err(BucketError::Missing(bucket)),
            Provision::CreateIfMissing => {
                // Two who start together both succeed: the same configuration is no error.
                let made = context.create_stream(wanted.clone()).await;
                let stream = made.map_err(|error| unanswered(error.to_string()))?;
                stream.cached_info().clone()
            }
        },
        Err(error) => return Err(unanswered(error.to_string())),
    };
    let faults = faults(&info.config);
    if !faults.is_empty() {
        return Err(BucketError::Unfit { bucket, faults });
    }
    Ok(Bucket {
        created: info.created.to_string(),
        lease_max: info.config.max_age / AGE_IN_LEASES,
    })
}

fn is_missing(kind: &jetstream::context::GetStreamErrorKind) -> bool {
    use jetstream::context::GetStreamErrorKind as Kind;
    matches!(kind, Kind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::{Config, StorageType};
    use protocol::leadership::LeaseTimings;
    use std::time::Duration;

    use super::{bucket_config, bucket_faults};

    #[test]
    fn each_unsafe_setting_is_named() {
        let wanted = bucket_config("leaders", &LeaseTimings::stable(), 1);
        assert_eq!(bucket_faults(&wanted, &wanted), Vec::<String>::new());
        let check = |what: &str, change: fn(&mut Config)| {
            let mut actual = wanted.clone();
            change(&mut actual);
            let faults = bucket_faults(&actual, &wanted);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(what), "{faults:?}");
        };
        check("subjects", |c| c.subjects.push("x".into()));
        check("storage", |c| c.storage = StorageType::Memory);
        check("num_replicas", |c| c.num_replicas = 0);
        check("max_msgs_per_subject", |c| c.max_messages_per_subject = 5);
        check("discard_new_per_subject", |c| {
            c.discard_new_per_subject = true
        });
        check("max_age", |c| c.max_age = Duration::from_secs(30));
        check("max_age", |c| c.max_age = Duration::ZERO);
        check("max_msg_size", |c| c.max_message_size = 100);
        check("allow_direct", |c| c.allow_direct = true);
        check("allow_msg_ttl", |c| c.allow_message_ttl = true);
        check("no_ack", |c| c.no_ack = true);
    }

    #[test]
    fn more_replicas_and_a_longer_age_are_fine() {
        let wanted = bucket_config("leaders", &LeaseTimings::stable(), 1);
        let mut actual = wanted.clone();
        actual.num_replicas = 3;
        actual.max_age = Duration::from_secs(600);
        assert_eq!(bucket_faults(&actual, &wanted), Vec::<String>::new());
    }
}
