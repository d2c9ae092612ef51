//! Who we are to the server: the ways of authentication in natscli's order, and the files and URIs
//! that hold their secrets.

use async_nats::{AuthError, ConnectOptions, ServerAddr};
use futures::future::ready;
use nkeys::KeyPair;

use super::context::{Context, set, set_secret};
use super::environment::Environment;
use super::error::ConnectError;
use super::resolved::{Placed, pick};
use super::secret::Secret;
use super::settings::ConnectionSettings;
use super::uri::{percent, secret_uri};

/// The way of authentication; a token may stand beside it.
#[derive(Debug, Clone)]
pub(super) struct Auth {
    way: Way,
    token: Option<Placed<Secret>>,
}

#[derive(Debug, Clone)]
enum Way {
    None,
    User(Placed<(String, Secret)>),
    Creds(Placed<Secret>),
    CredsFile(Placed<String>),
    Nkey(Placed<String>),
    Jwt(Placed<Secret>, Option<Placed<Secret>>),
}

/// Chooses the way: user, else creds, else nkey, else JWT; a token is added. Takes user and
/// password out of the servers' addresses, since the client would not send them but would log
/// them.
pub(super) fn resolve(
    settings: &ConnectionSettings,
    context: &Context,
    servers: &mut [ServerAddr],
    env: &Environment,
) -> Result<Auth, ConnectError> {
    let in_address = take_from_addresses(servers)?;
    let mut given = settings.clone();
    if given.user.is_some() && given.password.is_none() {
        // As natscli: a user without a password is a token.
        if given.token.is_some() {
            return Err(ConnectError::setting(
                "--user (NATS_USER) and --token (NATS_TOKEN)",
                "a user without a password is a token, and a token is given too",
                "give --password (NATS_PASSWORD), or only one of the two",
            ));
        }
        given.token = given.user.take().map(Secret::from);
    }
    let file = &context.file;
    let token = pick(
        given.token.clone(),
        "--token or NATS_TOKEN",
        set_secret(&file.token),
        context.place("token"),
    );
    if let Some(Placed { value, place }) = in_address {
        return Ok(match value {
            (user, Some(password)) => Auth {
                way: Way::User(Placed::new((user, password), place)),
                token,
            },
            (user, None) => Auth {
                way: Way::None,
                token: Some(Placed::new(Secret::from(user), place)),
            },
        });
    }
    let way = way(&given, context, env)?;
    Ok(Auth { way, token })
}

fn way(
    given: &ConnectionSettings,
    context: &Context,
    env: &Environment,
) -> Result<Way, ConnectError> {
    let file = &context.file;
    let user = pick(
        given.user.clone(),
        "--user or NATS_USER",
        set(&file.user),
        context.place("user"),
    );
    let password = given.password.clone().or(set_secret(&file.password));
    if let Some(user) = user {
        let password = password.unwrap_or_else(|| Secret::new(""));
        return Ok(Way::User(Placed::new((user.value, password), user.place)));
    }
    if given.password.is_some() {
        return Err(ConnectError::setting(
            "--password or NATS_PASSWORD",
            "a password without a user",
            "give --user (NATS_USER) too",
        ));
    }
    let creds = pick(
        given.creds.clone(),
        "--creds or NATS_CREDS",
        set(&file.creds),
        context.place("creds"),
    );
    if let Some(creds) = creds {
        return creds_way(creds, env);
    }
    let nkey = pick(
        given.nkey.clone(),
        "--nkey or NATS_NKEY",
        set(&file.nkey),
        context.place("nkey"),
    );
    if let Some(nkey) = nkey {
        let path = env.expand(&nkey.value);
        return Ok(Way::Nkey(Placed::new(path, nkey.place)));
    }
    let secret = |given: &Option<Secret>, names, in_context: &str, field| {
        let place = context.place(field);
        match pick(given.clone(), names, set_secret(in_context), place) {
            Some(text) => secret_uri(text, env).map(Some),
            None => Ok(None),
        }
    };
    let jwt = secret(&given.jwt, "--jwt or NATS_JWT", &file.user_jwt, "user_jwt")?;
    let seed = secret(
        &given.seed,
        "--seed or NATS_SEED",
        &file.user_seed,
        "user_seed",
    )?;
    match (jwt, seed) {
        (Some(jwt), seed) => Ok(Way::Jwt(jwt, seed)),
        (None, Some(seed)) => Err(ConnectError::setting(
            seed.place,
            "a seed without the JWT that it signs for",
            "give --jwt (NATS_JWT) too, or the seed's file as --nkey",
        )),
        (None, None) => Ok(Way::None),
    }
}

/// A credentials file by its path or URI.
fn creds_way(creds: Placed<String>, env: &Environment) -> Result<Way, ConnectError> {
    let Placed { value, place } = creds;
    let Some((scheme, rest)) = value.split_once(':') else {
        return Ok(Way::CredsFile(Placed::new(env.expand(&value), place)));
    };
    match scheme {
        "file" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            Ok(Way::CredsFile(Placed::new(env.expand(path), place)))
        }
        "env" | "data" | "op" | "nsc" => {
            let text = secret_uri(Placed::new(Secret::from(value), place), env)?;
            Ok(Way::Creds(text))
        }
        _ => Ok(Way::CredsFile(Placed::new(env.expand(&value), place))),
    }
}

type InAddress = (String, Option<Secret>);

fn take_from_addresses(
    servers: &mut [ServerAddr],
) -> Result<Option<Placed<InAddress>>, ConnectError> {
    const PLACE: &str = "the server's address (-s, NATS_URL or the context's url)";
    let mut found: Option<InAddress> = None;
    for server in servers {
        let Some(user) = server.username() else {
            if server.password().is_some() {
                return Err(ConnectError::setting(
                    PLACE,
                    "a password without a user",
                    "give nats://user:password@host:port",
                ));
            }
            continue;
        };
        let text = |part: &str| percent(part).and_then(|bytes| String::from_utf8(bytes).ok());
        let password = server.password().map(|part| text(part).map(Secret::from));
        let (Some(user), Some(password)) =
            (text(user), password.map_or(Some(None), |p| p.map(Some)))
        else {
            return Err(ConnectError::setting(
                PLACE,
                "its user or password is not UTF-8",
                "percent-encode it as UTF-8",
            ));
        };
        let this = (user, password);
        if found.as_ref().is_some_and(|first| *first != this) {
            return Err(ConnectError::setting(
                PLACE,
                "two servers of the list have different users",
                "give one user for all servers by --user and --password",
            ));
        }
        found = Some(this);
        *server = without_user(server).ok_or_else(|| {
            ConnectError::setting(PLACE, "it cannot be read", "give nats://host:port")
        })?;
    }
    Ok(found.map(|value| Placed::new(value, PLACE)))
}

fn without_user(server: &ServerAddr) -> Option<ServerAddr> {
    let mut url = server.clone().into_inner();
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    ServerAddr::from_url(url).ok()
}

impl Auth {
    /// The way and where it came from, for errors and the log.
    pub(super) fn describe(&self) -> String {
        let way = match &self.way {
            Way::None => None,
            Way::User(user) => Some(format!("user from {}", user.place)),
            Way::Creds(creds) => Some(format!("creds from {}", creds.place)),
            Way::CredsFile(creds) => {
                Some(format!("creds file {} from {}", creds.value, creds.place))
            }
            Way::Nkey(nkey) => Some(format!("nkey file {} from {}", nkey.value, nkey.place)),
            Way::Jwt(jwt, _) => Some(format!("JWT from {}", jwt.place)),
        };
        let token = self
            .token
            .as_ref()
            .map(|token| format!("token from {}", token.place));
        let parts: Vec<String> = way.into_iter().chain(token).collect();
        match parts.is_empty() {
            true => "no credentials".to_owned(),
            false => parts.join(", "),
        }
    }

    /// Options with the credentials. A file is read now, to tell what is wrong with it, and again for
    /// each connection: what is rotated is taken up when the old is refused.
    pub(super) fn options(&self) -> Result<ConnectOptions, ConnectError> {
        let with_token = |options: ConnectOptions| match &self.token {
            Some(token) => options.token(token.value.reveal().to_owned()),
            None => options,
        };
        let plain = with_token(ConnectOptions::new());
        match &self.way {
            Way::None => Ok(plain),
            Way::User(user) => {
                let (name, password) = &user.value;
                Ok(plain.user_and_password(name.clone(), password.reveal().to_owned()))
            }
            Way::Creds(creds) => with_creds(plain, creds.value.reveal(), &creds.place),
            Way::CredsFile(_) | Way::Nkey(_) => {
                self.signed(b"")?;
                let own = self.clone();
                Ok(ConnectOptions::with_auth_callback(move |nonce| {
                    let signed = own.signed(&nonce);
                    ready(signed.map_err(|error| AuthError::new(error.to_string())))
                }))
            }
            Way::Jwt(jwt, Some(seed)) => {
                checked_seed(seed.value.reveal(), &seed.place)?;
                let text = creds_text(jwt.value.reveal(), seed.value.reveal());
                with_creds(plain, &text, &jwt.place)
            }
            Way::Jwt(jwt, None) => {
                let jwt = jwt.value.reveal().trim().to_owned();
                Ok(plain.jwt(jwt, |_nonce| async { Ok(Vec::new()) }))
            }
        }
    }

    /// What a file of credentials holds now, with the server's nonce signed.
    fn signed(&self, nonce: &[u8]) -> Result<async_nats::Auth, ConnectError> {
        let mut auth = async_nats::Auth::new();
        auth.token = self.token.as_ref().map(|t| t.value.reveal().to_owned());
        let (seed, place) = match &self.way {
            Way::CredsFile(path) => {
                let text = read(path)?;
                with_creds(ConnectOptions::new(), &text, &path.place)?;
                auth.jwt = jwt_in(&text);
                (seed_in(&text, &path.place)?, &path.place)
            }
            Way::Nkey(path) => (seed_in(&read(path)?, &path.place)?, &path.place),
            Way::None | Way::User(_) | Way::Creds(_) | Way::Jwt(..) => return Ok(auth),
        };
        let pair = key_pair(seed.reveal(), place)?;
        auth.signature = pair.sign(nonce).ok();
        if auth.jwt.is_none() {
            auth.nkey = Some(pair.public_key());
        }
        Ok(auth)
    }
}

fn read(path: &Placed<String>) -> Result<String, ConnectError> {
    std::fs::read_to_string(&path.value)
        .map_err(|error| ConnectError::file(path.place.clone(), &path.value, &error))
}

fn with_creds(
    options: ConnectOptions,
    text: &str,
    place: &str,
) -> Result<ConnectOptions, ConnectError> {
    options.credentials(text).map_err(|_| {
        ConnectError::setting(
            place,
            "it holds no credentials: a user JWT and a seed between lines of dashes are expected",
            "make them with `nsc generate creds`",
        )
    })
}

/// The form of a credentials file, for a JWT and a seed given one by one.
pub(super) fn creds_text(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt.trim(),
        seed.trim()
    )
}

/// The user JWT in a credentials file: the line below its line of dashes.
fn jwt_in(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("JWT"))?;
    lines.find(|line| !line.is_empty()).map(str::to_owned)
}

/// The seed in the text of an nkey file, which may hold comments and lines of dashes around it. `place`
/// is how errors name the file.
///
/// # Errors
/// [`ConnectError::Setting`]: it holds no seed of a user. The text is not quoted.
pub fn seed_in(text: &str, place: &str) -> Result<Secret, ConnectError> {
    let seed = text
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with('S') && line.len() > 40)
        .unwrap_or_default();
    checked_seed(seed, place)?;
    Ok(Secret::new(seed))
}

/// The client finds a bad seed only while connecting and then says "failed signing nonce".
fn checked_seed(seed: &str, place: &str) -> Result<(), ConnectError> {
    key_pair(seed, place).map(drop)
}

fn key_pair(seed: &str, place: &str) -> Result<KeyPair, ConnectError> {
    KeyPair::from_seed(seed.trim()).map_err(|_| {
        ConnectError::setting(
            place,
            "it holds no nkey seed (58 letters and digits that begin with SU)",
            "make one with `nk -gen user`",
        )
    })
}
