//! What settings, environment and context files make together, and what is said when they are
//! wrong. No server.

use std::fs;
use std::time::Duration;

use async_nats::ServerError;
use tempfile::TempDir;

use super::{Connection, ConnectionSettings, ContextChoice, Environment, Secret};

const SEED: &str = "SUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM";
const NO_SECRET: &str = "hunter2";

/// A directory with contexts, and an environment that points to it.
fn home(contexts: &[(&str, &str)], selected: &str) -> (TempDir, Environment) {
    let dir = TempDir::new().expect("a temporary folder");
    let nats = dir.path().join("nats");
    fs::create_dir_all(nats.join("context")).expect("the context folder");
    for (name, body) in contexts {
        fs::write(nats.join("context").join(format!("{name}.json")), body).expect("a context");
    }
    if !selected.is_empty() {
        fs::write(nats.join("context.txt"), selected).expect("the selection");
    }
    let path = dir.path().to_str().expect("a UTF-8 path");
    let env = Environment::of([
        ("XDG_CONFIG_HOME", path),
        ("HOME", path),
        ("SECRET", NO_SECRET),
    ]);
    (dir, env)
}

fn named(context: &str) -> ConnectionSettings {
    ConnectionSettings {
        context: Some(ContextChoice::Named(context.into())),
        ..ConnectionSettings::default()
    }
}

fn set(change: impl FnOnce(&mut ConnectionSettings)) -> ConnectionSettings {
    let mut settings = ConnectionSettings::default();
    change(&mut settings);
    settings
}

/// What is said of these settings, which must be refused on the way to a connection.
fn refusal(settings: &ConnectionSettings, env: &Environment) -> String {
    let options = Connection::resolve(settings, env).and_then(|found| found.options());
    let text = options.expect_err("the settings are wrong").to_string();
    assert!(!text.contains(NO_SECRET), "a secret is shown: {text}");
    text
}

fn described(settings: &ConnectionSettings, env: &Environment) -> String {
    let found = Connection::resolve(settings, env).expect("the settings are right");
    found.options().expect("the files are right");
    let debug = format!("{found:?} {settings:?}");
    assert!(!debug.contains(NO_SECRET), "a secret is shown: {debug}");
    found.describe()
}

#[test]
fn the_default_is_the_local_server_without_context() {
    let (_dir, env) = home(&[("x", r#"{"url":"nats://x:1"}"#)], "x");
    assert_eq!(
        described(&ConnectionSettings::default(), &env),
        "nats://127.0.0.1:4222 (no context; no credentials)"
    );
}

#[test]
fn the_selected_context_is_used_when_asked_for() {
    let body = r#"{"description":"d","url":"nats://x:1,y:2","token":"hunter2","color_scheme":"red","future":[1]}"#;
    let (_dir, env) = home(&[("prod", body)], "prod\n");
    let selected = set(|s| s.context = Some(ContextChoice::Selected));
    let text = described(&selected, &env);
    assert!(
        text.starts_with("nats://x:1,nats://y:2 (context `prod`"),
        "{text}"
    );
    assert!(
        text.contains("token from field `token` of context `prod`"),
        "{text}"
    );
    let (_dir, env) = home(&[], "");
    assert!(described(&selected, &env).contains("no context"));
}

#[test]
fn a_flag_overrides_its_field_and_leaves_the_rest() {
    let body = r#"{"url":"nats://x:1","user":"ann","password":"hunter2"}"#;
    let (_dir, env) = home(&[("prod", body)], "");
    let mut settings = named("prod");
    settings.server = Some("other:9".into());
    let text = described(&settings, &env);
    assert!(text.starts_with("nats://other:9 "), "{text}");
    assert!(text.contains("user from field `user`"), "{text}");
}

#[test]
fn user_then_creds_then_nkey_then_jwt_and_a_token_beside() {
    let (dir, env) = home(&[], "");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(path("u.nk"), format!("# a user\n{SEED}\n")).expect("the seed");
    fs::write(path("u.creds"), super::auth::creds_text("jwt", SEED)).expect("the creds");
    let mut settings = set(|s| {
        s.user = Some("ann".into());
        s.password = Some(Secret::new(NO_SECRET));
        s.token = Some(Secret::new(NO_SECRET));
        s.creds = Some("~/u.creds".into());
        s.nkey = Some("$XDG_CONFIG_HOME/u.nk".into());
        s.jwt = Some(Secret::new("jwt"));
        s.seed = Some(Secret::new(SEED));
    });
    let check = |settings: &ConnectionSettings, way: &str| {
        let text = described(settings, &env);
        assert!(text.contains(way), "{way}: {text}");
        assert!(text.contains("token from --token or NATS_TOKEN"), "{text}");
    };
    check(&settings, "user from --user");
    settings.user = None;
    settings.password = None;
    check(&settings, "creds file");
    settings.creds = None;
    check(&settings, "nkey file");
    settings.nkey = None;
    check(&settings, "JWT from --jwt");
    settings.seed = None;
    check(&settings, "JWT from --jwt");
}

#[test]
fn a_user_without_a_password_is_a_token() {
    let env = Environment::of([("NATS_USER", "t0ken")]);
    let settings = ConnectionSettings::from_environment(&env).expect("it is read");
    assert!(described(&settings, &env).contains("(no context; token from --token"));
    let both = set(|s| {
        s.user = Some("a".into());
        s.token = Some(Secret::new("b"));
    });
    assert!(refusal(&both, &env).contains("a user without a password is a token"));
}

#[test]
fn an_address_with_a_user_is_taken_apart() {
    let env = Environment::default();
    let settings = set(|s| s.server = Some("nats://ann:p%40ss@x:1, y:2".into()));
    let text = described(&settings, &env);
    assert_eq!(
        text,
        "nats://x:1,nats://y:2 (no context; user from the server's address (-s, NATS_URL or the context's url))"
    );
    let two = set(|s| s.server = Some("nats://a:hunter2@x,nats://b:hunter2@y".into()));
    assert!(refusal(&two, &env).contains("different users"));
}

#[test]
fn a_password_alone_in_an_address_is_refused_and_not_shown() {
    let (_dir, env) = home(&[], "");
    let settings = set(|s| s.server = Some(format!("nats://:{NO_SECRET}@localhost")));
    assert!(refusal(&settings, &env).contains("a password without a user"));
}

#[test]
fn creds_may_be_uris() {
    let text = super::auth::creds_text("jwt", SEED);
    let env = Environment::of([("CREDS", &text)]);
    let given = |uri: &str| set(|s| s.creds = Some(uri.into()));
    assert!(described(&given("env://CREDS"), &env).contains("variable CREDS"));
    let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    described(&given(&format!("data:,{percent}")), &env);
    let (dir, env) = home(&[], "");
    fs::write(dir.path().join("a.creds"), &text).expect("the creds");
    described(&given("file://~/a.creds"), &env);
    described(
        &given(dir.path().join("a.creds").to_str().expect("UTF-8")),
        &env,
    );
    for (uri, words) in [
        ("op://vault/item", "1Password are not supported"),
        ("nsc://operator/account/user", "nsc are not supported"),
        ("env://NOT_SET", "NOT_SET, which is not set"),
        ("env://SECRET", "holds no credentials"),
        ("data:;base64,!!", "data: URI cannot be read"),
        ("data:,hunter2", "holds no credentials"),
        ("/nowhere/x.creds", "/nowhere/x.creds cannot be read"),
    ] {
        let said = refusal(&given(uri), &env);
        assert!(
            said.contains(words) && said.contains("--creds or NATS_CREDS"),
            "{uri}: {said}"
        );
    }
}

#[test]
fn base64_of_creds_is_read() {
    // The text `jobs` and a seed of the same form, as `base64 -w0` writes them.
    let place = super::resolved::Placed::new(Secret::new("data:;base64,am9icw=="), "here");
    let read = super::uri::secret_uri(place, &Environment::default()).expect("it is read");
    assert_eq!(read.value.reveal(), "jobs");
}

#[test]
fn a_wrong_context_is_named_with_what_there_is() {
    let (_dir, env) = home(
        &[
            ("prod", "{}"),
            ("test", "{}"),
            ("broken", r#"{"password": "hunter2" "url":"x"}"#),
            ("typed", r#"{"password": ["hunter2"]}"#),
            ("nsc", r#"{"nsc":"nsc://o/a/u"}"#),
            ("proxy", r#"{"socks_proxy":"p:1080"}"#),
            ("half", r#"{"cert":"~/c.pem"}"#),
            ("creds", r#"{"creds":"~/no.creds"}"#),
        ],
        "gone",
    );
    for (context, words) in [
        ("prd", "there is no context `prd`"),
        ("prd", "prod, proxy, test"),
        ("../prod", "no name of a context"),
        ("broken", "not a JSON object of texts (line 1, column"),
        ("typed", "not a JSON object"),
        ("nsc", "field `nsc` of context `nsc`"),
        ("proxy", "field `socks_proxy` of context `proxy`"),
        ("half", "a certificate without its key"),
        ("creds", "field `creds` of context `creds`"),
        ("/nowhere/x.json", "/nowhere/x.json cannot be read"),
    ] {
        let said = refusal(&named(context), &env);
        assert!(said.contains(words), "{context}: {said}");
    }
    let said = refusal(&set(|s| s.context = Some(ContextChoice::Selected)), &env);
    assert!(
        said.contains("context.txt: there is no context `gone`"),
        "{said}"
    );
}

#[test]
fn a_context_may_be_a_path() {
    let (dir, env) = home(&[("prod", r#"{"url":"x:1"}"#)], "");
    let path = dir.path().join("nats/context/prod.json");
    let text = described(&named(path.to_str().expect("UTF-8")), &env);
    assert!(text.starts_with("nats://x:1 (context /"), "{text}");
}

#[test]
fn impossible_settings_are_named() {
    let env = Environment::default();
    let check = |words: &str, change: fn(&mut ConnectionSettings)| {
        let said = refusal(&set(change), &env);
        assert!(said.contains(words), "{words}: {said}");
    };
    check("no address of a server", |s| {
        s.server = Some("http://x:80".into())
    });
    check("no address of a server", |s| s.server = Some(" , ".into()));
    check("\"x:99999\" is no address", |s| {
        s.server = Some("nats://u:hunter2@x:99999".into());
    });
    check("websocket", |s| s.server = Some("ws://x".into()));
    check("SOCKS proxy are not supported", |s| {
        s.socks_proxy = Some("p:1".into())
    });
    check("a password without a user", |s| {
        s.password = Some(Secret::new(NO_SECRET))
    });
    check("a seed without the JWT", |s| {
        s.seed = Some(Secret::new(NO_SECRET))
    });
    check("holds no nkey seed", |s| {
        s.jwt = Some(Secret::new("a"));
        s.seed = Some(Secret::new(NO_SECRET));
    });
    check("a key without its certificate", |s| {
        s.tls_key = Some("k".into())
    });
    check("--tlsca or NATS_CA: no.pem cannot be read", |s| {
        s.tls_ca = Some("no.pem".into())
    });
    check("--timeout or NATS_TIMEOUT: it is 0", |s| {
        s.timeout = Some(Duration::ZERO)
    });
    check("cannot begin a subject", |s| {
        s.inbox_prefix = Some("a b".into())
    });
    check("cannot begin a subject", |s| {
        s.js_domain = Some("a.>".into())
    });
    check("exclude each other", |s| {
        s.js_domain = Some("hub".into());
        s.js_api_prefix = Some("$JS.hub.API".into());
    });
}

#[test]
fn the_environment_is_read_as_natscli_reads_it() {
    let env = Environment::of([
        ("NATS_URL", "x:1"),
        ("NATS_CREDS", ""),
        ("NATS_TIMEOUT", "250ms"),
        ("NATS_CONTEXT", "prod"),
    ]);
    let settings = ConnectionSettings::from_environment(&env).expect("it is read");
    assert_eq!(settings.server.as_deref(), Some("x:1"));
    assert_eq!(settings.creds, None);
    assert_eq!(settings.timeout, Some(Duration::from_millis(250)));
    assert_eq!(settings.context, Some(ContextChoice::Named("prod".into())));
    let bad = ConnectionSettings::from_environment(&Environment::of([("NATS_TIMEOUT", "soon")]));
    assert!(
        bad.expect_err("no span")
            .to_string()
            .contains("NATS_TIMEOUT")
    );
}

#[test]
fn a_domain_is_an_api_prefix() {
    let settings = set(|s| s.js_domain = Some("hub".into()));
    let found = Connection::resolve(&settings, &Environment::default()).expect("it resolves");
    assert_eq!(found.api_prefix(), Some("$JS.hub.API"));
}

#[test]
fn a_right_that_ends_is_a_refusal_of_the_credentials() {
    let settings = set(|settings| settings.token = Some("t".to_owned().into()));
    let (_dir, env) = home(&[], "");
    let found = Connection::resolve(&settings, &env).expect("the settings are right");
    let said = |words: &str| found.turned_out(&ServerError::Other(words.to_owned()));
    for words in ["User Authentication Expired", "User Authentication Revoked"] {
        let refusal = said(words)
            .expect("it is about the credentials")
            .to_string();
        let wanted = ["refused the credentials", words, "--creds", "NATS_TOKEN"];
        assert!(
            wanted.iter().all(|word| refusal.contains(word)),
            "{refusal}"
        );
    }
    assert!(said("Permissions Violation for Publish to \"x\"").is_none());
}
