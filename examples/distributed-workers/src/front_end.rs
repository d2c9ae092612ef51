//! The HTTP side of a front end: a request becomes a submission or a question, and its answer a status.
//! It keeps nothing: whatever it has said yes to stands in the ledger.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use worker_sdk::protocol::message::JobView;
use worker_sdk::{Client, ClientError, SubmitError, Submitted};

use crate::{Multiply, QUEUE};

/// Requests that one front end has under way at the broker at a time.
pub const UNDER_WAY_MAX: usize = 1_024;
/// Bytes of a body: a number has ten digits at most.
const BODY_LEN_MAX: usize = 64;
/// After how many seconds a client may ask again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What all requests share.
#[derive(Clone)]
struct FrontEnd {
    client: Client,
    places: Arc<Semaphore>,
}

/// The paths of a front end: `PUT` and `GET` of `/jobs/<id>`.
///
/// ```no_run
/// # async fn serve(client: worker_sdk::Client) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, distributed_workers::front_end::router(client)).await
/// # }
/// ```
pub fn router(client: Client) -> Router {
    let front_end = FrontEnd {
        client,
        places: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
    };
    Router::new()
        // An id may hold slashes.
        .route("/jobs/{*id}", get(show).put(submit))
        .route("/jobs/", get(without_id).put(without_id))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(front_end)
}

/// Answers once the broker has stored the job, and not before.
async fn submit(
    State(front_end): State<FrontEnd>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let job = match read(&body) {
        Ok(job) => job,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    let Ok(_place) = front_end.places.try_acquire() else {
        return crowded();
    };
    match front_end.client.submit(QUEUE, &id, &job).await {
        Ok(submitted) => settled(&id, &submitted),
        Err(error) => not_submitted(&id, &error),
    }
}

/// Any coordinator knows where a job stands.
async fn show(State(front_end): State<FrontEnd>, Path(id): Path<String>) -> Response {
    let Ok(_place) = front_end.places.try_acquire() else {
        return crowded();
    };
    match front_end.client.status(QUEUE, &id).await {
        Ok(Some(view)) => Json(Shown::of(id, view)).into_response(),
        Ok(None) => refusal(StatusCode::NOT_FOUND, "nobody has put a job under this id"),
        Err(error) => not_shown(&error),
    }
}

async fn without_id() -> Response {
    refusal(StatusCode::BAD_REQUEST, "the id is missing: /jobs/<id>")
}

/// A body is one number in decimal digits.
fn read(body: &[u8]) -> Result<Multiply, String> {
    let text = std::str::from_utf8(body).map(str::trim);
    let n = text.ok().and_then(|text| text.parse().ok());
    n.map(|n| Multiply { n }).ok_or_else(|| {
        let (shown, max) = (String::from_utf8_lossy(body), u32::MAX);
        format!("the body is {shown:?}; it must be a whole number from 0 to {max}")
    })
}

fn settled(id: &str, submitted: &Submitted) -> Response {
    let accepted = submitted.accepted().get();
    let known = json!({"id": id, "accepted": accepted});
    match submitted {
        Submitted::Accepted { .. } => (StatusCode::CREATED, Json(known)).into_response(),
        Submitted::Duplicate { .. } => Json(known).into_response(),
        Submitted::Conflict { differs, .. } => {
            let why = format!("another job has this id: {differs} differs");
            refusal(StatusCode::CONFLICT, &why)
        }
    }
}

fn not_submitted(id: &str, error: &SubmitError) -> Response {
    let status = match error {
        SubmitError::Name(_) | SubmitError::Submission(_) | SubmitError::Encode(_) => {
            StatusCode::BAD_REQUEST
        }
        SubmitError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        SubmitError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
        other if other.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    };
    if status.is_server_error() {
        tracing::warn!(job_id = id, %error, "not accepted");
    }
    again_or_not(status, &error.to_string(), error.is_retryable())
}

fn not_shown(error: &ClientError) -> Response {
    let status = match error {
        ClientError::Name(_) => StatusCode::BAD_REQUEST,
        ClientError::UnknownJob { .. } => StatusCode::NOT_FOUND,
        other if other.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    };
    again_or_not(status, &error.to_string(), error.is_retryable())
}

fn crowded() -> Response {
    let why = format!("{UNDER_WAY_MAX} requests are under way; send it again");
    again(StatusCode::SERVICE_UNAVAILABLE, &why)
}

fn again_or_not(status: StatusCode, why: &str, is_retryable: bool) -> Response {
    match is_retryable {
        true => again(status, why),
        false => refusal(status, why),
    }
}

/// The same request may succeed later, and never makes a second job.
fn again(status: StatusCode, why: &str) -> Response {
    let mut response = refusal(status, why);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

/// What a client sees of a job.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    /// Such as `available`, `dispatched`, `retryable` or `completed`.
    state: &'static str,
    /// The last attempt that has an outcome; 0 for none.
    attempt: u64,
    /// The product, once it is there.
    #[serde(skip_serializing_if = "Value::is_null")]
    result: Value,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Shown {
    fn of(id: String, view: JobView) -> Self {
        Self {
            id,
            state: view.phase.as_str(),
            attempt: view.attempt.get(),
            result: view.outcome.map(|it| it.result).unwrap_or_default(),
            error: view.error.map(|it| format!("{}: {}", it.code, it.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{StatusCode, header};
    use worker_sdk::SubmitError;

    use super::{Multiply, not_submitted, read};

    #[test]
    fn a_body_is_one_number() {
        for (body, n) in [("0", 0), (" 12\n", 12), ("4294967295", u32::MAX)] {
            assert_eq!(read(body.as_bytes()), Ok(Multiply { n }));
        }
        for body in ["", "-1", "1.5", "4294967296", "1 2", "\u{e9}"] {
            let why = read(body.as_bytes()).unwrap_err();
            assert!(why.contains("whole number"), "{why}");
        }
        assert!(read(b"\xff").is_err());
    }

    #[test]
    fn who_may_ask_again_is_told_so() {
        let text = || "why".to_owned();
        let refused = SubmitError::Refused {
            code: 1,
            text: text(),
        };
        for (error, status, again) in [
            (SubmitError::Encode(text()), 400, false),
            (SubmitError::TooLarge { len: 2, len_max: 1 }, 413, false),
            (refused, 502, false),
            (SubmitError::Full { text: text() }, 507, true),
            (SubmitError::DoorClosed, 503, true),
            (SubmitError::NoCoordinator, 503, true),
            (SubmitError::Unavailable { why: text() }, 503, true),
            (SubmitError::Unknown { why: text() }, 503, true),
        ] {
            let response = not_submitted("x", &error);
            assert_eq!(response.status(), StatusCode::from_u16(status).unwrap());
            let told = response.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(told, again, "{error}");
        }
    }
}
