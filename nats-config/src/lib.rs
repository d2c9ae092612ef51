//! What exists on the broker, and the raw requests that every program of this project makes to it.
//!
//! Names and the desired form of streams, consumers and buckets stand here once; nobody else spells
//! them. This crate never decides what becomes of a job.
#![warn(missing_docs, clippy::missing_errors_doc)]

/// A place at which chaos may end or delay this program; nothing without the feature.
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(feature = "fail-points")]
        ::fail_point::visit($name);
    };
}

pub mod account;
pub mod accounts;
pub mod broker;
pub mod buckets;
pub mod connection;
pub mod consumers;
pub mod door;
pub mod drift;
pub mod headers;
pub mod names;
pub mod provision;
pub mod read_error;
pub mod roles;
pub mod settings;
pub mod stored;
pub mod streams;
pub mod version;

pub use account::Account;
pub use accounts::Zone;
pub use broker::{BatchMessage, Broker, StreamState};
pub use door::{Door, Moved};
pub use drift::{Drift, Severity};
pub use headers::header;
pub use names::Names;
pub use provision::{ConsumerReport, Ensured, Found, Ledger, Mode, ProvisionError, Report};
pub use read_error::ReadError;
pub use roles::Role;
pub use settings::{Replicas, Settings, SettingsError};
pub use stored::Stored;
pub use version::ServerVersion;
