//! Secrets given as URIs: `env://NAME` and `data:`; others are refused with what to do instead.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::environment::Environment;
use super::error::ConnectError;
use super::resolved::Placed;
use super::secret::Secret;

/// A secret that may be given as `env://NAME`, `data:...`, or plainly.
pub(super) fn secret_uri(
    text: Placed<Secret>,
    env: &Environment,
) -> Result<Placed<Secret>, ConnectError> {
    let Placed { value, place } = text;
    let raw = value.reveal();
    if raw.starts_with("op://") || raw.starts_with("nsc://") {
        let tool = if raw.starts_with("op") {
            "1Password"
        } else {
            "nsc"
        };
        return Err(ConnectError::setting(
            place,
            format!("secrets looked up by {tool} are not supported"),
            "write the secret to a file and name it, or hand it over in a variable as env://NAME",
        ));
    }
    if let Some(name) = raw.strip_prefix("env://") {
        let found = env.get(name).map(Secret::new).ok_or_else(|| {
            ConnectError::setting(
                place.clone(),
                format!("it points to the variable {name}, which is not set"),
                format!("set {name}"),
            )
        })?;
        return Ok(Placed::new(found, format!("{place} (variable {name})")));
    }
    if let Some(data) = raw.strip_prefix("data:") {
        let decoded = data_uri(data).ok_or_else(|| {
            ConnectError::setting(
                place.clone(),
                "its data: URI cannot be read",
                "give data:;base64,<base64 of the text>, or data:,<percent-encoded text>",
            )
        })?;
        return Ok(Placed::new(Secret::from(decoded), place));
    }
    Ok(Placed::new(value, place))
}

/// The text of `[<type>][;base64],<data>`.
fn data_uri(data: &str) -> Option<String> {
    let (head, body) = data.split_once(',')?;
    let bytes = if head.ends_with(";base64") {
        STANDARD.decode(body).ok()?
    } else {
        percent(body)?
    };
    String::from_utf8(bytes).ok()
}

/// The bytes of a percent-encoded text.
pub(super) fn percent(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let high = char::from(*after.first()?).to_digit(16)?;
            let low = char::from(*after.get(1)?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
            rest = &after[2..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    Some(out)
}
