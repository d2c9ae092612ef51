//! Who meets under one name.

use crate::identity::Identity;

/// Who meets under one name: the processes of a group, or all at a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Group,
    Global,
}

impl Scope {
    /// The key that a name has for this process.
    pub(crate) fn key(self, identity: &Identity, name: &str) -> String {
        match self {
            Self::Group => format!("group.{}.{name}", identity.group()),
            Self::Global => format!("global.{name}"),
        }
    }
}
