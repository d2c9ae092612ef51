//! One leader among any number of processes, by a lease record in a JetStream KV bucket.
//!
//! The rules are `protocol::leadership`; this crate is their hands: it connects, writes by
//! compare-and-set, reads at the stream leader, pings, keeps time, and tells the program in order.
//! It never decides who leads.
//!
//! ```no_run
//! use election::{Broker, Election, ElectionConfig, Event, LeaseTimings, Mode};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::new(vec!["127.0.0.1:4222".parse()?], async_nats::ConnectOptions::new());
//! let mut config = ElectionConfig::new(broker, "leaders", "report");
//! config.holder = "node-a".to_owned();
//! config.timings = LeaseTimings::stable();
//! config.mode = Mode::Fenced;
//! let (election, mut events) = Election::start(config).await?;
//! election.campaign();
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Acquired { epoch } | Event::Resumed { epoch } => {
//!             let permit = election.permit(epoch);
//!             // Lead: check the permit before each act, stop when it ends.
//!             permit.ended().await;
//!         }
//!         Event::Suspended { .. } | Event::Released { .. } | Event::Lost { .. } => {}
//!         // An operator wants another one to lead: end the work first.
//!         Event::StepDownAsked { .. } => election.resign().await?,
//!         Event::Candidate | Event::LeaderChanged(_) => {}
//!     }
//! }
//! # Ok(()) }
//! ```

mod below_init;
mod bucket;
mod clock;
mod config;
mod connecting;
mod dead_man;
mod detect;
mod driver;
mod handle;
mod link;
mod permit;
mod second_link;

pub use below_init::run_below_init;
pub use bucket::{Bucket, BucketError, bucket_config, bucket_faults, ensure_bucket};
pub use clock::{boot_now, wall_now};
pub use config::{Broker, BrokerSource, ConfigError, ElectionConfig, Provision, ping_prefix};
pub use connecting::{ConnectError, Room, retry_after};
pub use dead_man::{DeadMan, DeadManError};
pub use detect::ping_subject;
pub use handle::{AdvanceError, EVENTS_MAX, Election, Events, ResignError, Snapshot, StartError};
pub use permit::{Expired, Permit};
pub use protocol::leadership::{
    AdvanceRefused, Detection, Leader, LeaseRecord, LeaseState, LeaseTimings, LostReason, Mode,
    Moment, Notice as Event, ResignRefused, Standing, Tally, TimingsError,
};
