//! What an operator may do about a leadership from outside: ask the holder to hand over, on its ping
//! subject, where a ping is empty and this is not; or take the lease away.

use super::record::{EPOCH_MAX, Incarnation, LeaseRecord};
use crate::number::Epoch;
use crate::time::Timestamp;

const STEP_DOWN: &str = "step-down ";

/// Asks whoever leads in `epoch` to hand over.
#[must_use]
pub fn step_down_request(epoch: Epoch) -> String {
    format!("{STEP_DOWN}{}", epoch.get())
}

/// The epoch whose leader is asked to hand over; `None`: it is a ping, or nothing that we know.
#[must_use]
pub fn step_down_asked(payload: &[u8]) -> Option<Epoch> {
    let text = std::str::from_utf8(payload).ok()?;
    let epoch: u64 = text.strip_prefix(STEP_DOWN)?.parse().ok()?;
    Some(Epoch::new(epoch))
}

/// The record that takes the lease away from the holder of `held`, to be written over just that one: of the next epoch,
/// in the operator's name, by a life that nobody lives (`incarnation`). The holder leads no more as soon as it sees it.
/// Nobody renews it, so the next leader takes over at once where epochs are a fence, and after a whole
/// lease in strict mode, when the old holder has ended for sure. `None`: no epoch is left.
#[must_use]
pub fn eviction(
    held: &LeaseRecord,
    operator: &str,
    incarnation: Incarnation,
    now: Timestamp,
) -> Option<LeaseRecord> {
    (held.epoch < EPOCH_MAX).then(|| LeaseRecord {
        v: LeaseRecord::VERSION,
        holder: operator.to_owned(),
        incarnation,
        nonce: 1,
        epoch: held.epoch.next(),
        acquired: now,
        host: String::new(),
        ..held.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::{step_down_asked, step_down_request};
    use crate::number::Epoch;

    #[test]
    fn a_request_is_read_back_and_a_ping_is_none() {
        let asked = step_down_request(Epoch::new(7));
        assert_eq!(asked, "step-down 7");
        assert_eq!(step_down_asked(asked.as_bytes()), Some(Epoch::new(7)));
        for other in [
            "",
            "step-down",
            "step-down ",
            "step-down -1",
            "step-down 7 ",
            "x",
        ] {
            assert_eq!(step_down_asked(other.as_bytes()), None, "{other:?}");
        }
        assert_eq!(step_down_asked(b"step-down \xff"), None);
    }
}
