//! What a front end answers, and how it ends.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::wait::{PATIENCE, eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{self, get};
use crate::scene::{front_end, path, put, system, workers};

#[tokio::test]
async fn a_front_end_says_what_became_of_each_request() {
    let (system, _a, _b) = system().await;
    let front_end = front_end("front end", &system.url()).await;
    let at = front_end.address.as_str();
    let long = path(&"x".repeat(257));
    for (target, body, status, says) in [
        ("/jobs/a%20b%2Fc", "7", 201, "\"id\":\"a b/c\""),
        ("/jobs/a%20b%2Fc", "7", 200, "\"accepted\""),
        ("/jobs/a%20b%2Fc", "8", 409, "the payload differs"),
        ("/jobs/a", "seven", 400, "whole number"),
        ("/jobs/", "7", 400, "id is missing"),
        ("/jobs/%FF", "7", 400, "UTF-8"),
        (&long, "7", 400, "longer than 256 bytes"),
    ] {
        let answer = http::put(at, target, body).await.unwrap();
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        assert!(answer.body.contains(says), "{target}: {answer:?}");
    }
    let large = "7".repeat(1_000);
    let answer = http::put(at, "/jobs/a", &large).await.unwrap();
    assert_eq!(answer.status, 413, "{answer:?}");
    // Nothing but the first was submitted.
    assert_eq!(get(at, "/jobs/a").await.unwrap().status, 404);

    let _workers = workers("w", &system, &["--fail-percent", "0"]).await;
    let shown = eventually("the product of 7", PATIENCE, async || {
        let answer = get(at, "/jobs/a%20b%2Fc").await?;
        let shown: Value = serde_json::from_str(&answer.body)?;
        match shown["state"] == "completed" {
            true => Ok(shown),
            false => Err(anyhow::anyhow!("{answer:?}")),
        }
    });
    let expected = json!({"id": "a b/c", "state": "completed", "attempt": 1, "result": 49});
    assert_eq!(shown.await.unwrap(), expected);
}

#[tokio::test]
async fn a_broker_that_is_away_means_ask_again_and_the_repeat_makes_one_job() {
    let (mut system, _a, _b) = system().await;
    let front_end = front_end("front end", &system.url()).await;
    let at = front_end.address.as_str();
    system.server().kill().await.unwrap();
    let answer = http::put(at, "/jobs/x", "7").await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    system.server().start_again().await.unwrap();
    // The write of the first request may have waited for the broker, too.
    let answer = put(&[at], "x", "7").await.unwrap();
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    let answer = put(&[at], "x", "7").await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_front_end_that_is_told_to_stop_finishes_the_request_under_way() {
    let (system, _a, _b) = system().await;
    let mut front_end = front_end("front end", &system.url()).await;
    let mut stream = TcpStream::connect(&front_end.address).await.unwrap();
    let head = http::head("PUT", "/jobs/x", 1, "Expect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // It asks for the body: so the request is under way.
    let mut interim = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    let asked = within("100 Continue", PATIENCE, stream.read_exact(&mut interim));
    asked.await.unwrap().unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{interim:?}");

    front_end.process.send(Signal::TERM).unwrap();
    let stopping = front_end.process.wait_for_line("stopping", PATIENCE);
    stopping.await.unwrap();
    stream.write_all(b"7").await.unwrap();
    let answer = within("the answer", PATIENCE, http::answer(&mut stream));
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    let status = front_end.process.wait_exit(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    let refused = http::put(&front_end.address, "/jobs/y", "7").await;
    assert!(refused.is_err(), "{refused:?}");
}
