//! The documents of a demo: the files of a folder, or made up. It submits nothing.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use invoices::generate::{Expected, Generator, LINES_MAX, Options};
use invoices::ubl;

use super::arguments::Arguments;

/// Fewest jobs of a demo: with less, a share of 20 % to 80 % of the jobs is hardly a moment.
const JOBS_MIN: usize = 10;

/// One document, to be submitted under its own id.
#[derive(Debug, Clone)]
pub struct Document {
    /// The job's id: a file's name without `.xml`, or the made-up document's number.
    pub id: String,
    /// The seller's country, which is the job's key; none where the document cannot be read.
    pub market: Option<String>,
    /// Its bytes.
    pub xml: Bytes,
    /// Another document for the same id, to be refused.
    pub other: Bytes,
    /// What must come of checking it, where that is known.
    pub expected: Option<Expected>,
}

/// All documents of a demo.
#[derive(Debug, Clone)]
pub struct Documents {
    /// Each with its own id.
    pub all: Vec<Document>,
    /// What is to be said about them before the start.
    pub note: String,
}

/// Reads or makes what the arguments ask for.
///
/// # Errors
/// The folder cannot be read or holds no .xml file.
pub fn documents(arguments: &Arguments) -> Result<Documents> {
    match &arguments.invoices {
        Some(folder) => from_folder(folder),
        None => made_up(arguments),
    }
}

fn made_up(arguments: &Arguments) -> Result<Documents> {
    let generator = Generator::new(Options {
        seed: arguments.seed,
        markets: usize::from(arguments.markets),
        lines_max: LINES_MAX,
        wrong_percent: u64::from(arguments.wrong_percent),
    })?;
    let mut all: Vec<Document> = (0..arguments.count)
        .map(|number| {
            let made = generator.document(number);
            Document {
                id: made.id,
                market: Some(made.market.to_string()),
                xml: made.xml.into(),
                other: Bytes::new(),
                expected: Some(made.expected),
            }
        })
        .collect();
    for at in 0..all.len() {
        all[at].other = all[(at + 1) % all.len()].xml.clone();
    }
    let note = format!(
        "{} made-up invoices in {} markets, seed {}, {} % with one amount off",
        arguments.count, arguments.markets, arguments.seed, arguments.wrong_percent
    );
    Ok(Documents { all, note })
}

fn from_folder(folder: &Path) -> Result<Documents> {
    let failed = || format!("read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(failed)? {
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
        folder.display()
    );
    files.sort();
    let originals: Vec<Document> = files.iter().map(|path| read(path)).collect::<Result<_>>()?;
    let ids: BTreeSet<&str> = originals.iter().map(|d| d.id.as_str()).collect();
    ensure!(
        ids.len() == originals.len(),
        "two files of {} differ in the case of .xml alone, which makes them one id; rename one",
        folder.display()
    );
    let copies = JOBS_MIN.div_ceil(originals.len());
    let mut note = format!("{} files of {}", originals.len(), folder.display());
    if copies > 1 {
        note = format!(
            "{note}, submitted {copies} times under derived ids (`<file>~2` and so on): with fewer than {JOBS_MIN} jobs there is no moment between 20 % and 80 % of them"
        );
    }
    let mut all = originals.clone();
    for copy in 2..=copies {
        all.extend(originals.iter().map(|document| Document {
            id: format!("{}~{copy}", document.id),
            ..document.clone()
        }));
    }
    Ok(Documents { all, note })
}

fn read(path: &Path) -> Result<Document> {
    let xml = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut other = xml.clone();
    other.extend_from_slice(b"\n<!-- changed after it was submitted -->\n");
    let id = path.file_stem().unwrap_or_default();
    Ok(Document {
        id: id.to_string_lossy().into_owned(),
        market: ubl::read(&xml)
            .ok()
            .map(|document| document.market.to_string()),
        xml: xml.into(),
        other: other.into(),
        expected: None,
    })
}
