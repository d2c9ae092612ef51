//! What an operator sends to the holder's ping subject. A ping is empty; this is not.

use crate::number::Epoch;

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
