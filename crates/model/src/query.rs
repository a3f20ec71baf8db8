//! What is known about a statement and the tables that it reads, so that it can be judged: columns, indexes, counters.
//!
//! Knows no literal of any statement. What was not read is absent, never zero.

use serde::{Deserialize, Serialize};

use crate::Time;

/// How a plan came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanMethod {
    /// The text carries its values.
    Values,
    /// Its parameters were given.
    Given,
    /// `EXPLAIN (GENERIC_PLAN)`: no value is known.
    Generic,
    /// `plan_cache_mode = force_generic_plan`, for servers before 16.
    ForcedGeneric,
}

impl PlanMethod {
    /// For people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Values => "planned with the values of the text",
            Self::Given => "planned with the given parameters",
            Self::Generic => {
                "a generic plan (EXPLAIN (GENERIC_PLAN)): no value is known, so skew is not seen"
            }
            Self::ForcedGeneric => {
                "a generic plan (PREPARE, plan_cache_mode = force_generic_plan): no value is known, so skew is not seen"
            }
        }
    }

    /// Whether no value was known.
    #[must_use]
    pub fn is_generic(self) -> bool {
        matches!(self, Self::Generic | Self::ForcedGeneric)
    }
}

/// A column of a table, with what the planner's statistics say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnFacts {
    /// Name.
    pub name: String,
    /// `integer`, `character varying(20)`.
    pub type_name: String,
    /// Whether its type has an order that a B-tree can keep.
    pub orders: bool,
    /// Whether its collation compares bytes (`C`), so that a B-tree serves the beginning of a text.
    pub byte_order: bool,
    /// Mean width in bytes; absent without statistics.
    pub width: Option<i32>,
    /// `n_distinct`: a count, or below zero a share of the rows.
    pub distinct: Option<f64>,
    /// Share of nulls.
    pub nulls: Option<f64>,
    /// Share of the commonest value.
    pub commonest: Option<f64>,
}

/// One key of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexKey {
    /// Its column; absent for an expression.
    pub column: Option<String>,
    /// As the server writes it.
    pub text: String,
    /// Whether it serves the beginning of a text (`…_pattern_ops`, or a collation that compares bytes).
    pub prefixes: bool,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexFacts {
    /// Name.
    pub name: String,
    /// `btree`, `gin`.
    pub method: String,
    /// Whether the planner may use it.
    pub valid: bool,
    /// Its keys in order.
    pub keys: Vec<IndexKey>,
    /// Its condition, without literals.
    pub predicate: Option<String>,
    /// Pages of 8 kB.
    pub pages: u64,
}

/// What was written to a table, as its primary counts it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Writes {
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Updates that touched no index.
    pub hot: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Scans from end to end.
    pub seq_scans: u64,
    /// When the counters were last reset; absent: never, as far as the server knows.
    pub since: Option<Time>,
    /// Writes a second that add an entry to every index (inserts, and updates that are not HOT), between two looks.
    pub per_second: Option<f64>,
    /// How far the two looks were apart, in milliseconds.
    pub over_ms: u64,
    /// Server that counted.
    pub server: String,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Oid.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `r`, `p`, `m`, `f`.
    pub kind: String,
    /// The partitioned table that it is a part of.
    pub partition_of: Option<String>,
    /// Rows as the planner believes; absent when it was never analysed or vacuumed.
    pub rows: Option<f64>,
    /// Pages of 8 kB.
    pub pages: u64,
    /// Columns.
    pub columns: Vec<ColumnFacts>,
    /// Indexes.
    pub indexes: Vec<IndexFacts>,
    /// Rows as the counters believe.
    pub live: Option<u64>,
    /// Rows changed since the last ANALYZE; absent when the primary could not be asked.
    pub modified: Option<u64>,
    /// The last ANALYZE.
    pub analyzed: Option<Time>,
    /// Writes; absent when the primary could not be asked.
    pub writes: Option<Writes>,
}

impl TableFacts {
    /// `schema.table`, quoted where the server would need it.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    /// A column by its name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|c| c.name == name)
    }
}

/// An identifier as SQL text; always quoted where it is not plainly lower case, and where it could be a keyword.
#[must_use]
pub fn ident(name: &str) -> String {
    let plain = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Words that PostgreSQL 13 to 18 reserve, wholly or for functions and types.
const RESERVED: [&str; 101] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_the_server_would_need_it() {
        for (name, text) in [
            ("orders", "orders"),
            ("Orders", "\"Orders\""),
            ("order", "\"order\""),
            ("a b\"c", "\"a b\"\"c\""),
            ("1st", "\"1st\""),
            ("_x1", "_x1"),
            ("", "\"\""),
        ] {
            assert_eq!(ident(name), text);
        }
    }
}
