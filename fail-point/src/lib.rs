//! Named places in a program at which a test kills, stops or delays it, and counts how often it came
//! there. Programs have them only when they are built with the feature `fail-points`; without it
//! nothing of this crate is compiled into them.
//!
//! Two variables of the environment say what happens:
//! * `FAIL_POINT=coordinator.fence-after=kill`: at the first visit the process sends itself SIGKILL;
//!   `=stop` SIGSTOP; `=pause` keeps the thread for [`PAUSE`].
//! * `FAIL_POINT_LOG=<file>`: each point's 1st, 2nd, 4th, 8th … visit is written there as
//!   `<point> <count>`.
//!
//! It never changes what a program decides: it can only end or delay it, as any machine can.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// How long a thread stands still at a point that pauses it.
pub const PAUSE: Duration = Duration::from_millis(700);

/// Every point, in the order in which a job meets them.
pub const ALL: [&str; 38] = [
    "coordinator.election-campaign",
    "coordinator.election-heard",
    "coordinator.look-before",
    "coordinator.look-after",
    "coordinator.fence-before",
    "coordinator.fence-record",
    "coordinator.fence-after",
    "coordinator.list-before",
    "coordinator.list-after",
    "coordinator.barrier-before",
    "coordinator.barrier-after",
    "coordinator.purge-before",
    "coordinator.purge-after",
    "coordinator.fold-before",
    "coordinator.dispatch-before",
    "coordinator.dispatch-after",
    "coordinator.dispatch-answered",
    "coordinator.record-before",
    "coordinator.record-after",
    "coordinator.rescue-before",
    "coordinator.rescue-after",
    "coordinator.door-look",
    "coordinator.leave-before",
    "coordinator.leave-after",
    "worker.pull-after",
    "worker.announce-before",
    "worker.announce-after",
    "worker.lookup-before",
    "worker.handler-before",
    "worker.handler-after",
    "worker.outcome-before",
    "worker.outcome-after",
    "worker.outcome-answered",
    "worker.ack-before",
    "worker.ack-after",
    "worker.nak-before",
    "worker.progress-before",
    "worker.progress-after",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Stop,
    Pause,
}

struct Points {
    /// Where something is to happen once.
    armed: Option<(String, Action)>,
    log: Option<File>,
    visits: HashMap<&'static str, u64>,
}

static POINTS: LazyLock<Mutex<Points>> = LazyLock::new(|| {
    let log = std::env::var_os("FAIL_POINT_LOG").map(|path| {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        opened.unwrap_or_else(|error| panic!("open {} for the visits: {error}", path.display()))
    });
    let armed = std::env::var("FAIL_POINT").ok().map(|text| armed(&text));
    Mutex::new(Points {
        armed,
        log,
        visits: HashMap::new(),
    })
});

fn armed(text: &str) -> (String, Action) {
    let (point, action) = text.split_once('=').unwrap_or((text, ""));
    let action = match action {
        "kill" => Action::Kill,
        "stop" => Action::Stop,
        "pause" => Action::Pause,
        _ => panic!("FAIL_POINT is `{text}`: it must be <point>=kill, =stop or =pause"),
    };
    assert!(
        ALL.contains(&point),
        "FAIL_POINT names `{point}`, which is none of {ALL:?}"
    );
    (point.to_owned(), action)
}

/// The program comes to `point`.
///
/// # Panics
/// When there is no such point, or a variable of the environment is wrong.
pub fn visit(point: &'static str) {
    assert!(ALL.contains(&point), "no fail point is called `{point}`");
    let action = {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        points.count(point);
        match &points.armed {
            Some((armed, _)) if armed == point => points.armed.take(),
            _ => None,
        }
    };
    if let Some((_, action)) = action {
        tracing::warn!(point, ?action, "fail point");
        act(action);
    }
}

impl Points {
    fn count(&mut self, point: &'static str) {
        let count = self.visits.entry(point).or_default();
        *count += 1;
        if count.is_power_of_two()
            && let Some(log) = &mut self.log
            // In one write, so that a kill tears no line.
            && let Err(error) = log.write_all(format!("{point} {count}\n").as_bytes())
        {
            panic!("write down a visit: {error}");
        }
    }
}

fn act(action: Action) {
    let signal = match action {
        Action::Kill => Signal::KILL,
        Action::Stop => Signal::STOP,
        Action::Pause => return stand_still(),
    };
    if let Err(error) = kill_process(getpid(), signal) {
        panic!("send {signal:?} to this process: {error}");
    }
    if action == Action::Kill {
        stand_still();
    }
}

fn stand_still() {
    // A thread that is unparked before its time would go on; nobody unparks this one on purpose.
    let (_open, waiting) = std::sync::mpsc::channel::<()>();
    waiting.recv_timeout(PAUSE).ok();
}

#[cfg(test)]
mod tests {
    use super::{ALL, Action, armed};

    #[test]
    fn a_point_is_armed_by_its_name() {
        let (point, action) = armed("coordinator.fence-after=kill");
        assert_eq!(
            (point.as_str(), action),
            ("coordinator.fence-after", Action::Kill)
        );
        assert_eq!(armed("worker.ack-before=stop").1, Action::Stop);
        assert_eq!(armed("worker.ack-before=pause").1, Action::Pause);
    }

    #[test]
    #[should_panic(expected = "none of")]
    fn a_name_that_is_none_is_said() {
        armed("coordinator.nowhere=kill");
    }

    #[test]
    fn names_are_there_once() {
        let names: std::collections::BTreeSet<&str> = ALL.into_iter().collect();
        assert_eq!(names.len(), ALL.len());
    }
}
