//! Stands between a client and its NATS server: holds back what the client sends, or swallows
//! chosen messages of the server.
//!
//! It changes no byte of what it passes on and knows of the protocol only where a message ends.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::port::Port;

/// A message from the server to the client.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its subject.
    pub subject: String,
    /// Headers and payload as they came.
    pub body: Vec<u8>,
}

type Swallow = Box<dyn FnMut(&Frame) -> bool + Send>;

/// What all connections of a proxy share.
struct Shared {
    target: u16,
    /// Whether what clients send is held back.
    held: watch::Sender<bool>,
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
        let port = Port::take()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))
            .await
            .context("listen as a proxy")?;
        let shared = Arc::new(Shared {
            target,
            held: watch::Sender::new(false),
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

    /// The address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number())
    }

    /// Holds back all that clients send from now on.
    pub fn hold(&self) {
        self.shared.held_bytes.store(0, Ordering::SeqCst);
        self.shared.held.send_replace(true);
    }

    /// How many bytes of clients are held back, as far as they were read.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.shared.held_bytes.load(Ordering::SeqCst)
    }

    /// Sends on what was held back, and all that follows.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
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
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connection(client, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Ends with either side: the other one is closed then.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target)).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // A broken connection is what either side sees of it anyway.
    tokio::select! {
        ended = up(from_client, to_server, &shared) => ended.ok(),
        ended = down(from_server, to_client, &shared) => ended.ok(),
    };
}

async fn up(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut held = shared.held.subscribe();
    let mut kept = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if !*held.borrow_and_update() && !kept.is_empty() {
            server.write_all(&kept).await?;
            kept.clear();
        }
        tokio::select! {
            // The value lives as long as the proxy, and this task no longer.
            _ = held.changed() => {}
            read = client.read(&mut buffer) => match read? {
                0 => return Ok(()),
                len => {
                    kept.extend_from_slice(&buffer[..len]);
                    if *held.borrow() {
                        shared.held_bytes.fetch_add(len as u64, Ordering::SeqCst);
                    }
                }
            },
        }
    }
}

async fn down(
    server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
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
            let swallowed = {
                let mut swallow = shared
                    .swallow
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                swallow(&frame)
            };
            if swallowed {
                shared.swallowed.send_modify(|count| *count += 1);
                continue;
            }
            line.extend_from_slice(&frame.body);
        }
        client.write_all(&line).await?;
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
