//! Submits invoices: the files of a folder, or documents that it makes itself. It never checks one:
//! that is the worker's part. It may be run again: what was accepted before is not accepted twice.
#![expect(clippy::print_stdout, reason = "its summary is its result")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use invoices::generate::{Generated, Generator, LINES_MAX, Options};
use invoices::ubl;
use nats_config::Names;
use nats_config::connection::{Connection, ConnectionSettings, Environment};
use protocol::id::Namespace;
use worker_sdk::{Client, SubmitError, SubmitRequest, Submitted};

/// What it submits, and where to.
const KIND: &str = "invoice.check";
const QUEUE: &str = "invoices";
/// How many are made or read, and then submitted, at once.
const CHUNK_LEN: u64 = 500;
/// Refusals that are shown; the rest it counts.
const REFUSED_SHOWN_MAX: usize = 20;

/// Submits invoices to queue `invoices`, each under its own id, no two of one market at a time.
#[derive(Debug, Parser)]
#[command(name = "invoice-submitter", version)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["dir", "generate"]))]
struct Arguments {
    /// NATS servers, separated by commas [default: nats://127.0.0.1:4222]. Credentials come from
    /// the variables of the nats command line, such as NATS_CREDS.
    #[arg(
        short,
        long,
        env = "NATS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    server: Option<String>,
    /// The namespace of the installation.
    #[arg(long, env = "JOBS_NAMESPACE", default_value = "jobs")]
    namespace: Namespace,
    /// Submit through a coordinator instead of writing into the ledger: needs fewer permissions.
    #[arg(long)]
    front_door: bool,
    /// Submit every .xml file of this folder; the file's name without .xml is the id.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Submit this many made-up invoices and credit notes.
    #[arg(long, value_name = "COUNT")]
    generate: Option<u64>,
    /// In how many markets the made-up ones are.
    #[arg(long, value_name = "COUNT", default_value = "8", requires = "generate")]
    markets: usize,
    /// Another seed makes others; the same one makes the same ones again.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "1",
        requires = "generate"
    )]
    seed: u64,
    /// How many of a hundred made-up ones have one amount off.
    #[arg(
        long,
        value_name = "PERCENT",
        default_value = "2",
        requires = "generate"
    )]
    wrong_percent: u64,
}

/// One document on its way.
struct Document {
    id: String,
    /// The seller's country. A file that cannot be read has none: it is submitted all the same, so
    /// that it ends as a dead letter that says why.
    market: Option<String>,
    xml: Vec<u8>,
}

/// What became of all of them.
#[derive(Default)]
struct Summary {
    accepted: u64,
    duplicates: u64,
    conflicts: Vec<String>,
    refused: Vec<String>,
    unreadable: Vec<String>,
    markets: BTreeMap<String, u64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let client = connect(&arguments).await?;
    let mut summary = Summary::default();
    match (&arguments.dir, arguments.generate) {
        (Some(dir), _) => {
            let files = files(dir)?;
            for files in files.chunks(usize::try_from(CHUNK_LEN)?) {
                let documents: Result<Vec<_>> = files.iter().map(|path| read(path)).collect();
                submit(&client, documents?, &mut summary).await;
            }
        }
        (None, count) => {
            let generator = Generator::new(Options {
                seed: arguments.seed,
                markets: arguments.markets,
                lines_max: LINES_MAX,
                wrong_percent: arguments.wrong_percent,
            })?;
            let count = count.unwrap_or(0);
            for first in (0..count).step_by(usize::try_from(CHUNK_LEN)?) {
                let numbers = first..count.min(first + CHUNK_LEN);
                let documents = numbers.map(|number| made(generator.document(number)));
                submit(&client, documents.collect(), &mut summary).await;
            }
        }
    }
    summary.print();
    ensure!(
        summary.refused.is_empty(),
        "{} were not accepted; mend what is said of them, and run the same command again: what was accepted stays accepted once",
        summary.refused.len()
    );
    Ok(())
}

async fn connect(arguments: &Arguments) -> Result<Client> {
    let environment = Environment::of_process();
    let given = ConnectionSettings {
        server: arguments.server.clone().filter(|server| !server.is_empty()),
        ..ConnectionSettings::default()
    };
    let settings = given.or(ConnectionSettings::from_environment(&environment)?);
    let connection = Connection::resolve(&settings, &environment)?;
    let client = connection.connect("invoice-submitter").await?;
    let names = Names::new(arguments.namespace.clone());
    let client = Client::with_broker(connection.broker(client, names));
    Ok(match arguments.front_door {
        true => client.front_door(),
        false => client,
    })
}

/// The .xml files of a folder, in the order of their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("read the folder {}", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let named = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("xml"));
        if named && path.is_file() {
            files.push(path);
        }
    }
    ensure!(
        !files.is_empty(),
        "there is no .xml file in {}; name a folder of UBL invoices",
        dir.display()
    );
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Document> {
    let xml = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let id = path.file_stem().unwrap_or_default();
    Ok(Document {
        id: id.to_string_lossy().into_owned(),
        market: ubl::read(&xml)
            .ok()
            .map(|document| document.market.to_string()),
        xml,
    })
}

fn made(generated: Generated) -> Document {
    Document {
        id: generated.id,
        market: Some(generated.market.to_string()),
        xml: generated.xml,
    }
}

async fn submit(client: &Client, documents: Vec<Document>, summary: &mut Summary) {
    let mut ids = Vec::with_capacity(documents.len());
    let mut requests = Vec::with_capacity(documents.len());
    for document in documents {
        summary.count(&document);
        let id = document.id.clone();
        match request(document) {
            Ok(request) => {
                ids.push(id);
                requests.push(request);
            }
            Err(error) => summary.answer(&id, Err(error)),
        }
    }
    let answers = client.submit_many(requests).await;
    for (id, answer) in ids.iter().zip(answers) {
        summary.answer(id, answer);
    }
}

fn request(document: Document) -> Result<SubmitRequest, SubmitError> {
    let request = SubmitRequest::new(QUEUE, &document.id)?
        .kind(KIND)?
        .payload(document.xml);
    match document.market {
        Some(market) => request.key(&market),
        None => Ok(request),
    }
}

impl Summary {
    fn count(&mut self, document: &Document) {
        match &document.market {
            Some(market) => *self.markets.entry(market.clone()).or_default() += 1,
            None => self.unreadable.push(document.id.clone()),
        }
    }

    fn answer(&mut self, id: &str, answer: Result<Submitted, SubmitError>) {
        match answer {
            Ok(Submitted::Accepted { .. }) => self.accepted += 1,
            Ok(Submitted::Duplicate { .. }) => self.duplicates += 1,
            Ok(Submitted::Conflict { differs, .. }) => {
                self.conflicts.push(format!("{id}: {differs} differs"));
            }
            Err(error) => self.refused.push(format!("{id}: {error}")),
        }
    }

    fn print(&self) {
        println!("accepted            {}", self.accepted);
        println!("accepted before     {}", self.duplicates);
        list("other content under an id accepted before", &self.conflicts);
        list("not accepted", &self.refused);
        list(
            "without a market, since they cannot be read; they will be dead letters that say why",
            &self.unreadable,
        );
        let markets: Vec<String> = self
            .markets
            .iter()
            .map(|(market, count)| format!("{market} {count}"))
            .collect();
        println!("markets             {}", markets.join(", "));
    }
}

/// Prints the first of some; nothing where there are none.
fn list(what: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    println!("{} {what}:", lines.len());
    for line in lines.iter().take(REFUSED_SHOWN_MAX) {
        println!("  {line}");
    }
    if lines.len() > REFUSED_SHOWN_MAX {
        println!("  and {} more", lines.len() - REFUSED_SHOWN_MAX);
    }
}
