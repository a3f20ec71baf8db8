//! Statements that a standby cancelled because replay needed what they held, by type.

use serde::{Deserialize, Serialize};

use super::Counted;

/// The counters of `pg_stat_database_conflicts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ConflictCounters {
    /// A tablespace was dropped.
    pub tablespace: u64,
    /// They held a lock that replay needed.
    pub lock: u64,
    /// They could still see rows that the primary has removed.
    pub snapshot: u64,
    /// They pinned a page that replay had to clean.
    pub bufferpin: u64,
    /// They and replay waited for each other.
    pub deadlock: u64,
    /// Logical decoding needed rows that the primary has removed (PostgreSQL 16 and later).
    pub logical_slot: u64,
}

impl ConflictCounters {
    /// Every type with its word.
    #[must_use]
    pub fn by_type(&self) -> [(&'static str, u64); 6] {
        [
            ("snapshot", self.snapshot),
            ("lock", self.lock),
            ("bufferpin", self.bufferpin),
            ("deadlock", self.deadlock),
            ("tablespace", self.tablespace),
            ("logical_slot", self.logical_slot),
        ]
    }

    /// All types together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.by_type().iter().map(|(_, n)| n).sum()
    }
}

/// The conflicts of one database of a standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Conflicts {
    /// Its name.
    pub database: String,
    /// The counters.
    pub counted: Counted<ConflictCounters>,
}
