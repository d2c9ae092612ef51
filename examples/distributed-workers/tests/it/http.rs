//! HTTP by hand, one request a connection: what a client of a front end sees, also where no answer
//! comes. It never repeats a request.

use anyhow::{Context, Result, ensure};
use tests::wait::{PATIENCE, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The status line and the headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

/// `PUT` with a body.
///
/// # Errors
/// There was no whole answer: what became of the request is not known.
pub(crate) async fn put(address: &str, path: &str, body: &str) -> Result<Answer> {
    ask(address, "PUT", path, body).await
}

/// `GET`.
///
/// # Errors
/// As [`put`].
pub(crate) async fn get(address: &str, path: &str) -> Result<Answer> {
    ask(address, "GET", path, "").await
}

async fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<Answer> {
    let what = format!("the answer to {method} {path} at {address}");
    let asked = async {
        let mut stream = TcpStream::connect(address).await.context("connect")?;
        let request = format!("{}\r\n{body}", head(method, path, body.len(), ""));
        stream.write_all(request.as_bytes()).await?;
        answer(&mut stream).await
    };
    within(&what, PATIENCE, asked).await.flatten()
}

/// The head of a request but for the empty line at its end; `more` is further lines.
pub(crate) fn head(method: &str, path: &str, body_len: usize, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {body_len}\r\n{more}"
    )
}

/// Reads to the end of the connection.
///
/// # Errors
/// As [`put`].
pub(crate) async fn answer(stream: &mut TcpStream) -> Result<Answer> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.context("read")?;
    let (head, body) = text.split_once("\r\n\r\n").context("a whole head")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    let lower = head.to_ascii_lowercase();
    let len: usize = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(Ok(0), str::parse)?;
    ensure!(body.len() == len, "the body ends early: {body:?}");
    Ok(Answer {
        status,
        head: lower,
        body: body.to_owned(),
    })
}
