//! Makes what must exist on the broker, and looks whether it is as it must be.
//!
//! It never changes an existing stream or bucket, never deletes, and never makes a ledger anew that
//! this process has seen.

mod error;
mod queue_consumer;
mod remake;

use protocol::id::QueueName;
use serde_json::{Map, Value, json};

use crate::broker::Broker;
use crate::drift::{self, Drift, Role, Severity};
use crate::read_error::ReadError;
use crate::settings::Settings;
use crate::version::{self, ServerVersion};
use crate::{buckets, streams};

pub use error::ProvisionError;
use queue_consumer::Absent;
pub use queue_consumer::{ConsumerReport, Ensured};
pub use remake::Found;

/// What [`Broker::provision`] may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Make what is absent, then compare everything.
    #[default]
    Create,
    /// Make nothing: what is absent is an error. Compare everything.
    Verify,
    /// Look at the server's version only. Somebody else answers for the streams.
    Off,
}

/// What the caller knows of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ledger {
    /// It may never have existed: the start of a process.
    MayBeNew,
    /// This process has seen it: if it is gone, accepted jobs are lost, and an empty one in its
    /// place would hide that.
    Known,
}

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The version of the server that this connection goes to; absent where it could not be read.
    pub server: Option<ServerVersion>,
    /// What was made, such as `stream JOBS`.
    pub created: Vec<String>,
    /// Harmless differences.
    pub drift: Vec<Drift>,
    /// Sentences for the log.
    pub warnings: Vec<String>,
}

/// One stream that must exist.
struct Object {
    role: Role,
    /// Such as `stream JOBS`.
    shown: String,
    stream: String,
    config: Map<String, Value>,
}

/// A stream as the server has it.
struct Stands {
    config: Map<String, Value>,
    last: u64,
}

const NAME_IN_USE: u64 = 10_058;

impl Broker {
    /// Checks the server, makes what is absent (in [`Mode::Create`]), and compares all streams and
    /// buckets with what they must be. Whether the door is open is state and no difference.
    ///
    /// Several coordinators may do this at once. Consumers are made by [`Broker::ensure_consumer`].
    ///
    /// # Errors
    /// The server cannot be used, something is absent or could not be made, or a promise does not
    /// hold with what is there. [`ProvisionError::is_retryable`] says whether to try again.
    pub async fn provision(
        &self,
        settings: &Settings,
        mode: Mode,
        ledger: Ledger,
    ) -> Result<Report, ProvisionError> {
        settings.validate()?;
        let mut report = self.check_server(settings)?;
        if mode == Mode::Off {
            return Ok(report);
        }
        self.check_jetstream().await?;
        let objects = self.objects(settings);
        let mut all = Vec::new();
        for object in &objects {
            let found = match self.found(&object.stream).await? {
                Some(found) => found,
                None => {
                    self.may_make(object, mode, ledger).await?;
                    self.make(object, settings).await?;
                    report.created.push(object.shown.clone());
                    // Only what the server gives back counts: an old one drops what it does not
                    // know.
                    self.found(&object.stream)
                        .await?
                        .ok_or_else(|| ProvisionError::Missing {
                            object: object.shown.clone(),
                        })?
                }
            };
            let closable = self.subjects().submit_all();
            all.extend(drift::compare(
                object.role,
                &object.shown,
                &object.config,
                &found.config,
                &closable,
            ));
        }
        if all.iter().any(|drift| drift.severity == Severity::Unsafe) {
            return Err(ProvisionError::Altered { drift: all });
        }
        report.drift = all;
        Ok(report)
    }

    fn objects(&self, settings: &Settings) -> [Object; 4] {
        let names = self.names();
        let object = |role, kind: &str, name: &str, config: Map<String, Value>| Object {
            role,
            shown: format!("{kind} {name}"),
            stream: config["name"].as_str().unwrap_or(name).to_owned(),
            config,
        };
        [
            object(
                Role::Ledger,
                "stream",
                names.ledger(),
                drift::json(&streams::ledger(names, settings)),
            ),
            object(
                Role::Work,
                "stream",
                names.work(),
                drift::json(&streams::work(names, settings)),
            ),
            object(
                Role::LeaderBucket,
                "bucket",
                names.leader_bucket(),
                drift::json(&buckets::leader(names, settings)),
            ),
            object(
                Role::WorkersBucket,
                "bucket",
                names.workers_bucket(),
                drift::json(&buckets::workers(names, settings)),
            ),
        ]
    }

    /// The server of this connection, by what it said when it connected.
    fn check_server(&self, settings: &Settings) -> Result<Report, ProvisionError> {
        let found = self.client().server_info().version;
        let server = ServerVersion::parse(&found);
        let mut warnings = Vec::new();
        let too_old = |needed, why| {
            Err(ProvisionError::ServerTooOld {
                found: found.clone(),
                needed,
                why,
            })
        };
        match server {
            Some(version) if version < version::NEEDED => {
                return too_old(version::NEEDED, "it does not know atomic batches");
            }
            Some(version)
                if settings.replicas.count() > 1 && version < version::NEEDED_REPLICATED =>
            {
                return too_old(
                    version::NEEDED_REPLICATED,
                    "a replica that catches up may take a second message on a subject, and so a job twice",
                );
            }
            Some(version) if version < version::ADVISED => warnings.push(format!(
                "nats-server {version} has known faults in replicated streams and work queues; upgrade to {} or newer",
                version::ADVISED
            )),
            Some(_) => {}
            None => warnings.push(format!(
                "the server says that its version is `{found}`, which cannot be compared with the {} that is needed",
                version::NEEDED
            )),
        }
        Ok(Report {
            server,
            created: Vec::new(),
            drift: Vec::new(),
            warnings,
        })
    }

    /// Whether JetStream is on, and whether the servers that run it know what we need: in a cluster
    /// the one that we are connected to may be newer than those.
    async fn check_jetstream(&self) -> Result<(), ProvisionError> {
        let account = self.account().await.map_err(|error| match error {
            ReadError::NoResponders { .. } if !self.client().server_info().jetstream => {
                ProvisionError::JetStreamOff {
                    text: "no server answers".to_owned(),
                }
            }
            ReadError::Refused {
                code: 10_035 | 10_039 | 10_076,
                text,
                ..
            } => ProvisionError::JetStreamOff { text },
            error => ProvisionError::Read(error),
        })?;
        if account.api_level < version::API_LEVEL_NEEDED {
            return Err(ProvisionError::ServerTooOld {
                found: format!("with JetStream API level {}", account.api_level),
                needed: version::NEEDED,
                why: "it does not know atomic batches",
            });
        }
        Ok(())
    }

    async fn found(&self, stream: &str) -> Result<Option<Stands>, ReadError> {
        match self.info(stream, &json!({})).await {
            Ok(info) => Ok(Some(Stands {
                last: info.last_sequence(),
                config: info.into_config(),
            })),
            Err(ReadError::NoStream { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An empty ledger in the place of a lost one would accept every job a second time.
    async fn may_make(
        &self,
        object: &Object,
        mode: Mode,
        ledger: Ledger,
    ) -> Result<(), ProvisionError> {
        let gone = |why: &str| {
            Err(ProvisionError::LedgerGone {
                stream: object.stream.clone(),
                why: why.to_owned(),
            })
        };
        if object.role == Role::Ledger {
            if ledger == Ledger::Known {
                return gone("this coordinator has read it before");
            }
            let work = self.names().work();
            if self.found(work).await?.is_some_and(|found| found.last > 0) {
                return gone(&format!(
                    "stream {work} holds or held work that came from it"
                ));
            }
            let leader = format!("KV_{}", self.names().leader_bucket());
            if self
                .found(&leader)
                .await?
                .is_some_and(|found| found.last > 0)
            {
                return gone(&format!("stream {leader} tells of leaders that read it"));
            }
        }
        match mode {
            Mode::Create => Ok(()),
            Mode::Verify | Mode::Off => Err(ProvisionError::Missing {
                object: object.shown.clone(),
            }),
        }
    }

    async fn make(&self, object: &Object, settings: &Settings) -> Result<(), ProvisionError> {
        let verb = format!("STREAM.CREATE.{}", object.stream);
        let request = Value::Object(object.config.clone());
        match self.api::<Value>(&verb, &object.stream, &request).await {
            Ok(_made) => Ok(()),
            // Another coordinator was faster, or another program uses the name: the comparison
            // tells.
            Err(ReadError::Refused {
                code: NAME_IN_USE, ..
            }) => Ok(()),
            Err(error) => Err(ProvisionError::of_stream(
                error,
                &object.shown,
                object.config.get("max_bytes").and_then(Value::as_u64),
                settings.replicas,
            )),
        }
    }

    /// Makes the consumer of `queue`, or sets its lease to what the queue's configuration says.
    /// What it has handed out stays handed out: it is never deleted and never reset.
    ///
    /// # Errors
    /// It could not be made, or is of another form than workers expect.
    pub async fn ensure_consumer(
        &self,
        queue: &QueueName,
        config: &protocol::config::QueueConfig,
    ) -> Result<ConsumerReport, ProvisionError> {
        queue_consumer::ensure(self, queue, config, Absent::Make).await
    }

    /// The same for a consumer that must be there: if it is not, it is left absent, since somebody
    /// may still run what it handed out.
    ///
    /// # Errors
    /// As [`Self::ensure_consumer`], and [`ProvisionError::Missing`].
    pub async fn tend_consumer(
        &self,
        queue: &QueueName,
        config: &protocol::config::QueueConfig,
    ) -> Result<ConsumerReport, ProvisionError> {
        queue_consumer::ensure(self, queue, config, Absent::Leave).await
    }
}
