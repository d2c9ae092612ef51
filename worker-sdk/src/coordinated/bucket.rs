//! The bucket of the crews: what it must be. It is that of elections, as the planners are elected in
//! it, with room for a plan.

use async_nats::jetstream::stream::Config;
use election::{LeaseTimings, bucket_config, bucket_faults};
use protocol::crew::PLAN_BYTES_MAX;

/// Headers and subject besides the plan.
const HEADER_BYTES_MAX: usize = 4_096;

/// The stream behind the bucket, as it is made.
pub(super) fn wanted(bucket: &str, timings: &LeaseTimings, replicas: usize) -> Config {
    Config {
        description: Some("Members and plans of crews.".to_owned()),
        max_message_size: i32::try_from(PLAN_BYTES_MAX + HEADER_BYTES_MAX).unwrap_or(i32::MAX),
        ..bucket_config(bucket, timings, replicas)
    }
}

/// What of `actual` does not carry a crew that wants `wanted`; empty if it fits.
pub(super) fn faults(actual: &Config, wanted: &Config) -> Vec<String> {
    let mut faults = bucket_faults(actual, wanted);
    let (is, least) = (actual.max_message_size, wanted.max_message_size);
    if is > 0 && is < least {
        faults.push(format!("max_msg_size must be at least {least}, is {is}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use election::{LeaseTimings, bucket_config};

    use super::{faults, wanted};

    #[test]
    fn a_bucket_without_room_for_a_plan_is_refused() {
        let timings = LeaseTimings::stable();
        let wanted = wanted("crews", &timings, 1);
        assert_eq!(faults(&wanted, &wanted), Vec::<String>::new());
        let found = faults(&bucket_config("crews", &timings, 1), &wanted);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("max_msg_size"), "{found:?}");
        let mut shared = wanted.clone();
        shared.allow_direct = true;
        assert_eq!(faults(&shared, &wanted).len(), 1);
    }
}
