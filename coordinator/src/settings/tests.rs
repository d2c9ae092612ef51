//! Layers, and what is said of a configuration that nothing can run with.

use std::path::PathBuf;

use nats_config::connection::Environment;

use super::{ConfigFile, Layer, LeaseProfile, Provision, RunSettings};

fn loaded(text: &str, flags: Layer) -> Result<RunSettings, String> {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let path = dir.path().join("coordinator.toml");
    std::fs::write(&path, text).expect("the file");
    let settings = RunSettings::load(flags, Some(path), &Environment::default());
    settings.map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    loaded(text, Layer::default()).expect_err("it is wrong")
}

#[test]
fn flags_stand_above_the_file_and_the_file_above_the_defaults() {
    let text = r#"
        name = "c-file"
        window = 64
        lease = "quick"
        [nats]
        server = "file:1"
        timeout = "250ms"
    "#;
    let flags = Layer {
        name: Some("c-flag".parse().unwrap()),
        ..Layer::default()
    };
    let settings = loaded(text, flags).expect("it is right");
    assert_eq!(settings.name.as_str(), "c-flag");
    assert_eq!(settings.window.get(), 64);
    assert_eq!(settings.lease, LeaseProfile::Quick);
    assert_eq!(settings.provision, Provision::Create);
    assert_eq!(settings.replicas.get(), 1);
    assert_eq!(settings.namespace.as_str(), "jobs");
    assert_eq!(settings.connection.server.as_deref(), Some("file:1"));
    let millis = settings.connection.timeout.map(|span| span.as_millis());
    assert_eq!(millis, Some(250));
}

#[test]
fn a_wrong_key_or_value_is_shown_with_its_line() {
    for (text, line, words) in [
        (
            "name = \"a\"\nwidnow = 3",
            "line 2",
            "unknown field `widnow`",
        ),
        (
            "window = 513",
            "line 1",
            "\"513\" is not a window: 1 to 512",
        ),
        ("\nreplicas = 2", "line 2", "1, 3 or 5"),
        (
            "provision = \"maybe\"",
            "line 1",
            "one of create, verify, off",
        ),
        ("ledger_max_bytes = \"1 parsec\"", "line 1", "512MiB"),
        ("namespace = \"A B\"", "line 1", "1 to 32 of a-z"),
        ("name = \"a b\"", "line 1", "1 to 64"),
        ("[nats]\nurl = \"x\"", "line 2", "unknown field `url`"),
        (
            "[nats]\ntimeout = \"5 parsecs\"",
            "line 2",
            "a span of time",
        ),
        ("[nats]\ntlsfirst = 1", "line 2", "expected a boolean"),
        ("window = [1]", "line 1", "a text or a whole number"),
        ("name = ", "line 1", "string values must be quoted"),
    ] {
        let said = refused(text);
        assert!(
            said.contains(line) && said.contains(words),
            "{text}: {said}"
        );
        assert!(said.contains("coordinator.toml"), "{said}");
    }
}

#[test]
fn impossible_relations_name_the_line() {
    let said = refused("provision = \"off\"\n\nreplicas = 3");
    assert!(
        said.contains("provision is off") && said.contains("coordinator.toml:3 sets replicas"),
        "{said}"
    );
    let said = refused("[nats]\n\ntlscert = \"c.pem\"");
    assert!(said.contains("a certificate without its key"), "{said}");
    assert!(
        said.contains("coordinator.toml:3 sets nats.tlscert"),
        "{said}"
    );
    let said = refused("[nats]\nsocks-proxy = \"p:1080\"");
    assert!(
        said.contains("coordinator.toml:2 sets nats.socks-proxy"),
        "{said}"
    );
}

#[test]
fn no_secret_is_shown() {
    let said = refused("[nats]\npassword = [\"hunter2\"]");
    assert!(
        !said.contains("hunter2") && said.contains("line 2"),
        "{said}"
    );
    let said = refused("[nats]\nserver = \"http://ann:hunter2@x\"");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_named_file_must_exist() {
    let missing = PathBuf::from("no-such.toml");
    let said = RunSettings::load(Layer::default(), Some(missing), &Environment::default())
        .expect_err("it does not exist")
        .to_string();
    assert!(
        said.contains("no-such.toml cannot be read") && said.contains("--config"),
        "{said}"
    );
    assert!(ConfigFile::find(None, &Environment::default()).is_ok());
}
