//! How many connections a server allows a role or a database. What is used of it, the sessions tell.

use serde::{Deserialize, Serialize};

/// What a limit is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitOf {
    /// `ALTER ROLE … CONNECTION LIMIT`.
    Role,
    /// `ALTER DATABASE … CONNECTION LIMIT`.
    Database,
}

/// A limit that is set. Superusers are exempt from both kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ConnectionLimit {
    /// On what.
    pub of: LimitOf,
    /// Its name.
    pub name: String,
    /// Most connections at once.
    pub most: u32,
}
