//! Stands between a client and its NATS server: holds back, delays or cuts what passes, or swallows
//! chosen messages of the server.
//!
//! It changes no byte of what it passes on and knows of the protocol only where a message ends.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::port::Port;
use crate::wait::until;

/// A message from the server to the client.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its subject.
    pub subject: String,
    /// Headers and payload as they came.
    pub body: Vec<u8>,
}

/// How much of one direction of a connection is on its way at most, in reads and messages.
const ON_ITS_WAY: usize = 4_096;

/// After a client could not be let in.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What passes and what does not, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// What clients send is held back.
    pub holds_up: bool,
    /// What the server sends is held back.
    pub holds_down: bool,
    /// How much later everything arrives.
    pub delay: Duration,
}

type Swallow = Box<dyn FnMut(&Frame) -> bool + Send>;

/// Who speaks on the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    /// A client and its server: messages of the server can be swallowed.
    Client,
    /// Two servers: bytes.
    Route,
}

/// What all connections of a proxy share.
struct Shared {
    target: u16,
    speech: Speech,
    weather: watch::Sender<Weather>,
    /// How many more clients are let in.
    places: AtomicU64,
    /// Counts the cuts.
    cuts: watch::Sender<u64>,
    /// Connections that are open.
    open: AtomicU64,
    held_bytes: AtomicU64,
    swallow: Mutex<Swallow>,
    swallowed: watch::Sender<u64>,
}

/// A proxy in front of one server. Dropped, it closes all its connections.
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of its own, and connects to `target` on this machine for each client.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(target: u16) -> Result<Self> {
        Self::start_for(target, Speech::Client).await
    }

    /// The same between two servers of a cluster: the one that dials comes here.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start_route(target: u16) -> Result<Self> {
        Self::start_for(target, Speech::Route).await
    }

    async fn start_for(target: u16, speech: Speech) -> Result<Self> {
        let port = Port::take()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))
            .await
            .context("listen as a proxy")?;
        let shared = Arc::new(Shared {
            target,
            speech,
            weather: watch::Sender::new(Weather::default()),
            places: AtomicU64::new(u64::MAX),
            cuts: watch::Sender::new(0),
            open: AtomicU64::new(0),
            held_bytes: AtomicU64::new(0),
            swallow: Mutex::new(Box::new(|_| false)),
            swallowed: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self {
            port,
            shared,
            _tasks: tasks,
        })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number())
    }

    /// Holds back all that clients send from now on.
    pub fn hold(&self) {
        self.set_weather(Weather {
            holds_up: true,
            ..Weather::default()
        });
    }

    /// How many bytes of either side are held back, as far as they were read.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.shared.held_bytes.load(Ordering::SeqCst)
    }

    /// Sends on what was held back, and all that follows.
    pub fn release(&self) {
        self.shared.weather.send_replace(Weather::default());
    }

    /// Lets pass what this weather lets pass, from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.shared.held_bytes.store(0, Ordering::SeqCst);
        self.shared.weather.send_replace(weather);
    }

    /// Lets in so many more clients, and closes each later one at once.
    pub fn admit(&self, clients: u64) {
        self.shared.places.store(clients, Ordering::SeqCst);
    }

    /// Closes all connections, in the middle of whatever passes. Returns how many there were.
    pub fn cut(&self) -> u64 {
        self.shared.cuts.send_modify(|count| *count += 1);
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Swallows the server's messages for which `swallow` says so, from now on.
    pub fn swallow(&self, swallow: impl FnMut(&Frame) -> bool + Send + 'static) {
        *self
            .shared
            .swallow
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Box::new(swallow);
    }

    /// Counts the messages that were swallowed.
    #[must_use]
    pub fn swallowed(&self) -> watch::Receiver<u64> {
        self.shared.swallowed.subscribe()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task: all connections end with the proxy.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // A client that left at once, or too many at a time: the next one may be let in.
            until(Instant::now() + ACCEPT_PAUSE).await;
            continue;
        };
        let place = |places: u64| places.checked_sub(1);
        let taken = shared
            .places
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, place);
        if taken.is_err() {
            continue;
        }
        connections.spawn(connection(client, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Ends with either side: the other one is closed then.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target)).await else {
        return;
    };
    shared.open.fetch_add(1, Ordering::SeqCst);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up_in, up_out) = mpsc::channel(ON_ITS_WAY);
    let (down_in, down_out) = mpsc::channel(ON_ITS_WAY);
    // A broken connection is what either side sees of it anyway.
    tokio::select! {
        ended = bytes(from_client, up_in, &shared, |weather| weather.holds_up) => ended.ok(),
        ended = down(from_server, down_in, &shared) => ended.ok(),
        ended = pass_on(up_out, to_server, &shared, |weather| weather.holds_up) => ended.ok(),
        ended = pass_on(down_out, to_client, &shared, |weather| weather.holds_down) => ended.ok(),
        // The value lives as long as the proxy, and this task no longer.
        cut = cuts.changed() => cut.ok(),
    };
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

/// Bytes, and when they may leave.
type Due = (Instant, Vec<u8>);

/// Whatever comes, as it comes.
async fn bytes(
    mut from: OwnedReadHalf,
    out: mpsc::Sender<Due>,
    shared: &Shared,
    holds: fn(Weather) -> bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        let weather = *shared.weather.borrow();
        shared.read(len, holds(weather));
        let due = Instant::now() + weather.delay;
        if out.send((due, buffer[..len].to_vec())).await.is_err() {
            return Ok(());
        }
    }
}

async fn down(
    server: OwnedReadHalf,
    out: mpsc::Sender<Due>,
    shared: &Shared,
) -> std::io::Result<()> {
    match shared.speech {
        Speech::Client => messages(server, out, shared).await,
        Speech::Route => bytes(server, out, shared, |weather| weather.holds_down).await,
    }
}

/// Message by message, less what is swallowed.
async fn messages(
    server: OwnedReadHalf,
    out: mpsc::Sender<Due>,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut server = BufReader::new(server);
    loop {
        let mut line = Vec::new();
        if server.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        if let Some((subject, len)) = message(&line) {
            let mut body = vec![0; len + 2];
            server.read_exact(&mut body).await?;
            let frame = Frame { subject, body };
            if shared.is_swallowed(&frame) {
                continue;
            }
            line.extend_from_slice(&frame.body);
        }
        let weather = *shared.weather.borrow();
        shared.read(line.len(), weather.holds_down);
        if out
            .send((Instant::now() + weather.delay, line))
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

/// Writes what is due, in its order, while it is not held back.
async fn pass_on(
    mut from: mpsc::Receiver<Due>,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    holds: fn(Weather) -> bool,
) -> std::io::Result<()> {
    let mut weather = shared.weather.subscribe();
    while let Some((due, bytes)) = from.recv().await {
        until(due).await;
        // The value lives as long as the proxy, and this task no longer.
        weather.wait_for(|weather| !holds(*weather)).await.ok();
        to.write_all(&bytes).await?;
    }
    Ok(())
}

impl Shared {
    fn read(&self, len: usize, held: bool) {
        if held {
            self.held_bytes.fetch_add(len as u64, Ordering::SeqCst);
        }
    }

    fn is_swallowed(&self, frame: &Frame) -> bool {
        let mut swallow = self.swallow.lock().unwrap_or_else(PoisonError::into_inner);
        let swallowed = swallow(frame);
        if swallowed {
            self.swallowed.send_modify(|count| *count += 1);
        }
        swallowed
    }
}

/// The subject and the length of the body, for a line that opens a message.
fn message(line: &[u8]) -> Option<(String, usize)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_whitespace();
    let operation = words.next()?;
    if !operation.eq_ignore_ascii_case("MSG") && !operation.eq_ignore_ascii_case("HMSG") {
        return None;
    }
    let subject = words.next()?.to_owned();
    Some((subject, words.last()?.parse().ok()?))
}
