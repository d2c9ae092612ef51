//! Replays what was kept: seeds, and every input that once broke something.

use std::fs;
use std::path::Path;

type Target = fn(&[u8]);

/// Every target by its name.
const TARGETS: [(&str, Target); 16] = [
    ("names", fuzz::names),
    ("subjects", fuzz::subjects),
    ("bodies", fuzz::bodies),
    ("submission", fuzz::submission),
    ("answer", fuzz::answer),
    ("fold", fuzz::fold),
    ("coordinator", fuzz::coordinator),
    ("worker", fuzz::worker),
    ("lease", fuzz::lease),
    ("headers", fuzz::headers),
    ("messages", fuzz::messages),
    ("settings", fuzz::settings),
    ("connection", fuzz::connection),
    ("context", fuzz::context),
    ("credentials", fuzz::credentials),
    ("arguments", fuzz::arguments),
];

#[test]
fn nothing_that_was_kept_breaks_anything() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut replayed = 0;
        let mut dispatched = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            target(&bytes);
            if name == "coordinator" {
                dispatched += fuzz::dispatched(&bytes);
            }
            replayed += 1;
        }
        assert!(replayed > 0, "{} holds nothing", folder.display());
        assert!(
            dispatched > 0 || name != "coordinator",
            "no seed comes to lead"
        );
    }
}
