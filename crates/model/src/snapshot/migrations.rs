//! The ledgers in which migration tools note what they applied, and a fingerprint of the schema beside them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// What a database says about its schema and how it came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Migrations {
    /// Ledgers that were read.
    pub ledgers: Vec<Ledger>,
    /// `schema.table` of ledgers that this login may not read.
    pub unreadable: Vec<String>,
    /// The schema, when there is a ledger to hold it against.
    pub fingerprint: Option<Fingerprint>,
    /// The last change of the schema that no ledger told of, while Muster watched.
    pub untold: Option<Untold>,
}

/// A ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ledger {
    /// The tool: `alembic`, `flyway`, `django`, `prisma`, `sqlx`, `diesel`, `rails`, `golang-migrate`, `muster`.
    pub tool: String,
    /// Schema of its table.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// What was applied, the newest first; bounded.
    pub migrations: Vec<Migration>,
    /// How many more there are.
    pub left_out: u64,
}

/// One line of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Migration {
    /// Its version, or its name where names are what a tool goes by.
    pub version: String,
    /// Checksum of its text.
    pub checksum: Option<String>,
    /// When it was applied, or began.
    pub at: Option<Time>,
    /// What became of it.
    pub state: MigrationState,
}

/// What became of a migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationState {
    /// Applied.
    #[default]
    Applied,
    /// It failed: the tool says so.
    Failed,
    /// It began and has not ended: it runs, or it died.
    Unfinished,
}

/// A digest of the schema, by part: `columns`, `indexes`, `constraints`, `functions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fingerprint {
    /// Number of objects and digest.
    pub parts: BTreeMap<String, (u64, String)>,
}

/// A change of the schema without a line in a ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Untold {
    /// When it was seen first.
    pub at: Time,
    /// Part, objects before, objects after.
    pub parts: Vec<(String, u64, u64)>,
}

impl Ledger {
    /// `schema.table`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}
