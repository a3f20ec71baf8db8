//! What only a session in a database can tell about it, read one database at a time and more rarely than the rest.

use serde::{Deserialize, Serialize};

use super::{Part, VacuumQueue};

/// One database of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DatabaseView {
    /// Name.
    pub name: String,
    /// What vacuum has to do here.
    #[serde(default)]
    pub vacuum: Option<Part<VacuumQueue>>,
}

impl DatabaseView {
    /// A database of which nothing was read.
    #[must_use]
    pub fn unread(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}
