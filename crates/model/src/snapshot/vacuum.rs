//! What vacuum does and has still to do: running vacuums, how old the oldest rows of each database are, and the tables
//! that are past their thresholds.

use serde::{Deserialize, Serialize};

use super::Counted;
use crate::time::Time;

/// A vacuum that runs, or an autovacuum worker at something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct VacuumRun {
    /// Process id.
    pub pid: i32,
    /// Whether it is an autovacuum worker.
    pub automatic: bool,
    /// Whether autovacuum runs it to prevent wraparound: then it does not yield.
    pub wraparound: bool,
    /// Database.
    pub database: Option<String>,
    /// Oid of the table, while its progress is shown.
    pub relation: Option<u32>,
    /// Statement without literals; of a worker it names the table.
    pub query: Option<String>,
    /// Since when its statement runs.
    pub since: Option<Time>,
    /// Phase, such as `scanning heap`.
    pub phase: Option<String>,
    /// Pages of the table.
    pub pages: Option<u64>,
    /// Pages of it scanned.
    pub scanned: Option<u64>,
    /// How often it went through the indexes.
    pub index_passes: Option<u64>,
}

/// How old the oldest rows of a database are. Databases that nobody may connect to count as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FreezeAge {
    /// Database.
    pub database: String,
    /// `age(datfrozenxid)`.
    pub xids: u64,
    /// `mxid_age(datminmxid)`.
    pub multixacts: u64,
}

/// How often it was looked at the workers, and how often all of them were busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Looks {
    /// Looks.
    pub all: u64,
    /// Looks at which as many workers ran as there may be.
    pub full: u64,
}

/// Vacuum on one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Vacuuming {
    /// What runs.
    pub runs: Vec<VacuumRun>,
    /// `autovacuum_max_workers`.
    pub max_workers: u32,
    /// How often all workers were busy.
    pub looks: Counted<Looks>,
    /// Every database.
    pub freeze: Vec<FreezeAge>,
    /// Whether this role sees the workers.
    pub sees_all: bool,
}

/// A table that vacuum should look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TableVacuum {
    /// Oid.
    pub oid: u32,
    /// `schema.table`; a TOAST table goes by the name of its table.
    pub table: String,
    /// Row versions that nobody sees any more, as the statistics say.
    pub dead: u64,
    /// Live rows, as the statistics say.
    pub live: u64,
    /// Dead row versions, or inserted rows, over the threshold at which autovacuum takes the table: 1 and more is due.
    pub due: f64,
    /// `autovacuum_enabled`, by its own options.
    pub enabled: bool,
    /// A temporary table: only its own session can vacuum it.
    pub temporary: bool,
    /// `age(relfrozenxid)`.
    pub xids: u64,
    /// `mxid_age(relminmxid)`.
    pub multixacts: u64,
    /// When it was last vacuumed, by whomever.
    pub last_vacuum: Option<Time>,
    /// Since when looks have seen it due.
    pub due_since: Option<Time>,
}

impl TableVacuum {
    /// Share of dead row versions, in per cent.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn dead_percent(&self) -> f64 {
        self.dead as f64 * 100.0 / (self.dead + self.live).max(1) as f64
    }
}

/// What vacuum has to do in one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct VacuumQueue {
    /// How many of these are due and not switched off.
    pub due: u64,
    /// Tables that are due, switched off with dead row versions, or the oldest; at most 100.
    pub tables: Vec<TableVacuum>,
}
