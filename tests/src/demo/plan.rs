//! How a demo goes: how long each check is drawn out, in which order what is submitted, and which
//! submissions are made twice. Pure: the same documents and seed give the same plan.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::documents::Document;

/// How many worker processes there are.
pub const WORKERS: usize = 4;
/// Of a hundred documents, how many are submitted twice with the same content.
const SAME_PERCENT: u64 = 5;
/// Of a hundred documents, how many are submitted twice, the second time with other content.
const OTHER_PERCENT: u64 = 3;
/// Below this many jobs a worker has one slot, so that they do not all run at once.
const FEW_JOBS: usize = 100;
/// What the way of a job takes beside the check, about.
const OVERHEAD_MS: u64 = 4;
/// Shortest mean time of a check: long enough to be killed inside it.
const WORK_MS_MIN: u64 = 16;
/// Longest mean time of a check.
const WORK_MS_MAX: u64 = 2_500;
/// A step of submissions holds one of this many parts of the documents.
const STEPS: usize = 100;
/// Most documents of a step.
const STEP_LEN_MAX: usize = 100;
/// Documents that may be submitted before any of them is done: enough to keep all workers busy, and
/// so few that there is work left to hand out for the leader that comes after the killed one.
const AHEAD_MIN: usize = 6;

/// How the workers are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Slots of each worker.
    pub slots: usize,
    /// Shortest extra time of a check, in milliseconds.
    pub work_ms_min: u64,
    /// Longest extra time of a check, in milliseconds.
    pub work_ms_max: u64,
}

impl Pace {
    /// Draws the checks out so that all of them last about `seconds`, one of a market at a time.
    #[must_use]
    pub fn of(documents: &[Document], seconds: u64) -> Self {
        let slots = if documents.len() < FEW_JOBS { 1 } else { 4 };
        let mut markets: BTreeMap<&str, usize> = BTreeMap::new();
        for market in documents.iter().filter_map(|d| d.market.as_deref()) {
            *markets.entry(market).or_default() += 1;
        }
        let longest = markets.values().copied().max().unwrap_or(0);
        let rounds = longest
            .max(documents.len().div_ceil(slots * WORKERS))
            .max(1);
        let mean = seconds * 1_000 / u64::try_from(rounds).unwrap_or(u64::MAX);
        let mean = mean
            .saturating_sub(OVERHEAD_MS)
            .clamp(WORK_MS_MIN, WORK_MS_MAX);
        Self {
            slots,
            work_ms_min: mean / 2,
            work_ms_max: mean + mean / 2,
        }
    }
}

/// One submission to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// Which document.
    pub document: usize,
    /// With which content.
    pub content: Content,
}

/// What is submitted under a document's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The document: for the first time, or again.
    Own,
    /// Another one.
    Other,
}

/// Submissions that may be on their way at once: a repeat is in a later step than its original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// It is sent when at least this many jobs are done, so that submissions go on all the time.
    pub when_done: usize,
    /// What is sent.
    pub sends: Vec<Send>,
}

/// Orders all submissions of these documents.
#[must_use]
pub fn steps(documents: &[Document], seed: u64) -> Vec<Step> {
    let len = (documents.len() / STEPS).clamp(1, STEP_LEN_MAX);
    let last = documents.len().div_ceil(len);
    let mut steps: BTreeMap<usize, Vec<Send>> = BTreeMap::new();
    for (document, at) in documents.iter().zip(0..) {
        let step = at / len;
        let own = Send {
            document: at,
            content: Content::Own,
        };
        steps.entry(step).or_default().push(own);
        let random = Random::new(seed, &document.id);
        // Some follow at once, some long after their original is done.
        let later = step + 1 + random.below("gap", last / 2 + 1);
        if at == 0 || random.below("same", 100) < usize::try_from(SAME_PERCENT).unwrap_or(0) {
            steps.entry(later).or_default().push(own);
        }
        if at == 1 || random.below("other", 100) < usize::try_from(OTHER_PERCENT).unwrap_or(0) {
            let other = Send {
                content: Content::Other,
                ..own
            };
            steps.entry(later).or_default().push(other);
        }
    }
    let ahead = AHEAD_MIN.max(documents.len() * 2 / 5);
    steps
        .into_iter()
        .map(|(step, sends)| Step {
            when_done: (step * len)
                .saturating_sub(ahead)
                .min(documents.len() * 9 / 10),
            sends,
        })
        .collect()
}

/// Numbers out of a seed and an id.
struct Random(DefaultHasher);

impl Random {
    fn new(seed: u64, id: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, id).hash(&mut hasher);
        Self(hasher)
    }

    fn below(&self, what: &str, end: usize) -> usize {
        let mut hasher = self.0.clone();
        what.hash(&mut hasher);
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(hasher.finish() % end).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::{Content, Pace, steps};
    use crate::demo::documents::Document;

    fn documents(count: usize, markets: usize) -> Vec<Document> {
        let document = |at: usize| Document {
            id: format!("INV-{at}"),
            market: Some(format!("M{}", at % markets)),
            xml: Bytes::new(),
            other: Bytes::new(),
            expected: None,
        };
        (0..count).map(document).collect()
    }

    #[test]
    fn every_document_is_submitted_before_it_is_repeated() {
        for (count, some) in [(10, 1), (16, 1), (300, 10), (5_000, 200)] {
            let documents = documents(count, 8);
            let (mut sent, mut same, mut other) = (BTreeSet::new(), 0, 0);
            for step in steps(&documents, 1) {
                let before = sent.clone();
                for send in step.sends {
                    let first = sent.insert(send.document);
                    match send.content {
                        Content::Own if first => {}
                        Content::Own => same += 1,
                        Content::Other => other += 1,
                    }
                    assert!(first || before.contains(&send.document), "{send:?}");
                }
            }
            assert_eq!(sent.len(), count);
            assert!(same >= some && other >= some / 2 && same + other <= 2 + count / 8);
        }
    }

    #[test]
    fn a_step_never_waits_for_jobs_that_it_brings() {
        let documents = documents(5_000, 8);
        let mut sent = BTreeSet::new();
        for step in steps(&documents, 1) {
            assert!(step.when_done <= sent.len());
            sent.extend(step.sends.iter().map(|send| send.document));
        }
    }

    #[test]
    fn checks_are_drawn_out_to_fit() {
        let many = Pace::of(&documents(5_000, 8), 25);
        assert_eq!((many.slots, many.work_ms_min), (4, 18));
        let few = Pace::of(&documents(16, 4), 25);
        assert_eq!((few.slots, few.work_ms_max), (1, 3_750));
        let one = Pace::of(&documents(10, 1), 25);
        assert!(one.work_ms_max * 10 >= 25_000);
    }
}
