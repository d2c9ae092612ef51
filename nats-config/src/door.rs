//! The door to new submissions: the ledger's subject for them, taken out before the room is full
//! and put back later. Nothing else of the stream is touched.

use serde_json::{Value, json};

use crate::broker::{Broker, StreamState};
use crate::provision::ProvisionError;
use crate::read_error::ReadError;

/// Whether the ledger takes submissions. It is state of the system, not a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// A direct submission is stored.
    Open,
    /// A direct submission finds no responders; all other records still land.
    Closed,
}

/// What a request to move the door came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moved {
    /// It moved.
    Changed,
    /// It stood so already.
    AsItWas,
}

impl Broker {
    /// How the door stands in a state of the ledger that was just read.
    #[must_use]
    pub fn door_in(&self, ledger: &StreamState) -> Door {
        if ledger
            .config
            .subjects
            .contains(&self.subjects().submit_all())
        {
            Door::Open
        } else {
            Door::Closed
        }
    }

    /// Puts the subject of submissions back into the ledger.
    ///
    /// # Errors
    /// As [`Self::close_door`].
    pub async fn open_door(&self) -> Result<Moved, ProvisionError> {
        self.move_door(Door::Open).await
    }

    /// Takes the subject of submissions out of the ledger.
    ///
    /// The stream is read afresh, only that subject changes, and the stream is read again. The
    /// server has no compare-and-set for it: of two at once the later wins, so look again now and
    /// then.
    ///
    /// # Errors
    /// The ledger could not be read, or the door does not stand as asked for: the update was
    /// refused, lost or overwritten.
    pub async fn close_door(&self) -> Result<Moved, ProvisionError> {
        self.move_door(Door::Closed).await
    }

    async fn move_door(&self, door: Door) -> Result<Moved, ProvisionError> {
        let ledger = self.names().ledger().to_owned();
        let submit = self.subjects().submit_all();
        // The server's own JSON goes back, so that no setting unknown to us is lost.
        let mut config = self.info(&ledger, &json!({})).await?.into_config();
        let Some(Value::Array(subjects)) = config.get_mut("subjects") else {
            return Err(ReadError::Unreadable {
                subject: format!("{}.STREAM.INFO.{ledger}", self.api_prefix()),
                why: "the stream has no subjects".to_owned(),
            }
            .into());
        };
        let stands = subjects.iter().any(|subject| *subject == submit.as_str());
        match door {
            Door::Open if stands => return Ok(Moved::AsItWas),
            Door::Closed if !stands => return Ok(Moved::AsItWas),
            Door::Open => subjects.insert(0, Value::String(submit)),
            Door::Closed => subjects.retain(|subject| *subject != submit.as_str()),
        }
        let verb = format!("STREAM.UPDATE.{ledger}");
        let answer = self
            .api::<Value>(&verb, &ledger, &Value::Object(config))
            .await;
        if self.door_in(&self.state(&ledger).await?) == door {
            return Ok(Moved::Changed);
        }
        match answer {
            Err(error) => Err(error.into()),
            Ok(_updated) => Err(ReadError::Unavailable {
                subject: format!("{}.{verb}", self.api_prefix()),
                code: 0,
                text: "another update of the stream undid this one".to_owned(),
            }
            .into()),
        }
    }
}
