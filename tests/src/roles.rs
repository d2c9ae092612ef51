//! The other modes of these tests. `ROLES=1`: every server knows the users of `permissions.conf` and
//! one more for the test itself, every program connects as the user of its role, and a test fails
//! when a server refused somebody something. `ROLES=accounts`: the same with `accounts.conf`.
//!
//! It never grants anything: what a role may do stands in `nats-config`.

use std::sync::LazyLock;

use async_nats::ConnectOptions;
use nats_config::accounts::accounts_conf;
use nats_config::connection::{ConnectionSettings, Secret};
use nats_config::roles::permissions_conf;
use nats_config::{Names, Role, Zone};
use serde_json::json;

/// The user of the test itself, who may do everything.
const TEST_USER: &str = "test";

/// Where the list of users begins.
const USERS: &str = "users: [\n";

/// What a server writes when it refuses a subject or a user.
const REFUSALS: [&str; 4] = [
    "Publish Violation",
    "Subscription Violation",
    "authentication error",
    "authorization error",
];

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Everybody may do everything.
    Open,
    /// One account, a user for each role.
    OneAccount,
    /// Accounts of their own.
    Accounts,
}

fn mode() -> Mode {
    static MODE: LazyLock<Mode> = LazyLock::new(|| match std::env::var("ROLES").as_deref() {
        Ok("1") => Mode::OneAccount,
        Ok("accounts") => Mode::Accounts,
        _ => Mode::Open,
    });
    *MODE
}

/// Whether there are roles.
#[must_use]
pub fn on() -> bool {
    mode() != Mode::Open
}

/// The prefix of the JetStream API for connections of this role; `None` is the test itself.
#[must_use]
pub fn api_prefix(role: Option<Role>) -> String {
    let zone = match (mode(), role) {
        (Mode::Accounts, Some(role)) => Zone::of(role),
        (Mode::Accounts, None) | (Mode::OneAccount | Mode::Open, _) => Zone::Core,
    };
    zone.api_prefix(&Names::default())
}

/// The account of the streams: its name stands in the paths of a server's store.
#[must_use]
pub fn account() -> &'static str {
    match mode() {
        Mode::Open | Mode::OneAccount => "$G",
        Mode::Accounts => Zone::Core.name(),
    }
}

/// What a server's configuration gets: all users with their passwords. Nothing in the normal mode.
///
/// # Panics
/// When `permissions.conf` has no list of users.
#[must_use]
pub fn server_config() -> String {
    let mut text = match mode() {
        Mode::Open => return String::new(),
        Mode::OneAccount => permissions_conf(&Names::default()),
        Mode::Accounts => accounts_conf(&Names::default()),
    };
    for role in Role::ALL {
        let variable = format!("${}", role.password_variable());
        text = text.replace(&variable, &password(Some(role)));
    }
    assert!(text.contains(USERS), "no list of users in\n{text}");
    let test = format!(
        "{USERS}    {{ user: {TEST_USER}, password: {} }}\n",
        password(None)
    );
    text.replacen(USERS, &test, 1)
}

/// The options of a connection as this role; `None` is the test itself.
#[must_use]
pub fn connect_options(role: Option<Role>) -> ConnectOptions {
    if !on() {
        return ConnectOptions::new();
    }
    ConnectOptions::with_user_and_password(user(role).to_owned(), password(role))
        .custom_inbox_prefix(inbox_prefix(role))
}

/// The same for the programs' own way to connect.
#[must_use]
pub fn settings(role: Option<Role>) -> ConnectionSettings {
    if !on() {
        return ConnectionSettings::default();
    }
    ConnectionSettings {
        user: Some(user(role).to_owned()),
        password: Some(Secret::new(password(role))),
        inbox_prefix: Some(inbox_prefix(role).to_owned()),
        js_api_prefix: Some(api_prefix(role)),
        ..ConnectionSettings::default()
    }
}

/// The same as flags of the coordinator, of the `nats` tool and of the tests' worker.
#[must_use]
pub fn arguments(role: Option<Role>) -> Vec<String> {
    if !on() {
        return Vec::new();
    }
    let (password, api) = (password(role), api_prefix(role));
    [
        ("--user", user(role)),
        ("--password", &password),
        ("--inbox-prefix", inbox_prefix(role)),
        ("--js-api-prefix", &api),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
    .collect()
}

/// The same as a context file of the `nats` tool, for programs that take no flag for it.
#[must_use]
pub fn context_file(role: Role) -> String {
    let role = Some(role);
    json!({
        "user": user(role), "password": password(role), "inbox_prefix": inbox_prefix(role),
        "jetstream_api_prefix": api_prefix(role),
    })
    .to_string()
}

/// The lines of a server's log that say that it refused somebody something.
pub fn refusals<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    lines
        .into_iter()
        .filter(|line| REFUSALS.iter().any(|refusal| line.contains(refusal)))
        .map(str::to_owned)
        .collect()
}

fn user(role: Option<Role>) -> &'static str {
    role.map_or(TEST_USER, Role::user)
}

fn password(role: Option<Role>) -> String {
    format!("password-of-{}", user(role))
}

/// The test asks the coordinators, who answer nobody outside of the roles: it has the viewer's, or, in
/// the account of the coordinators, theirs.
fn inbox_prefix(role: Option<Role>) -> &'static str {
    let own = match mode() {
        Mode::Accounts => Role::Coordinator,
        Mode::OneAccount | Mode::Open => Role::Viewer,
    };
    role.unwrap_or(own).inbox_prefix()
}
