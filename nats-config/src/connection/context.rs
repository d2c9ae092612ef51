//! Context files as `nats context` writes them: where they lie, which one is selected, what they
//! say. Read only.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::Environment;
use super::error::ConnectError;
use super::secret::Secret;
use super::settings::ContextChoice;

/// The largest context file that is read.
const CONTEXT_LEN_MAX: usize = 1 << 20;

/// What a context file says; unknown fields are ignored, empty ones are not set.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContextFile {
    pub(super) url: String,
    pub(super) socks_proxy: String,
    pub(super) token: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) creds: String,
    pub(super) nkey: String,
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) ca: String,
    pub(super) nsc: String,
    pub(super) jetstream_domain: String,
    pub(super) jetstream_api_prefix: String,
    pub(super) inbox_prefix: String,
    pub(super) user_jwt: String,
    pub(super) user_seed: String,
    pub(super) tls_first: bool,
}

/// What a context file says, and where it came from. It may hold secrets, and shows nothing.
#[derive(Clone, Default)]
pub struct Context {
    /// How errors name it; empty if there is none.
    pub(super) name: String,
    pub(super) file: ContextFile,
}

impl Context {
    /// Reads the text of a context file that errors call `name`.
    ///
    /// # Errors
    /// [`ConnectError::Setting`]: it is too large, no JSON object of texts, or looks a secret up in a way
    /// that is not supported. The text of the file is not quoted.
    pub fn parse(text: &[u8], name: &str) -> Result<Self, ConnectError> {
        if text.len() > CONTEXT_LEN_MAX {
            return Err(ConnectError::setting(
                name,
                "it is larger than 1 MiB",
                "name a context file",
            ));
        }
        let file: ContextFile = serde_json::from_slice(text).map_err(|error| {
            // The parser's text may quote a value, and a value may be a secret: only the place is said.
            let (line, column) = (error.line(), error.column());
            ConnectError::setting(
                name,
                format!("it is not a JSON object of texts (line {line}, column {column})"),
                "repair it with `nats context edit`",
            )
        })?;
        if !file.nsc.is_empty() {
            return Err(ConnectError::setting(
                format!("field `nsc` of {name}"),
                "credentials looked up by `nsc` are not supported",
                "write them to a file (`nsc generate creds`) and name it in `creds`",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            file,
        })
    }

    /// Where a field of it stands, for errors.
    pub(super) fn place(&self, field: &str) -> String {
        format!("field `{field}` of {}", self.name)
    }
}

/// A field that is set.
pub(super) fn set(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A secret field that is set.
pub(super) fn set_secret(text: &str) -> Option<Secret> {
    set(text).map(Secret::from)
}

/// Reads the chosen context.
pub(super) fn load(choice: &ContextChoice, env: &Environment) -> Result<Context, ConnectError> {
    match choice {
        ContextChoice::None => Ok(Context::default()),
        ContextChoice::Named(name) if is_path(name) => {
            let path = PathBuf::from(env.expand(name));
            read(&path, &format!("context {}", path.display()))
        }
        ContextChoice::Named(name) => named(name, "--context or NATS_CONTEXT", env),
        ContextChoice::Selected => match selected(env)? {
            Some((name, place)) => named(&name, &place, env),
            None => Ok(Context::default()),
        },
    }
}

fn is_path(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "json")
        && (name.contains('/') || Path::new(name).exists())
}

/// The name that `nats context select` left, and the file that holds it.
fn selected(env: &Environment) -> Result<Option<(String, String)>, ConnectError> {
    let Some(home) = env.config_home() else {
        return Ok(None);
    };
    let path = home.join("nats").join("context.txt");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let name = text.trim().to_owned();
            Ok((!name.is_empty()).then(|| (name, path.display().to_string())))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(ConnectError::file(
            "the selected context",
            &path.display().to_string(),
            &error,
        )),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn named(name: &str, place: &str, env: &Environment) -> Result<Context, ConnectError> {
    let bad = name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']);
    if bad {
        return Err(ConnectError::setting(
            place,
            format!("{name:?} is no name of a context"),
            "give a name that `nats context ls` shows, or a path that ends in .json",
        ));
    }
    let Some(home) = env.config_home() else {
        return Err(ConnectError::setting(
            place,
            format!("context `{name}` cannot be found: neither XDG_CONFIG_HOME nor HOME is set"),
            "set HOME, or give the context's path ending in .json",
        ));
    };
    let dir = home.join("nats").join("context");
    let path = dir.join(format!("{name}.json"));
    if !path.exists() {
        return Err(ConnectError::setting(
            place,
            format!(
                "there is no context `{name}` ({} does not exist)",
                path.display()
            ),
            format!(
                "{}; `nats context add {name}` makes it, --no-context does without",
                known(&dir)
            ),
        ));
    }
    read(&path, &format!("context `{name}` ({})", path.display()))
}

/// Names the contexts there are, for who mistyped one.
fn known(dir: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".json").map(str::to_owned)
        })
        .collect();
    names.sort();
    names.truncate(20);
    match names.is_empty() {
        true => "there are no contexts".to_owned(),
        false => format!("there are {}", names.join(", ")),
    }
}

fn read(path: &Path, name: &str) -> Result<Context, ConnectError> {
    let shown = path.display().to_string();
    let text = std::fs::read(path).map_err(|error| ConnectError::file(name, &shown, &error))?;
    Context::parse(&text, name)
}
