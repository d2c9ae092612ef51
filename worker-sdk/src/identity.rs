//! Who this process is: its name, and the group that it belongs to. Nothing here is a claim: two
//! processes may bear one name, and are told apart by their incarnations.

use std::fmt;

use nats_config::connection::Environment;
use protocol::id::{GroupName, NameError};

use crate::opening::host_name;

/// The variables that name a process, the first that is set.
const NODE_VARIABLES: [&str; 2] = ["HOSTNAME", "COMPUTERNAME"];
/// The variables that name its group, the first that is set.
const GROUP_VARIABLES: [&str; 2] = ["KUBERNETES_CLUSTER", "CLUSTER_NAME"];
/// The group of those who name none.
const GROUP_DEFAULT: &str = "default-group";
/// What a process without any name is called.
const NODE_UNKNOWN: &str = "unnamed";
/// Most bytes of a process's name.
const NODE_BYTES_MAX: usize = 256;

/// Who this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    node: String,
    group: GroupName,
    group_is_named: bool,
}

/// Says who this process is. [`EnvironmentIdentity`] and [`ExplicitIdentity`] do; a program may have
/// its own way.
pub trait IdentityProvider {
    /// Who this process is.
    ///
    /// # Errors
    /// It cannot be told, or has a form that no record can hold.
    fn identity(&self) -> Result<Identity, IdentityError>;
}

/// Nobody can be called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The group is no subject token.
    #[error("tell who this process is: {0}")]
    Group(#[from] NameError),
    /// The process's name is empty, too long, or holds control characters.
    #[error(
        "tell who this process is: the name {0:?} is not 1 to {NODE_BYTES_MAX} bytes without control characters"
    )]
    Node(String),
    /// The group must be named, and is not.
    #[error(
        "tell who this process is: no group is named; set {0}, so that two environments at one broker do not meet"
    )]
    NoGroup(String),
}

impl Identity {
    /// A process of this name in this group.
    ///
    /// # Errors
    /// The name is not 1 to 256 bytes without control characters, or the group is not 1 to 64 of
    /// `A-Z a-z 0-9 _ -`.
    pub fn new(node: &str, group: &str) -> Result<Self, IdentityError> {
        let fits = !node.is_empty() && node.len() <= NODE_BYTES_MAX;
        if !fits || node.chars().any(char::is_control) {
            return Err(IdentityError::Node(node.chars().take(64).collect()));
        }
        Ok(Self {
            node: node.to_owned(),
            group: GroupName::new(group)?,
            group_is_named: true,
        })
    }

    /// The process's name, for people.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The group that it belongs to.
    #[must_use]
    pub const fn group(&self) -> &GroupName {
        &self.group
    }

    /// Whether somebody named the group; if not it is `default-group`, in which all meet who did not
    /// say where they belong.
    #[must_use]
    pub const fn group_is_named(&self) -> bool {
        self.group_is_named
    }
}

impl fmt::Display for Identity {
    /// `node-a in eu`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.node, self.group)
    }
}

/// Takes the identity from environment variables: the name from `HOSTNAME`, then `COMPUTERNAME`, then
/// the host's own name; the group from `KUBERNETES_CLUSTER`, then `CLUSTER_NAME`.
#[derive(Debug, Clone)]
pub struct EnvironmentIdentity {
    environment: Environment,
    node_variables: Vec<String>,
    group_variables: Vec<String>,
    group_is_needed: bool,
}

impl Default for EnvironmentIdentity {
    fn default() -> Self {
        Self::new()
    }
}

impl EnvironmentIdentity {
    /// The environment of this process.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Environment::of_process())
    }

    fn of(environment: Environment) -> Self {
        let own = |name: &str| name.to_owned();
        Self {
            environment,
            node_variables: NODE_VARIABLES.map(own).to_vec(),
            group_variables: GROUP_VARIABLES.map(own).to_vec(),
            group_is_needed: false,
        }
    }

    /// Looks at this variable for the process's name before all others.
    #[must_use]
    pub fn node_variable(mut self, name: &str) -> Self {
        self.node_variables.insert(0, name.to_owned());
        self
    }

    /// Looks at this variable for the group before all others.
    #[must_use]
    pub fn group_variable(mut self, name: &str) -> Self {
        self.group_variables.insert(0, name.to_owned());
        self
    }

    /// Refuses a process whose environment names no group, instead of putting it into the default
    /// one with a warning.
    #[must_use]
    pub const fn require_group(mut self) -> Self {
        self.group_is_needed = true;
        self
    }

    fn first(&self, variables: &[String]) -> Option<&str> {
        let set = |name: &String| self.environment.get(name);
        variables.iter().find_map(set)
    }
}

impl IdentityProvider for EnvironmentIdentity {
    fn identity(&self) -> Result<Identity, IdentityError> {
        let host = host_name();
        let host = if host.is_empty() { NODE_UNKNOWN } else { &host };
        let node = self.first(&self.node_variables).unwrap_or(host);
        if let Some(group) = self.first(&self.group_variables) {
            return Identity::new(node, group);
        }
        if self.group_is_needed {
            return Err(IdentityError::NoGroup(self.group_variables.join(" or ")));
        }
        let variables = self.group_variables.join(" or ");
        tracing::warn!(
            group = GROUP_DEFAULT,
            "no group is named: set {variables}, or two environments at one broker meet"
        );
        let identity = Identity::new(node, GROUP_DEFAULT)?;
        Ok(Identity {
            group_is_named: false,
            ..identity
        })
    }
}

/// An identity that the program gives, word for word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplicitIdentity {
    node: String,
    group: String,
}

impl ExplicitIdentity {
    /// A process of this name in this group.
    #[must_use]
    pub fn new(node: &str, group: &str) -> Self {
        Self {
            node: node.to_owned(),
            group: group.to_owned(),
        }
    }
}

impl IdentityProvider for ExplicitIdentity {
    fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::new(&self.node, &self.group)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use nats_config::connection::Environment;

    use super::{
        EnvironmentIdentity, ExplicitIdentity, Identity, IdentityError, IdentityProvider, host_name,
    };

    fn of<const N: usize>(pairs: [(&str, &str); N]) -> EnvironmentIdentity {
        EnvironmentIdentity::of(Environment::of(pairs))
    }

    fn told(provider: &impl IdentityProvider) -> String {
        provider.identity().expect("an identity").to_string()
    }

    #[test]
    fn the_environment_is_looked_through_in_order() {
        let all = [
            ("HOSTNAME", "pod-1"),
            ("COMPUTERNAME", "PC"),
            ("KUBERNETES_CLUSTER", "eu"),
            ("CLUSTER_NAME", "us"),
        ];
        assert_eq!(told(&of(all)), "pod-1 in eu");
        let [_, computer, _, cluster] = all;
        assert_eq!(told(&of([computer, cluster])), "PC in us");
        // A variable that is set to nothing is not set.
        assert_eq!(told(&of([("HOSTNAME", ""), computer, cluster])), "PC in us");
        let host = told(&of([cluster]));
        assert_eq!(host, format!("{} in us", host_name()));
    }

    #[test]
    fn own_variables_come_first() {
        let provider = of([("HOSTNAME", "pod-1"), ("NODE", "n7"), ("SITE", "x")])
            .node_variable("NODE")
            .group_variable("SITE");
        assert_eq!(told(&provider), "n7 in x");
    }

    #[test]
    fn the_default_group_is_known_as_such_and_may_be_refused() {
        let provider = of([("HOSTNAME", "pod-1")]);
        let identity = provider.identity().expect("an identity");
        assert_eq!(identity.to_string(), "pod-1 in default-group");
        assert!(!identity.group_is_named());
        let refused = provider.require_group().identity().unwrap_err().to_string();
        assert!(refused.contains("KUBERNETES_CLUSTER"), "{refused}");
    }

    /// What is logged when this one tells who it is.
    fn logged(provider: &EnvironmentIdentity) -> String {
        let mut file = tempfile::tempfile().expect("a file");
        let log: Arc<File> = Arc::new(file.try_clone().expect("a second handle"));
        let subscriber = tracing_subscriber::fmt().with_writer(log).finish();
        tracing::subscriber::with_default(subscriber, || told(provider));
        let mut text = String::new();
        file.rewind().expect("the file");
        file.read_to_string(&mut text).expect("the log");
        text
    }

    #[test]
    fn the_default_group_warns() {
        let text = logged(&of([("HOSTNAME", "pod-1")]));
        for words in ["WARN", "no group is named", "KUBERNETES_CLUSTER"] {
            assert!(text.contains(words), "no `{words}` in: {text}");
        }
        let named = of([("HOSTNAME", "pod-1"), ("CLUSTER_NAME", "eu")]);
        assert_eq!(logged(&named), "");
    }

    #[test]
    fn given_values_are_taken_as_they_are_and_never_as_names_of_variables() {
        let identity = ExplicitIdentity::new("HOSTNAME", "CLUSTER_NAME");
        assert_eq!(told(&identity), "HOSTNAME in CLUSTER_NAME");
        assert!(identity.identity().expect("an identity").group_is_named());
    }

    #[test]
    fn what_no_record_can_hold_is_refused() {
        let refused = |node: &str, group: &str| Identity::new(node, group).unwrap_err();
        assert!(matches!(refused("", "g"), IdentityError::Node(_)));
        assert!(matches!(refused("a\u{7}", "g"), IdentityError::Node(_)));
        assert!(matches!(
            refused(&"n".repeat(257), "g"),
            IdentityError::Node(_)
        ));
        for group in ["", "a.b", "*", "a b"] {
            assert!(
                matches!(refused("n", group), IdentityError::Group(_)),
                "{group}"
            );
        }
    }
}
