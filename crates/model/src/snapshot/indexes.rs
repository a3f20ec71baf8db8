//! The indexes of a database that matter: the invalid ones and the largest, what makes two of them the same, and how often
//! this server used them.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// The indexes that matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Indexes {
    /// They: invalid ones first, then the largest.
    pub indexes: Vec<Index>,
    /// How many more there are, all valid and smaller than these.
    pub left_out: u64,
    /// Bytes of a page.
    pub block: u64,
    /// Since when this server has counted scans; absent when it does not say.
    pub counted_since: Option<Time>,
    /// Index builds that run in this database and of which this login does not see what they build.
    pub hidden_builds: u64,
}

/// One index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[allow(clippy::struct_excessive_bools)]
pub struct Index {
    /// Oid; standbys of the same cluster have the same.
    pub oid: u32,
    /// Oid of its table.
    pub table_oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Table.
    pub table: String,
    /// Access method, such as `btree`.
    pub method: String,
    /// Unique.
    pub unique: bool,
    /// Whether queries may use it.
    pub valid: bool,
    /// Whether writes must maintain it.
    pub ready: bool,
    /// Whether logical replication identifies rows by it.
    pub replica_identity: bool,
    /// Whether the table is clustered on it.
    pub clustered: bool,
    /// Whether it or its table is a partition.
    pub partition: bool,
    /// Whether a constraint stands on it: primary key, unique, exclusion, or a foreign key that refers to it.
    pub constraint: bool,
    /// Whether it helps a foreign key of its own table.
    pub foreign_key: bool,
    /// Whether it has expressions, which carry statistics of their own.
    pub expressions: bool,
    /// Whether it has a predicate.
    pub partial: bool,
    /// Pages when it was last vacuumed or analysed.
    pub pages: u64,
    /// What its key columns are made of, in order: column, operator class, collation, order.
    pub keys: Vec<String>,
    /// Columns that it carries along.
    pub includes: Vec<i16>,
    /// Digest of its expressions and its predicate.
    pub formula: String,
    /// Scans that this server counted.
    pub scans: u64,
    /// The last of them (PostgreSQL 16 and later).
    pub last_scan: Option<Time>,
    /// Whether an index of this table is being built right now.
    pub building: bool,
    /// When it appeared while Muster watched; absent for those that were there before.
    pub appeared: Option<Time>,
}

impl Index {
    /// `schema.name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether `REINDEX CONCURRENTLY` named it so: what is left of one that did not end.
    #[must_use]
    pub fn leftover(&self) -> bool {
        let name = self.name.trim_end_matches(|c: char| c.is_ascii_digit());
        name.ends_with("_ccnew") || name.ends_with("_ccold")
    }
}

#[cfg(test)]
mod tests {
    use super::Index;

    #[test]
    fn leftovers_of_a_concurrent_rebuild_are_known_by_name() {
        let named = |name: &str| Index {
            name: name.into(),
            ..Index::default()
        };
        assert!(named("a_ccnew").leftover() && named("a_ccold12").leftover());
        assert!(!named("a_ccnew_x").leftover() && !named("a_idx").leftover());
    }
}
