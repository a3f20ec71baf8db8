//! What only a session in a database can tell about it, read one database at a time and more rarely than the rest.

use serde::{Deserialize, Serialize};

use super::{
    Collation, IndexCheck, Indexes, Migrations, Part, Partitions, ScannedTable, Sequences, Shared, Tables,
    VacuumQueue, Widths,
};

/// One database of a server. Parts are shared between Snapshots: they change only when their collector runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DatabaseView {
    /// Name.
    pub name: String,
    /// Tables.
    #[serde(default)]
    pub tables: Option<Part<Shared<Tables>>>,
    /// Indexes.
    #[serde(default)]
    pub indexes: Option<Part<Shared<Indexes>>>,
    /// Widths of rows, for estimates of bloat; of a primary only.
    #[serde(default)]
    pub widths: Option<Part<Shared<Widths>>>,
    /// Sequences; of a primary only.
    #[serde(default)]
    pub sequences: Option<Part<Shared<Sequences>>>,
    /// Partitions; of a primary only.
    #[serde(default)]
    pub partitions: Option<Part<Shared<Partitions>>>,
    /// Migration ledgers; of a primary only.
    #[serde(default)]
    pub migrations: Option<Part<Shared<Migrations>>>,
    /// Collations.
    #[serde(default)]
    pub collations: Option<Part<Shared<Vec<Collation>>>>,
    /// Sequential scans of its large tables.
    #[serde(default)]
    pub scans: Option<Part<Vec<ScannedTable>>>,
    /// What amcheck said, where somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Part<Vec<IndexCheck>>>,
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
