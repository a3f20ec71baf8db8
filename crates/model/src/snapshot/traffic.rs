//! What a server counts for each database: transactions, deadlocks, conflicts, temporary files, sessions that ended badly.

use serde::{Deserialize, Serialize};

use super::Counted;
use crate::time::Time;

/// The counters of `pg_stat_database` that rules look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DatabaseCounters {
    /// Transactions committed.
    pub commits: u64,
    /// Transactions rolled back.
    pub rollbacks: u64,
    /// Blocks read from outside shared buffers.
    pub blocks_read: u64,
    /// Blocks found in shared buffers.
    pub blocks_hit: u64,
    /// Deadlocks.
    pub deadlocks: u64,
    /// Statements cancelled because of recovery (standbys only).
    pub conflicts: u64,
    /// Temporary files.
    pub temp_files: u64,
    /// Bytes in them.
    pub temp_bytes: u64,
    /// Pages whose checksum is wrong; 0 as well when checksums are off ([`Traffic::checksums`]).
    pub checksum_failures: u64,
    /// Sessions opened (PostgreSQL 14 and later).
    pub sessions: u64,
    /// Sessions whose client went away without a word (14 and later).
    pub sessions_abandoned: u64,
    /// Sessions ended by a fatal error (14 and later).
    pub sessions_fatal: u64,
    /// Sessions ended by an operator (14 and later).
    pub sessions_killed: u64,
}

/// One database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Traffic {
    /// Its name; empty for what belongs to no database (shared relations).
    pub database: String,
    /// Whether pages carry checksums here; absent when the server does not say.
    pub checksums: Option<bool>,
    /// When a page with a wrong checksum was last seen.
    pub last_checksum_failure: Option<Time>,
    /// The counters.
    pub counted: Counted<DatabaseCounters>,
}
