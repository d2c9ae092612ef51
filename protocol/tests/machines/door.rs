//! The door of the ledger.

use proptest::prelude::*;
use protocol::door::{DoorChange, Usage, decide};

fn usages() -> impl Strategy<Value = Vec<Usage>> {
    let usage = (any::<u64>(), proptest::option::of(any::<u64>()));
    proptest::collection::vec(usage.prop_map(|(used, limit)| Usage { used, limit }), 0..4)
}

proptest! {
    /// What is done once is not done, and not undone, as long as nothing else changes.
    #[test]
    fn it_never_swings(usages in usages(), is_open: bool) {
        let after = match decide(&usages, Some(is_open)) {
            Some(DoorChange::Close) => false,
            Some(DoorChange::Open) => true,
            None => is_open,
        };
        prop_assert_eq!(decide(&usages, Some(after)), None);
        prop_assert_eq!(decide(&usages, None), None);
    }

    /// More in use never opens it, and one limit more never does.
    #[test]
    fn it_opens_for_less_alone(usages in usages(), more in any::<u64>(), at in any::<prop::sample::Index>()) {
        prop_assume!(!usages.is_empty());
        let mut fuller = usages.clone();
        let place = at.index(fuller.len());
        fuller[place].used = fuller[place].used.saturating_add(more);
        if decide(&usages, Some(true)) == Some(DoorChange::Close) {
            prop_assert_eq!(decide(&fuller, Some(true)), Some(DoorChange::Close));
        }
        if decide(&fuller, Some(false)) == Some(DoorChange::Open) {
            prop_assert_eq!(decide(&usages, Some(false)), Some(DoorChange::Open));
        }
    }
}
