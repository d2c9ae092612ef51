//! Submits what the plan says, step by step, and notes what it was told.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::watch;
use worker_sdk::{Client, SubmitError, SubmitRequest, Submitted};

use super::documents::Document;
use super::evidence::{Sent, Told};
use super::plan::{Content, Send, Step};
use super::records::content;

/// Where the example worker takes its jobs.
pub const QUEUE: &str = "invoices";
/// What it handles.
const KIND: &str = "invoice.check";

/// What is submitted how.
#[derive(Debug, Clone)]
pub struct Submitter {
    /// The way to the ledger.
    pub client: Client,
    /// The documents that the steps name.
    pub documents: Arc<Vec<Document>>,
    /// How many jobs are done: the pace.
    pub done: watch::Receiver<usize>,
    /// How many submissions were answered, for the display.
    pub answered: watch::Sender<usize>,
}

impl Submitter {
    /// Makes all submissions, each step when its moment has come.
    ///
    /// # Errors
    /// A document's id or market is none that a job may have.
    pub async fn submit(mut self, steps: Vec<Step>) -> Result<Vec<Sent>> {
        let mut sent = Vec::new();
        for step in steps {
            // When nobody tells any more how much is done, the demo is over.
            let reached = self.done.wait_for(|done| *done >= step.when_done).await;
            if reached.map(drop).is_err() {
                break;
            }
            let requests: Vec<SubmitRequest> = step
                .sends
                .iter()
                .map(|send| self.request(*send))
                .collect::<Result<_>>()?;
            let notes: Vec<(String, u64)> = step
                .sends
                .iter()
                .zip(&requests)
                .map(|(send, request)| (request.id().to_string(), content(self.bytes(*send))))
                .collect();
            let answers = self.client.submit_many(requests).await;
            for ((id, content), answer) in notes.into_iter().zip(answers) {
                let told = told(answer);
                sent.push(Sent { id, content, told });
            }
            self.answered.send_replace(sent.len());
        }
        Ok(sent)
    }

    fn bytes(&self, send: Send) -> &bytes::Bytes {
        let document = &self.documents[send.document];
        match send.content {
            Content::Own => &document.xml,
            Content::Other => &document.other,
        }
    }

    fn request(&self, send: Send) -> Result<SubmitRequest> {
        let document = &self.documents[send.document];
        let request = || -> Result<SubmitRequest, SubmitError> {
            let request = SubmitRequest::new(QUEUE, &document.id)?
                .kind(KIND)?
                .payload(self.bytes(send).clone());
            match &document.market {
                Some(market) => request.key(market),
                None => Ok(request),
            }
        };
        request().with_context(|| format!("submit {}", document.id))
    }
}

fn told(answer: Result<Submitted, SubmitError>) -> Told {
    match answer {
        Ok(Submitted::Accepted { .. }) => Told::Accepted,
        Ok(Submitted::Duplicate { .. }) => Told::Duplicate,
        Ok(Submitted::Conflict { .. }) => Told::Conflict,
        Err(error) => Told::Failed(error.to_string()),
    }
}
