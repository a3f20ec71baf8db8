//! The tables of a database that matter: size by the planner's page counts, and what the server counted for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::span::Span;
use crate::time::Time;

/// The tables that matter by size or activity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tables {
    /// They, the largest first.
    pub tables: Vec<Table>,
    /// How many more there are.
    pub left_out: u64,
    /// Bytes of a page.
    pub block: u64,
    /// Whether the server vacuums and analyses by itself (`autovacuum` and `track_counts`).
    pub autovacuum: bool,
    /// `autovacuum_analyze_threshold`.
    pub analyze_threshold: f64,
    /// `autovacuum_analyze_scale_factor`.
    pub analyze_scale: f64,
}

/// One table, materialized view or partitioned table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Table {
    /// Oid.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `r` a table, `m` a materialized view, `p` a partitioned table (which has no rows of its own).
    pub kind: String,
    /// Whether it is a partition.
    pub partition: bool,
    /// Pages when it was last vacuumed or analysed.
    pub pages: u64,
    /// Rows then; absent when that never happened.
    pub tuples: Option<u64>,
    /// Storage parameters, such as `autovacuum_enabled`.
    pub options: BTreeMap<String, String>,
    /// Rows by the counters, which a crash or a promotion sets to 0.
    pub live: u64,
    /// Dead rows.
    pub dead: u64,
    /// Rows changed since it was last analysed.
    pub modified: u64,
    /// Rows inserted since it was last vacuumed.
    pub inserted_since_vacuum: u64,
    /// Rows ever inserted.
    pub inserted: u64,
    /// Rows ever updated.
    pub updated: u64,
    /// Rows ever deleted.
    pub deleted: u64,
    /// Sequential scans.
    pub seq_scans: u64,
    /// Rows that they read.
    pub seq_rows: u64,
    /// Age of its oldest unfrozen transaction id.
    pub xid_age: Option<u64>,
    /// When it was last vacuumed, by anybody.
    pub last_vacuum: Option<Time>,
    /// When it was last analysed, by anybody.
    pub last_analyze: Option<Time>,
    /// `analyze` or `vacuum` when one of them is at it right now.
    pub worked_on: Option<String>,
    /// How it grew while it was watched; only for large ones that were watched long enough.
    pub growth: Option<TableGrowth>,
}

/// How a table grew in the last hour, and before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TableGrowth {
    /// Bytes that the last hour added.
    pub recent: u64,
    /// How long that was.
    pub recent_for: Span,
    /// Bytes that the time before it added.
    pub before: u64,
    /// How long that was.
    pub before_for: Span,
}

impl Table {
    /// `schema.name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Rows: by the counters, or, when a crash took these, as the planner knows them.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.live.max(self.tuples.unwrap_or(0))
    }

    /// Bytes by the planner's page counts, grown by the rows that came since. No lock is needed for that.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn bytes(&self, block: u64) -> u64 {
        let counted = self.pages.saturating_mul(block);
        match self.tuples {
            Some(tuples) if tuples > 0 && self.live > tuples => {
                (counted as f64 * (self.live as f64 / tuples as f64)) as u64
            }
            _ => counted,
        }
    }

    /// Whether the server vacuums and analyses this table by itself.
    #[must_use]
    pub fn autovacuum(&self) -> bool {
        self.options.get("autovacuum_enabled").is_none_or(|v| {
            !matches!(
                v.to_lowercase().as_str(),
                "false" | "off" | "no" | "0" | "f" | "n"
            )
        })
    }

    /// A storage parameter that is a number.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<f64> {
        self.options.get(name).and_then(|v| v.parse().ok())
    }

    /// Changed rows after which the server analyses this table by itself.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn analyze_due(&self, all: &Tables) -> f64 {
        let threshold = self.option("autovacuum_analyze_threshold");
        let scale = self.option("autovacuum_analyze_scale_factor");
        threshold.unwrap_or(all.analyze_threshold)
            + scale.unwrap_or(all.analyze_scale) * self.tuples.unwrap_or(0) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_grows_with_the_rows_that_came_since_the_pages_were_counted() {
        let mut t = Table {
            pages: 100,
            tuples: Some(1000),
            live: 900,
            ..Table::default()
        };
        assert_eq!(t.bytes(8192), 819_200);
        t.live = 2000;
        assert_eq!(t.bytes(8192), 1_638_400);
        t.tuples = None;
        assert_eq!(t.bytes(8192), 819_200, "without a density nothing is made up");
    }

    #[test]
    fn storage_parameters_win_over_the_servers_settings() {
        let all = Tables {
            analyze_threshold: 50.0,
            analyze_scale: 0.1,
            ..Tables::default()
        };
        let mut t = Table {
            tuples: Some(1000),
            ..Table::default()
        };
        assert!((t.analyze_due(&all) - 150.0).abs() < 1e-9 && t.autovacuum());
        t.options
            .insert("autovacuum_analyze_scale_factor".into(), "0.5".into());
        t.options.insert("autovacuum_enabled".into(), "off".into());
        assert!((t.analyze_due(&all) - 550.0).abs() < 1e-9 && !t.autovacuum());
    }
}
