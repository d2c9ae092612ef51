//! A submission by the front door: asked of a coordinator, again while nobody answers.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use protocol::message::SubmitAnswer;
use tokio::time::{sleep, timeout};

use super::request::Prepared;
use super::{Client, SubmitError, Submitted};

/// The pause before a repeat.
const PAUSE: Duration = Duration::from_millis(200);

/// What one request met.
enum Asked {
    Answer(SubmitAnswer),
    Nobody,
    Unanswered(String),
}

pub(super) async fn ask(client: &Client, prepared: &Prepared) -> Result<Submitted, SubmitError> {
    let mut unanswered: Option<String> = None;
    let decided = timeout(client.patience, async {
        loop {
            // The time may end while a request is under way, and that one may still be stored.
            let before = unanswered.replace("a coordinator had not answered yet".to_owned());
            match once(client, prepared).await {
                Asked::Answer(answer) => return read(answer, before.is_some()),
                Asked::Nobody => unanswered = before,
                Asked::Unanswered(why) => unanswered = Some(why),
            }
            sleep(PAUSE).await;
        }
    })
    .await;
    match (decided, unanswered) {
        (Ok(decided), _) => decided,
        (Err(_elapsed), None) => Err(SubmitError::NoCoordinator),
        (Err(_elapsed), Some(why)) => Err(SubmitError::Unknown { why }),
    }
}

async fn once(client: &Client, prepared: &Prepared) -> Asked {
    let request = Request::new()
        .headers(prepared.headers.clone())
        .payload(prepared.payload.clone())
        .timeout(Some(client.broker.timeout()));
    if !client.broker.is_connected() {
        return Asked::Unanswered("there is no connection to the broker".to_owned());
    }
    let connection = client.broker.client();
    match connection
        .send_request(prepared.subject.clone(), request)
        .await
    {
        Ok(message) => match serde_json::from_slice(&message.payload) {
            Ok(answer) => Asked::Answer(answer),
            Err(error) => Asked::Unanswered(format!("its answer could not be read: {error}")),
        },
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Asked::Nobody,
        Err(error) => Asked::Unanswered(format!("the coordinator did not answer: {error}")),
    }
}

fn read(answer: SubmitAnswer, unanswered: bool) -> Result<Submitted, SubmitError> {
    match answer {
        SubmitAnswer::Accepted { accepted } => Ok(Submitted::Accepted { accepted }),
        // Our own first try may be the one that it repeats.
        SubmitAnswer::Duplicate { accepted } if unanswered => Ok(Submitted::Accepted { accepted }),
        SubmitAnswer::Duplicate { accepted } => Ok(Submitted::Duplicate { accepted }),
        SubmitAnswer::Conflict { accepted, differs } => {
            Ok(Submitted::Conflict { accepted, differs })
        }
        SubmitAnswer::Error {
            code,
            message,
            retry,
        } => Err(SubmitError::Rejected {
            code,
            message,
            retry,
        }),
    }
}
