//! Makes anew what was deleted under the running coordinators and follows from the ledger, and
//! looks whether all is as it should be. It never makes a ledger.

use protocol::number::Sequence;
use serde_json::json;

use super::{Ledger, Mode, ProvisionError, Report};
use crate::broker::Broker;
use crate::drift::Role;
use crate::settings::Settings;

/// What a look at the streams and buckets showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All are there, and the promises hold with them; harmless differences are in the report.
    Sound(Report),
    /// A promise does not hold with what is there, for this reason.
    Unsafe(String),
    /// There is no ledger.
    NoLedger,
    /// The work queue or a bucket is not there.
    Absent {
        /// Which, such as `stream WORK`.
        object: String,
        /// Whether it is the work queue.
        is_work: bool,
    },
}

impl Broker {
    /// Compares all streams and buckets with what they must be. It makes nothing.
    ///
    /// # Errors
    /// They could not be read: nothing is known then.
    pub async fn look_over(&self, settings: &Settings) -> Result<Found, ProvisionError> {
        match self.provision(settings, Mode::Verify, Ledger::Known).await {
            Ok(report) => Ok(Found::Sound(report)),
            Err(error @ ProvisionError::Altered { .. }) => Ok(Found::Unsafe(error.to_string())),
            Err(ProvisionError::LedgerGone { .. }) => Ok(Found::NoLedger),
            Err(ProvisionError::Missing { object }) => {
                let is_work = object == format!("stream {}", self.names().work());
                Ok(Found::Absent { object, is_work })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the work queue again after it was deleted. Its first message gets the sequence
    /// `first`, so that no write that was meant for the old one finds the sequence that it expects.
    ///
    /// Whoever calls this knows that nobody runs what the old one handed out.
    ///
    /// # Errors
    /// It could not be made.
    pub async fn make_work_again(
        &self,
        settings: &Settings,
        first: Sequence,
    ) -> Result<(), ProvisionError> {
        for mut object in self.objects(settings) {
            if object.role == Role::Work {
                let first = json!(first.get());
                object.config.insert("first_seq".to_owned(), first);
                self.make(&object, settings).await?;
            }
        }
        Ok(())
    }

    /// Makes the buckets that are not there. Epochs do not begin anew with the leaders' bucket: the
    /// ledger and the fences tell the newest.
    ///
    /// # Errors
    /// One could not be made.
    pub async fn make_buckets_again(&self, settings: &Settings) -> Result<(), ProvisionError> {
        for object in self.objects(settings) {
            let is_bucket = matches!(object.role, Role::LeaderBucket | Role::WorkersBucket);
            if is_bucket && self.found(&object.stream).await?.is_none() {
                self.make(&object, settings).await?;
            }
        }
        Ok(())
    }
}
