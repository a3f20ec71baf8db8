//! How often large tables were read from end to end.

use serde::{Deserialize, Serialize};

use super::Counted;

/// The counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScanCounters {
    /// Sequential scans that were begun (each parallel worker counts).
    pub scans: u64,
    /// Rows that they read.
    pub rows: u64,
}

/// One large table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScannedTable {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Rows, by estimate.
    pub rows: u64,
    /// Pages, as last counted by VACUUM or ANALYZE; 0 when never.
    pub pages: u64,
    /// Its sequential scans.
    pub counted: Counted<ScanCounters>,
}
