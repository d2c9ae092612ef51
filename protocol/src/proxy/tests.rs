//! The rules of callers and desks as transcripts, and both together in a world that loses, repeats
//! and delays.

use std::time::Duration;

use super::TenureName;
use crate::leadership::Moment;
use crate::number::Epoch;

mod caller;
mod desk;
mod wire;
mod world;

fn at(millis: u64) -> Moment {
    Moment::default().after(Duration::from_millis(millis))
}

fn tenure(incarnation: &str, epoch: u64) -> TenureName {
    TenureName {
        incarnation: incarnation.parse().unwrap(),
        epoch: Epoch::new(epoch),
    }
}
