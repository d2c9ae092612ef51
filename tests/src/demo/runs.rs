//! The workers' own logs: a line for each start and each end of a handler, and the runs that they
//! make. It knows nothing of the ledger.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// A line of a worker's log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Nanoseconds since boot.
    pub t: u64,
    /// Which of the two.
    pub event: Event,
    /// The job's id, encoded.
    pub id: String,
    /// Its key.
    pub key: Option<String>,
    /// Its acceptance number.
    pub accepted: u64,
    /// Which try.
    pub attempt: u64,
    /// Which delivery of it.
    pub delivery: u64,
    /// The worker's process.
    pub pid: u32,
}

/// What a line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A handler is about to be called.
    Start,
    /// It ended.
    End,
}

/// One run of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The job's id, encoded.
    pub id: String,
    /// Its key.
    pub key: Option<String>,
    /// Its acceptance number.
    pub accepted: u64,
    /// Which try.
    pub attempt: u64,
    /// The worker's process.
    pub pid: u32,
    /// Nanoseconds since boot.
    pub start: u64,
    /// Nanoseconds since boot; none where the log holds no end.
    pub end: Option<u64>,
}

/// Pairs starts and ends. An end without a start is left out: it cannot overlap with anything.
#[must_use]
pub fn runs(lines: &[Line]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open: HashMap<(u32, u64, u64, u64), usize> = HashMap::new();
    for line in lines {
        let name = (line.pid, line.accepted, line.attempt, line.delivery);
        match line.event {
            Event::Start => {
                open.insert(name, runs.len());
                runs.push(Run {
                    id: line.id.clone(),
                    key: line.key.clone(),
                    accepted: line.accepted,
                    attempt: line.attempt,
                    pid: line.pid,
                    start: line.t,
                    end: None,
                });
            }
            Event::End => {
                if let Some(at) = open.remove(&name) {
                    runs[at].end = Some(line.t);
                }
            }
        }
    }
    runs
}

/// Reads what is new in a log, as often as it is asked.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
}

impl Tail {
    /// From the start of the file at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            offset: 0,
            rest: Vec::new(),
        }
    }

    /// The log's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole lines since the last call.
    ///
    /// # Errors
    /// The file cannot be read, or a line is none of a worker's log.
    pub fn read(&mut self) -> Result<Vec<Line>> {
        let path = self.path.display();
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("open {path}")),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file
            .read_to_end(&mut self.rest)
            .with_context(|| format!("read {path}"))?;
        self.offset += u64::try_from(read)?;
        let whole = self
            .rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line)
                    .with_context(|| format!("{path}: {}", String::from_utf8_lossy(line)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Event, Tail, runs};

    const START: &str = r#"{"t":5,"unix":1,"event":"start","queue":"q","id":"a","kind":"k","key":"DE","accepted":7,"attempt":1,"delivery":1,"worker":"w-1","pid":3}"#;
    const END: &str = r#"{"t":9,"unix":1,"event":"end","queue":"q","id":"a","kind":"k","key":null,"accepted":7,"attempt":1,"delivery":1,"worker":"w-1","pid":3,"end":"completed"}"#;

    #[test]
    fn a_log_is_read_as_it_grows_by_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(path.clone());
        assert_eq!(tail.read().unwrap(), []);
        let mut file = std::fs::File::create(path).unwrap();
        let (first, second) = END.split_at(20);
        writeln!(file, "{START}").unwrap();
        write!(file, "{first}").unwrap();
        let start = tail.read().unwrap();
        assert_eq!(start.len(), 1);
        assert_eq!((start[0].event, start[0].t), (Event::Start, 5));
        writeln!(file, "{second}").unwrap();
        let end = tail.read().unwrap();
        assert_eq!(tail.read().unwrap(), []);
        let both = [start, end].concat();
        let runs = runs(&both);
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].start, runs[0].end), (5, Some(9)));
        assert_eq!(runs[0].key.as_deref(), Some("DE"));
    }

    #[test]
    fn a_run_without_an_end_stays_open() {
        let line = |text| serde_json::from_str(text).unwrap();
        let again = START.replace("\"delivery\":1", "\"delivery\":2");
        let runs = runs(&[line(START), line(&again), line(END)]);
        let ends: Vec<_> = runs.iter().map(|run| run.end).collect();
        assert_eq!(ends, [Some(9), None]);
    }
}
