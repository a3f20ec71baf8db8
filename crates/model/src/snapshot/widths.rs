//! How wide the rows of the largest tables and indexes are by the planner's statistics: what an estimate of bloat needs, and
//! what tells whether it may be made at all.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// The largest tables and B-tree indexes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Widths {
    /// They, the largest first.
    pub relations: Vec<RelationWidths>,
    /// Bytes of a page.
    pub block: u64,
}

/// One table or index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[allow(clippy::struct_excessive_bools)]
pub struct RelationWidths {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Its table; itself for a table.
    pub table: String,
    /// Whether it is an index.
    pub index: bool,
    /// Pages, counted together with `tuples`.
    pub pages: u64,
    /// Rows or entries; absent when never vacuumed or analysed.
    pub tuples: Option<f64>,
    /// `fillfactor`, when set.
    pub fill: Option<f64>,
    /// Whether this login sees the statistics of the table's columns.
    pub readable: bool,
    /// Rows of the table by the counters.
    pub live: u64,
    /// Rows changed since it was analysed.
    pub modified: u64,
    /// When the table was last analysed.
    pub last_analyze: Option<Time>,
    /// Whether the index has expressions.
    pub expressions: bool,
    /// Whether the index has a predicate.
    pub partial: bool,
    /// Its columns, in the order of the row.
    pub columns: Vec<ColumnWidth>,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ColumnWidth {
    /// Length of its type; negative when it varies.
    pub len: i32,
    /// Alignment: `c`, `s`, `i`, `d`.
    pub align: String,
    /// Mean bytes stored; absent without statistics.
    pub width: Option<i32>,
    /// Share that is NULL.
    pub nulls: Option<f32>,
    /// Whether it was dropped; old rows still carry it.
    pub dropped: bool,
    /// Name.
    pub name: String,
}

impl RelationWidths {
    /// `schema.name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}
