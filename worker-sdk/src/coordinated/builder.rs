//! A process's part in a crew while it is being put together.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use election::{ElectionConfig, LeaseTimings, Mode, Provision};
use futures::FutureExt;
use nats_config::Names;
use protocol::crew::{CrewRules, Notice, Sharing};
use protocol::id::{CrewName, Namespace};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::contact::Way;
use super::engine::Setup;
use super::keys::Keys;
use super::runs::{Patience, Work};
use super::{Coordinated, CoordinatedError, Share, bucket, launch};
use crate::identity::{Identity, IdentityProvider};
use crate::opening::host_name;
use crate::place::Place;
use crate::scope::Scope;

/// The pause before work that returned by itself is called again, unless the program says otherwise.
pub const AGAIN_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// A process's part in a crew, while it is being put together.
#[must_use = "a process joins nothing before it is started"]
pub struct CoordinatedBuilder {
    place: Place,
    sharing: Sharing,
    mode: Mode,
    timings: LeaseTimings,
    replicas: usize,
    provision: Provision,
    wind_up: Option<Duration>,
    settle: Option<Duration>,
    end_within: Option<Duration>,
    again_after: Duration,
    notices: Option<mpsc::Sender<Notice>>,
}

impl fmt::Debug for CoordinatedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatedBuilder")
            .field("place", &self.place)
            .field("sharing", &self.sharing)
            .finish_non_exhaustive()
    }
}

impl CoordinatedBuilder {
    pub(super) fn new(name: &str, sharing: Sharing) -> Self {
        Self {
            place: Place::new(name, Scope::Group),
            sharing,
            mode: Mode::Strict,
            timings: LeaseTimings::stable(),
            replicas: 1,
            provision: Provision::CreateIfMissing,
            wind_up: None,
            settle: None,
            end_within: None,
            again_after: AGAIN_AFTER_DEFAULT,
            notices: None,
        }
    }

    /// Shares with all processes that share a broker and a namespace. Default: with those of the own
    /// group.
    pub const fn global(mut self) -> Self {
        self.place.scope = Scope::Global;
        self
    }

    /// The brokers: one address, or several with commas between. Default `nats://127.0.0.1:4222`.
    pub fn servers(mut self, servers: &str) -> Self {
        servers.clone_into(&mut self.place.servers);
        self
    }

    /// Credentials, TLS and so on, made anew for each connection.
    pub fn connect(mut self, options: impl Fn() -> ConnectOptions + Send + Sync + 'static) -> Self {
        self.place.connect = Arc::new(options);
        self
    }

    /// The namespace of the installation; default `jobs`.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.place.namespace = namespace;
        self
    }

    /// Another bucket than `<namespace>_crews`. All members of a crew must name the same.
    pub fn bucket(mut self, bucket: &str) -> Self {
        self.place.bucket = Some(bucket.to_owned());
        self
    }

    /// Who this process is; default: what the environment says.
    pub fn identity(mut self, provider: impl IdentityProvider + Send + 'static) -> Self {
        self.place.identity = Box::new(provider);
        self
    }

    /// A timer of the kernel kills this process if its work outlasts its lease, also when it is stopped:
    /// no share ever has two holders at work. The default. Not for process 1 of a container: see
    /// [`run_below_init`](crate::run_below_init).
    ///
    /// It holds as long as the clocks of the hosts run at about the same rate (half a per cent), and
    /// for what this process itself does. What it has sent may still arrive later: hand out
    /// [`Share::token`].
    pub const fn strict(mut self) -> Self {
        self.mode = Mode::Strict;
        self
    }

    /// No timer kills this process. One that was stopped or does not look at its shares may work on
    /// beside the next holder until it does: only for work all of whose effects go to systems that
    /// refuse a token below the highest they have seen, or that asks [`Share::check`] before each.
    pub const fn fenced(mut self) -> Self {
        self.mode = Mode::Fenced;
        self
    }

    /// Lease, renewal, request and margin; default [`LeaseTimings::stable`]. A member that dies is
    /// followed a lease later, and the very first start of a crew takes a lease.
    pub const fn timings(mut self, timings: LeaseTimings) -> Self {
        self.timings = timings;
        self
    }

    /// The least number of replicas of the bucket, and how many it is made with; default 1. Use 3
    /// wherever there are three brokers.
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Whether the bucket may be made at the start; default yes.
    pub const fn provision(mut self, provision: Provision) -> Self {
        self.provision = provision;
        self
    }

    /// How long before its permit ends the work is told to end; default twice the margin.
    pub const fn wind_up(mut self, wind_up: Duration) -> Self {
        self.wind_up = Some(wind_up);
        self
    }

    /// How long the crew must be unchanged before the plan follows it, five times that at most; default
    /// 250 ms for partitions, 1 s for indices.
    pub const fn settle(mut self, settle: Duration) -> Self {
        self.settle = Some(settle);
        self
    }

    /// How long work that was told to end may take while the lease lasts, before it is aborted at its
    /// next `.await`; at most the lease, which is the default.
    pub const fn end_within(mut self, within: Duration) -> Self {
        self.end_within = Some(within);
        self
    }

    /// The pause before work that returned by itself, or panicked, is called again; default
    /// [`AGAIN_AFTER_DEFAULT`].
    pub const fn again_after(mut self, pause: Duration) -> Self {
        self.again_after = pause;
        self
    }

    /// Tells each change here, in order, from the start on, none left out. A channel that is full is
    /// waited for, and the lease is not renewed meanwhile: read it, or drop its end.
    pub fn report_to(mut self, notices: mpsc::Sender<Notice>) -> Self {
        self.notices = Some(notices);
        self
    }

    /// Connects, and joins. The work is called for each share that this process holds, and must return
    /// soon after [`Share::cancelled`]: nobody else gets the share before. Work that returns by itself
    /// or panics is called again while the share is held.
    ///
    /// The lease is kept by a thread of its own, whatever the work does.
    ///
    /// # Errors
    /// A name or a time is wrong, the broker or its bucket cannot be used, this is process 1 and the
    /// crew strict, or there is no tokio runtime here.
    pub async fn start<Fut>(
        self,
        work: impl Fn(Share) -> Fut + Send + Sync + 'static,
    ) -> Result<Coordinated, CoordinatedError>
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let user = Handle::try_current().map_err(|_| CoordinatedError::NoRuntime)?;
        let work: Work = Arc::new(move |share| work(share).boxed());
        launch(self.setup(work, user)?).await
    }

    fn setup(self, work: Work, user: Handle) -> Result<Setup, CoordinatedError> {
        let identity = self.place.identity.identity()?;
        let rules = self.rules()?;
        let end_within = self.end_within.unwrap_or(self.timings.lease);
        if end_within > self.timings.lease {
            return Err(CoordinatedError::EndWithin);
        }
        let keys = self.keys(&identity)?;
        let broker = self.place.broker()?;
        let mut planner = ElectionConfig::new(broker.clone(), keys.bucket(), &keys.planner());
        identity.node().clone_into(&mut planner.holder);
        planner.host = host_name();
        // Who plans saves work and is not needed to be right: none waits for a dead one.
        planner.mode = Mode::Fenced;
        planner.timings = self.timings;
        planner.replicas = self.replicas;
        planner.provision = Provision::VerifyOnly;
        Ok(Setup {
            way: Way {
                broker,
                wanted: bucket::wanted(keys.bucket(), &self.timings, self.replicas),
                keys,
            },
            provision: self.provision,
            mode: self.mode,
            patience: Patience {
                wind_up: rules.wind_up,
                end_within,
                again_after: self.again_after,
            },
            rules,
            planner,
            work,
            user,
            notices: self.notices,
        })
    }

    fn rules(&self) -> Result<CrewRules, CoordinatedError> {
        let mut rules = CrewRules::new(self.sharing, self.timings);
        rules.wind_up = self.wind_up.unwrap_or(rules.wind_up);
        rules.settle = self.settle.unwrap_or(rules.settle);
        rules.validate()?;
        Ok(rules)
    }

    fn keys(&self, identity: &Identity) -> Result<Keys, CoordinatedError> {
        let name = CrewName::new(&self.place.name)?;
        let bucket = self.place.bucket(Names::crews_bucket);
        let key = self.place.scope.key(identity, name.as_str());
        Ok(Keys::new(&bucket, &key))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::crew::Key;

    use super::{Coordinated, CoordinatedBuilder, CoordinatedError};
    use crate::identity::Identity;

    fn plan(builder: &CoordinatedBuilder, group: &str) -> Result<String, CoordinatedError> {
        let identity = Identity::new("node-a", group)?;
        Ok(builder.keys(&identity)?.subject(&Key::Plan))
    }

    #[test]
    fn the_group_is_part_of_the_key_unless_it_is_global() {
        for group in ["eu", "us"] {
            let grouped = plan(&Coordinated::index("shop"), group).expect("a key");
            assert_eq!(grouped, format!("$KV.jobs_crews.group.{group}.shop.plan"));
            let global = plan(&Coordinated::index("shop").global(), group).expect("a key");
            assert_eq!(global, "$KV.jobs_crews.global.shop.plan");
        }
        let dotted = plan(&Coordinated::index("eu.shop"), "eu");
        assert!(
            matches!(dotted, Err(CoordinatedError::Name(_))),
            "{dotted:?}"
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for count in [0, 1_025] {
            let refused = Coordinated::partitions("shop", count).rules();
            assert!(
                matches!(refused, Err(CoordinatedError::Rules(_))),
                "{count}"
            );
        }
        let hasty = Coordinated::index("shop").wind_up(Duration::ZERO);
        assert!(matches!(hasty.rules(), Err(CoordinatedError::Rules(_))));
    }

    #[tokio::test]
    async fn nobody_has_longer_to_end_than_the_lease() {
        let slow = Coordinated::index("shop").end_within(Duration::from_secs(16));
        let refused = slow.start(|_share| async {}).await;
        assert!(
            matches!(refused, Err(CoordinatedError::EndWithin)),
            "{refused:?}"
        );
    }
}
