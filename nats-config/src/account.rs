//! What the account has of JetStream, and may have. It says nothing of the server's disk.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;

use crate::broker::Broker;
use crate::read_error::ReadError;
use crate::settings::Replicas;

/// The account's use of file storage, and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Bytes stored in files.
    pub stored: u64,
    /// Most bytes that may be stored in files; absent: no limit of the account.
    pub stored_max: Option<u64>,
    /// The level of the JetStream API: 2 came with nats-server 2.12.
    pub api_level: u64,
    tiers: HashMap<String, Tier>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
struct Tier {
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
struct Limits {
    #[serde(default)]
    max_storage: Option<i64>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(flatten)]
    tier: Tier,
    #[serde(default)]
    api: Api,
    #[serde(default)]
    tiers: HashMap<String, Tier>,
}

#[derive(Default, Deserialize)]
struct Api {
    #[serde(default)]
    level: u64,
}

impl Tier {
    /// -1 means no limit.
    fn stored_max(&self) -> Option<u64> {
        self.limits
            .max_storage
            .and_then(|bytes| u64::try_from(bytes).ok())
    }
}

impl Account {
    /// Bytes stored and most that may be, for streams of so many replicas: some operators set
    /// limits for each number.
    #[must_use]
    pub fn storage_of(&self, replicas: Replicas) -> (u64, Option<u64>) {
        self.tiers
            .get(&format!("R{replicas}"))
            .map_or((self.stored, self.stored_max), |tier| {
                (tier.storage, tier.stored_max())
            })
    }
}

impl Broker {
    /// What the account has of JetStream.
    ///
    /// # Errors
    /// No usable answer: JetStream is off, away, or not allowed to this user.
    pub async fn account(&self) -> Result<Account, ReadError> {
        let info: Info = self.api("INFO", "", &json!({})).await?;
        Ok(Account {
            stored: info.tier.storage,
            stored_max: info.tier.stored_max(),
            api_level: info.api.level,
            tiers: info.tiers,
        })
    }
}
