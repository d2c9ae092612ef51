//! What a foreign hand has altered on the broker, and when: a coordinator that is started meanwhile
//! is right to end with an error that names it. It alters nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::runs;

/// How the coordinator says that it does not run on what it found.
const ENDS_WITH: &str = "coordinator: altered on the broker: ";

/// All alterations of a run.
#[derive(Debug, Clone, Default)]
pub struct Alterations(Arc<Mutex<Vec<Alteration>>>);

#[derive(Debug)]
struct Alteration {
    /// As the coordinator names it.
    words: String,
    /// From, since boot.
    from: Duration,
    /// Until it was certainly undone, since boot.
    until: Option<Duration>,
}

impl Alterations {
    /// From now on a field of a stream, named as in the JSON of the server, is not as it should be.
    /// Returns its place, for [`Alterations::end`].
    #[must_use]
    pub fn begin(&self, stream: &str, field: &str) -> usize {
        let mut all = self.all();
        all.push(Alteration {
            words: format!("stream {stream}: {field} is "),
            from: runs::now(),
            until: None,
        });
        all.len() - 1
    }

    /// It is as it should be again.
    pub fn end(&self, place: usize) {
        if let Some(one) = self.all().get_mut(place) {
            one.until = Some(runs::now());
        }
    }

    /// Whether a process that ran from `started` to `ended`, since boot, and said these lines, ended
    /// for an alteration of that time.
    #[must_use]
    pub fn explain<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a str>,
        (started, ended): (Duration, Duration),
    ) -> bool {
        let said = |line: &&str| line.starts_with(ENDS_WITH);
        let Some(error) = lines.into_iter().find(said) else {
            return false;
        };
        self.all().iter().any(|one| {
            let ran = one.from <= ended && one.until.is_none_or(|until| started <= until);
            ran && error.contains(&one.words)
        })
    }

    fn all(&self) -> MutexGuard<'_, Vec<Alteration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Alterations, Duration, runs};

    const ERROR: &str = "coordinator: altered on the broker: stream WORK: allow_atomic is false, \
                         should be true; set it back with `nats stream edit`";
    const LATER: Duration = Duration::from_secs(3_600);

    #[test]
    fn an_end_is_explained_by_the_alteration_that_it_names() {
        let all = Alterations::default();
        let before = runs::now();
        assert!(!all.explain([ERROR], (before, runs::now())));
        let place = all.begin("WORK", "allow_atomic");
        assert!(all.explain(["started", ERROR], (before, runs::now())));
        all.end(place);
        assert!(all.explain([ERROR], (before, runs::now() + LATER)));
    }

    #[test]
    fn another_time_another_field_or_other_words_explain_nothing() {
        let all = Alterations::default();
        let before = runs::now();
        let place = all.begin("JOBS", "allow_rollup_hdrs");
        assert!(!all.explain([ERROR], (before, runs::now())));
        all.end(place);
        let place = all.begin("WORK", "allow_atomic");
        all.end(place);
        assert!(!all.explain([ERROR], (runs::now() + LATER, runs::now() + LATER * 2)));
        assert!(!all.explain([ERROR], (Duration::ZERO, Duration::from_nanos(1))));
        let alarm = "WARN altered on the broker: stream WORK: allow_atomic is false";
        assert!(!all.explain(
            [alarm, "coordinator: the disk is full"],
            (before, runs::now())
        ));
    }
}
