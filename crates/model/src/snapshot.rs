//! A Snapshot: one pass of collection over one cluster, and the Gaps where something could not be read.
//!
//! Each part carries its own `taken_at`, because cadences differ. A part that is absent was not read; the [`Gap`]
//! says why. Refuses to judge: no threshold, no health.

use serde::{Deserialize, Serialize};

use crate::time::Time;

pub mod cache;
pub mod counted;
pub mod database;
pub mod horizon;
pub mod pooler;
pub mod replication;
pub mod server;
pub mod slru;
pub mod traffic;
pub mod vacuum;

pub use cache::CacheView;
pub use counted::{Before, Counted, Growth};
pub use database::DatabaseView;
pub use horizon::{Holder, HolderKind, Horizons, Prepared};
pub use pooler::{Pool, PoolClient, PoolDatabase, PoolServer, PoolerView};
pub use replication::{Receiver, Replication, Sender, Slot};
pub use server::{Activity, Identity, LockWait, Locks, Reach, Role, Rung, ServerView, Session, Settings};
pub use slru::{Slru, SlruCounters};
pub use traffic::{DatabaseCounters, Traffic};
pub use vacuum::{FreezeAge, Looks, TableVacuum, VacuumQueue, VacuumRun, Vacuuming};

/// Something that could not be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Gap {
    /// Collector that wanted it, such as `replication`.
    pub collector: String,
    /// Address of the target.
    pub target: String,
    /// What is missing and why, as a sentence.
    pub reason: String,
    /// What would close the gap, such as a GRANT line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A part of a snapshot with the time it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Part<T> {
    /// When the server answered.
    pub taken_at: Time,
    /// What it said.
    pub value: T,
}

/// What collection cost, measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cost {
    /// Statements sent.
    pub queries: u64,
    /// Rows read.
    pub rows: u64,
    /// Time spent waiting for answers, in milliseconds.
    pub busy_ms: f64,
}

/// One pass of collection over one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Snapshot {
    /// Format version ([`crate::FORMAT`]).
    pub format: u32,
    /// Cluster name of the config.
    pub cluster: String,
    /// When this pass was put together: the `now` of every rule.
    pub taken_at: Time,
    /// The PostgreSQL servers, in the order of the config.
    pub servers: Vec<ServerView>,
    /// The PgBouncers.
    pub poolers: Vec<PoolerView>,
    /// The Redis servers.
    pub caches: Vec<CacheView>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// What it cost.
    pub cost: Cost,
}

impl Snapshot {
    /// An empty pass.
    #[must_use]
    pub fn new(cluster: &str, taken_at: Time) -> Self {
        Self {
            format: crate::FORMAT,
            cluster: cluster.to_owned(),
            taken_at,
            servers: Vec::new(),
            poolers: Vec::new(),
            caches: Vec::new(),
            gaps: Vec::new(),
            cost: Cost::default(),
        }
    }

    /// The server that says it is the primary. `None` when none says so, or when more than one does.
    #[must_use]
    pub fn primary(&self) -> Option<&ServerView> {
        let mut primaries = self.servers.iter().filter(|s| s.role() == Some(Role::Primary));
        let first = primaries.next();
        if primaries.next().is_some() { None } else { first }
    }

    /// A server by its address (`shop/a`).
    #[must_use]
    pub fn server(&self, address: &str) -> Option<&ServerView> {
        self.servers.iter().find(|s| s.address == address)
    }

    /// The gaps of one collector at one target.
    #[must_use]
    pub fn gap(&self, collector: &str, target: &str) -> Option<&Gap> {
        self.gaps
            .iter()
            .find(|g| g.collector == collector && g.target == target)
    }
}
