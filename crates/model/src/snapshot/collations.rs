//! Collations that indexes are sorted by: the version that was noted when they were made, and the one that the server's
//! libraries have now.

use serde::{Deserialize, Serialize};

/// One collation that is in use, or the default of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Collation {
    /// `schema.name`, or `database default`.
    pub name: String,
    /// Whether it is the default of the database.
    pub is_default: bool,
    /// Its locale.
    pub locale: String,
    /// Version that was noted; absent where the order cannot change (C) or nothing was noted.
    pub recorded: Option<String>,
    /// Version that this server's libraries have.
    pub actual: Option<String>,
    /// Indexes that are sorted by it.
    pub indexes: u64,
    /// One of them.
    pub example: Option<String>,
}

impl Collation {
    /// Whether the library sorts by other rules than those under which the indexes were built.
    #[must_use]
    pub fn differs(&self) -> bool {
        matches!((&self.recorded, &self.actual), (Some(r), Some(a)) if r != a)
    }
}
