//! Partitioned tables and the times that their partitions cover.

use serde::{Deserialize, Serialize};

use super::Counted;
use crate::time::Time;

/// The range-partitioned tables of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Partitions {
    /// They.
    pub parents: Vec<Partitioned>,
    /// Partitions that were not read.
    pub left_out: u64,
    /// Bytes of a page.
    pub block: u64,
}

/// One range-partitioned table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Partitioned {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Whether its key is one column of a date or time, so that its bounds are times.
    pub by_time: bool,
    /// Type of the key, such as `timestamptz`.
    pub key_type: Option<String>,
    /// Its partitions: the default one first, then the newest.
    pub partitions: Vec<Partition>,
    /// Whether some of them were left out.
    pub cut: bool,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[allow(clippy::struct_excessive_bools)]
pub struct Partition {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Whether it is partitioned itself.
    pub parent: bool,
    /// Whether it takes what no other takes.
    pub is_default: bool,
    /// Whether its DETACH CONCURRENTLY did not end: it is no partition any more.
    pub detaching: bool,
    /// Whether it has no beginning.
    pub from_ever: bool,
    /// Whether it has no end.
    pub to_ever: bool,
    /// First moment that it takes. A date without a zone begins in the zone of the observing session.
    pub from: Option<Time>,
    /// First moment that it no longer takes.
    pub to: Option<Time>,
    /// Pages when it was last vacuumed or analysed.
    pub pages: u64,
    /// Rows by the counters.
    pub live: u64,
    /// Rows ever inserted, for a default partition.
    pub inserted: Option<Counted<u64>>,
}

impl Partitioned {
    /// `schema.name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Partitions with both bounds or one, by their beginning; what is being detached is none.
    #[must_use]
    pub fn bounded(&self) -> Vec<&Partition> {
        let mut out: Vec<&Partition> = self
            .partitions
            .iter()
            .filter(|p| !p.is_default && !p.detaching)
            .filter(|p| (p.from.is_some() || p.from_ever) && (p.to.is_some() || p.to_ever))
            .collect();
        out.sort_by_key(|p| (p.from, p.to));
        out
    }

    /// Its default partition.
    #[must_use]
    pub fn default_partition(&self) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.is_default)
    }
}
