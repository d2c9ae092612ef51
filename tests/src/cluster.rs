//! Three real nats-servers that replicate.
//!
//! It never hides an election: who asks for a stream's leader waits until there is one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, StorageType};

use crate::port::Port;
use crate::proxy::{Proxy, Weather};
use crate::roles;
use crate::server::{Routes, Server, ServerOptions};
use crate::wait::eventually;

/// The names of the servers.
pub const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// An election of the metadata leader and of a stream leader fit into this several times.
const ELECTIONS: Duration = Duration::from_secs(60);

/// A cluster of three.
pub struct Cluster {
    servers: Vec<Server>,
    /// The lines between them, where these can be hurt.
    routes: Vec<Route>,
}

/// The line on which a server dials another one.
pub struct Route {
    /// The place of the server that dials.
    pub from: usize,
    /// The place of the one that is dialled.
    pub to: usize,
    /// What stands between them.
    pub proxy: Proxy,
}

impl Cluster {
    /// Starts three with default configurations and waits until replicated streams can be made.
    ///
    /// # Errors
    /// When no nats-server is found or the three do not find together.
    pub async fn start() -> Result<Self> {
        let cluster = Self::start_with(&ServerOptions::default()).await?;
        cluster.wait_ready(&cluster.connect().await?).await?;
        Ok(cluster)
    }

    /// Starts three with the same options, each with its own name.
    ///
    /// They take connections then; [`Cluster::wait_ready`] waits for more, as it needs a client that is
    /// allowed to make a stream.
    ///
    /// # Errors
    /// When no nats-server is found or the three do not find together.
    pub async fn start_with(options: &ServerOptions) -> Result<Self> {
        let routes: Vec<Port> = NAMES.iter().map(|_| Port::take()).collect::<Result<_>>()?;
        let all: Vec<u16> = routes.iter().map(Port::number).collect();
        let mut servers = Vec::new();
        for (name, own) in NAMES.into_iter().zip(routes) {
            let mut options = options.clone();
            options.name = Some(name.to_owned());
            let routes = Routes {
                own,
                all: all.clone(),
                advertised: None,
            };
            let mut server = Server::prepare(&options, Some(routes))?;
            server.spawn()?;
            servers.push(server);
        }
        for server in &mut servers {
            server.ready().await?;
        }
        Ok(Self {
            servers,
            routes: Vec::new(),
        })
    }

    /// The same with a proxy on every line between two of them: they can be parted.
    ///
    /// # Errors
    /// As [`Cluster::start_with`].
    pub async fn start_parted(options: &ServerOptions) -> Result<Self> {
        let owns: Vec<Port> = NAMES.iter().map(|_| Port::take()).collect::<Result<_>>()?;
        let mut routes = Vec::new();
        for from in 0..NAMES.len() {
            for to in (0..NAMES.len()).filter(|to| *to != from) {
                let proxy = Proxy::start_route(owns[to].number()).await?;
                routes.push(Route { from, to, proxy });
            }
        }
        let mut servers = Vec::new();
        for (place, own) in owns.into_iter().enumerate() {
            let mut options = options.clone();
            options.name = Some(NAMES[place].to_owned());
            let dialled = routes.iter().filter(|route| route.from == place);
            let own_routes = Routes {
                own,
                all: dialled.map(|route| route.proxy.port()).collect(),
                advertised: Some(Port::take()?),
            };
            let mut server = Server::prepare(&options, Some(own_routes))?;
            server.spawn()?;
            servers.push(server);
        }
        for server in &mut servers {
            server.ready().await?;
        }
        Ok(Self { servers, routes })
    }

    /// The lines between the servers; none where they cannot be parted.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Holds back what passes between the server at `alone` and the two others: what it sends
    /// (`out`), what it receives (`into`), or both.
    pub fn part(&self, alone: usize, (out, into): (bool, bool)) {
        for route in &self.routes {
            let weather = if route.from == alone {
                Weather {
                    holds_up: out,
                    holds_down: into,
                    ..Weather::default()
                }
            } else if route.to == alone {
                Weather {
                    holds_up: into,
                    holds_down: out,
                    ..Weather::default()
                }
            } else {
                continue;
            };
            route.proxy.set_weather(weather);
        }
    }

    /// Lets all pass between the servers again. Returns how many bytes were held back.
    pub fn join(&self) -> u64 {
        let held = self.routes.iter().map(|route| route.proxy.held_bytes());
        let held = held.sum();
        for route in &self.routes {
            route.proxy.release();
        }
        held
    }

    /// Waits until all three take replicated streams, by making one and removing it.
    ///
    /// `client` must be allowed to do so.
    ///
    /// # Errors
    /// When that does not come.
    pub async fn wait_ready(&self, client: &async_nats::Client) -> Result<()> {
        let context = short_context(client);
        let probe = Config {
            name: "HARNESS_READY".to_owned(),
            subjects: vec!["harness.ready".to_owned()],
            storage: StorageType::Memory,
            num_replicas: NAMES.len(),
            ..Config::default()
        };
        eventually("a replicated stream", ELECTIONS, async || {
            context.create_stream(probe.clone()).await.map(drop)
        })
        .await?;
        eventually("the end of the probe stream", ELECTIONS, async || {
            context.delete_stream(&probe.name).await.map(drop)
        })
        .await
    }

    /// The addresses of all three, for a client that moves on when one dies.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// The addresses in one text, as flags and `NATS_URL` take them.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    /// A connection to any of the three that may do everything.
    ///
    /// # Errors
    /// When none takes it.
    pub async fn connect(&self) -> Result<async_nats::Client> {
        Box::pin(self.connect_with(roles::connect_options(None))).await
    }

    /// The same with options of one's own.
    ///
    /// # Errors
    /// When none takes it.
    pub async fn connect_with(
        &self,
        options: async_nats::ConnectOptions,
    ) -> Result<async_nats::Client> {
        let addresses = self
            .urls()
            .iter()
            .map(|url| url.parse())
            .collect::<Result<Vec<async_nats::ServerAddr>, _>>()?;
        options
            .connect(addresses)
            .await
            .context("connect to the cluster")
    }

    /// All three.
    pub fn servers(&mut self) -> &mut [Server] {
        &mut self.servers
    }

    /// The server of that name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn server(&mut self, name: &str) -> Result<&mut Server> {
        self.servers
            .iter_mut()
            .find(|server| server.name() == name)
            .ok_or_else(|| anyhow!("the cluster has no server `{name}`, only {NAMES:?}"))
    }

    /// The name of the server that leads the stream, once one does and all its replicas follow.
    ///
    /// # Errors
    /// When no leader comes forward.
    pub async fn stream_leader(&self, client: &async_nats::Client, stream: &str) -> Result<String> {
        let context = short_context(client);
        let what = format!("a leader of stream {stream}");
        eventually(&what, ELECTIONS, async || {
            let stream = context.get_stream(stream).await?;
            let cluster = stream.cached_info().cluster.as_ref();
            let leader = cluster.and_then(|cluster| cluster.leader.clone());
            leader.filter(|name| !name.is_empty()).context("no leader")
        })
        .await
    }

    /// SIGKILL to the leader of the stream. Returns its name and the moment before the signal.
    ///
    /// # Errors
    /// When the stream has no leader.
    pub async fn kill_stream_leader(
        &mut self,
        client: &async_nats::Client,
        stream: &str,
    ) -> Result<(String, Instant)> {
        let name = self.stream_leader(client, stream).await?;
        let at = self.server(&name)?.kill().await?;
        Ok((name, at))
    }
}

/// A context whose requests are given up soon: unanswered ones are normal during an election.
fn short_context(client: &async_nats::Client) -> jetstream::Context {
    let mut context = jetstream::new(client.clone());
    context.set_timeout(Duration::from_secs(2));
    context
}
