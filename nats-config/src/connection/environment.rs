//! The environment variables that settings and context files look at, taken once as a value.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Environment variables: those of the process, or those that a test gives.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Those of this process. Names and values that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let pairs = std::env::vars_os().filter_map(|(name, value)| {
            let value = value.into_string().ok()?;
            Some((name.into_string().ok()?, value))
        });
        Self(pairs.collect())
    }

    /// Those given.
    #[must_use]
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(pairs.into_iter().map(own).collect())
    }

    /// A variable; one that is set to nothing is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Where programs keep their settings: `$XDG_CONFIG_HOME`, else `~/.config`.
    #[must_use]
    pub fn config_home(&self) -> Option<PathBuf> {
        match self.get("XDG_CONFIG_HOME") {
            Some(dir) => Some(PathBuf::from(dir)),
            None => self
                .get("HOME")
                .map(|home| PathBuf::from(home).join(".config")),
        }
    }

    /// A path with `~/`, `$NAME` and `${NAME}` replaced; a variable that is not set is nothing.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let home = self.get("HOME").unwrap_or("");
        let text = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
            _ => text.to_owned(),
        };
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, tail) = variable(after);
            if name.is_empty() {
                out.push('$');
            }
            out.push_str(self.get(name).unwrap_or(""));
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

/// Splits `NAME/rest` or `{NAME}/rest`, as they stand after a `$`.
fn variable(text: &str) -> (&str, &str) {
    if let Some((name, tail)) = text.strip_prefix('{').and_then(|t| t.split_once('}')) {
        return (name, tail);
    }
    let len = text
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    text.split_at(len)
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn paths_are_expanded_as_natscli_does() {
        let env = Environment::of([("HOME", "/home/ann"), ("DIR", "/srv")]);
        let check = |text: &str, expected: &str| assert_eq!(env.expand(text), expected, "{text}");
        check("~/a.creds", "/home/ann/a.creds");
        check("~", "/home/ann");
        check("~bob/a", "~bob/a");
        check("$DIR/a", "/srv/a");
        check("${DIR}a/$NONE/b", "/srva//b");
        check("a$", "a$");
        check("a$/b", "a$/b");
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let env = Environment::of([("NATS_URL", "")]);
        assert_eq!(env.get("NATS_URL"), None);
    }
}
