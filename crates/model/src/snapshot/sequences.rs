//! Sequences: where they stand, where they end, and the highest value of the column that they fill.

use serde::{Deserialize, Serialize};

/// The sequences of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Sequences {
    /// They.
    pub sequences: Vec<Sequence>,
    /// How many more there are.
    pub left_out: u64,
}

/// One sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Sequence {
    /// Oid.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Its first value.
    pub first: i64,
    /// Its lowest value.
    pub lowest: i64,
    /// Its highest value.
    pub highest: i64,
    /// Its step.
    pub step: i64,
    /// Whether it begins again at its end.
    pub cycles: bool,
    /// The column that it fills.
    pub column: Option<SequenceColumn>,
    /// Whether this login may read its value.
    pub readable: bool,
    /// Whether somebody held a lock that reading it would wait for.
    pub locked: bool,
    /// The value that it gave last; absent when it gave none yet, or could not be read.
    pub last: Option<i64>,
}

/// A column that is filled by a sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SequenceColumn {
    /// Schema of its table.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Name.
    pub name: String,
    /// The highest value that its type holds; absent when that is no integer.
    pub type_highest: Option<i64>,
    /// Whether this login may read it.
    pub readable: bool,
    /// Whether an index gives its highest value at once.
    pub indexed: bool,
    /// Its highest value, read before the sequence; absent when it was not read or there is no row.
    pub highest: Option<i64>,
}

impl Sequence {
    /// `schema.name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Where it must end: its own end, or that of its column's type, whichever comes first.
    #[must_use]
    pub fn ends_at(&self) -> i64 {
        let of_type = self.column.as_ref().and_then(|c| c.type_highest);
        self.highest.min(of_type.unwrap_or(i64::MAX))
    }
}
