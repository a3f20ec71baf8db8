//! A Snapshot: one pass of collection over one cluster, and the Gaps where something could not be read.
//!
//! Each part carries its own `taken_at`, because cadences differ. A part that is absent was not read; the [`Gap`]
//! says why. Refuses to judge: no threshold, no health.

use serde::{Deserialize, Serialize};

use crate::time::Time;

pub mod app;
pub mod backup;
pub mod cache;
pub mod collations;
pub mod conflicts;
pub mod counted;
pub mod database;
pub mod durations;
pub mod files;
pub mod horizon;
pub mod host;
pub mod indexes;
pub mod limiter;
pub mod limits;
pub mod log;
pub mod login;
pub mod migrations;
pub mod partitions;
pub mod pooler;
pub mod replication;
pub mod scans;
pub mod sequences;
pub mod server;
pub mod shared;
pub mod slru;
pub mod statements;
pub mod tables;
pub mod traffic;
pub mod vacuum;
pub mod waits;
pub mod widths;

pub use backup::{BackupFailure, BackupView, Duty, DutyKind, IndexCheck, WalGap};
pub use cache::{
    CacheClients, CacheCounters, CacheMemory, CachePersistence, CacheReplica, CacheReplication, CacheStats,
    CacheView, LatencyEvent, SlowCommand,
};
pub use collations::Collation;
pub use counted::{Before, Counted, Growth};
pub use database::DatabaseView;
pub use indexes::{Index, Indexes};
pub use migrations::{Fingerprint, Ledger, Migration, MigrationState, Migrations, Untold};
pub use partitions::{Partition, Partitioned, Partitions};
pub mod subscription;
pub mod wal;

pub use app::{AppHealth, AppLog, AppLogClass, AppLogCount, AppMemory, AppPool, AppRequests, AppView};
pub use conflicts::{ConflictCounters, Conflicts};
pub use durations::{Distribution, DurationBuckets};
pub use files::{BadLine, Files, ScopedSetting};
pub use horizon::{Holder, HolderKind, Horizons, Prepared};
pub use host::{
    BackendMemory, Disks, Folder, Holding, HostMemory, HostView, Load, Postmaster, Pressure, Slope, Volume,
};
pub use limiter::{LimiterView, Principal};
pub use limits::{ConnectionLimit, LimitOf};
pub use log::{
    DeadlockShape, DeadlockWait, Durations, LogClass, LogCount, LogEvent, LogFile, LogFormat, LogLevel,
    Rejection, ServerLog, StatementDuration,
};
pub use login::{Certificate, LoginView, OwnCost};
pub use pooler::{
    Pool, PoolClient, PoolCounters, PoolDatabase, PoolServer, PoolTraffic, PoolerState, PoolerView, StuckPool,
};
pub use replication::{Receiver, Replication, Sender, Slot};
pub use scans::{ScanCounters, ScannedTable};
pub use sequences::{Sequence, SequenceColumn, Sequences};
pub use server::{Activity, Identity, LockWait, Locks, Reach, Role, Rung, ServerView, Session, Settings};
pub use shared::Shared;
pub use slru::{Slru, SlruCounters};
pub use statements::{Statement, StatementWindow, Statements, StatementsOff, Usual, Work};
pub use subscription::{Subscription, SubscriptionErrors};
pub use tables::{Table, TableGrowth, Tables};
pub use traffic::{DatabaseCounters, Traffic};
pub use vacuum::{FreezeAge, Looks, TableVacuum, VacuumQueue, VacuumRun, Vacuuming};
pub use waits::{WaitSeen, Waits};
pub use wal::{Wal, WalCounters};
pub use widths::{ColumnWidth, RelationWidths, Widths};

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
    /// The applications.
    #[serde(default)]
    pub apps: Vec<AppView>,
    /// What is known of backups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<BackupView>,
    /// What somebody owes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duties: Vec<Duty>,
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
            apps: Vec::new(),
            backups: Vec::new(),
            duties: Vec::new(),
            gaps: Vec::new(),
            cost: Cost::default(),
        }
    }

    /// The server that says it is the primary: of several the one that answers, for a dead one said so before it died. `None`
    /// when none says so, and when two do and neither or both of them answer.
    #[must_use]
    pub fn primary(&self) -> Option<&ServerView> {
        let primaries = || self.servers.iter().filter(|s| s.role() == Some(Role::Primary));
        let living = primaries().any(ServerView::answers);
        let mut ones = primaries().filter(|s| s.answers() || !living);
        let first = ones.next();
        if ones.next().is_some() { None } else { first }
    }

    /// Whether a server was the primary when it was last read, and no other has taken its place.
    #[must_use]
    pub fn leads(&self, address: &str) -> bool {
        let replaced = || {
            let mut others = self.servers.iter().filter(|s| s.address != address);
            others.any(|s| s.role() == Some(Role::Primary) && s.answers())
        };
        self.server(address)
            .is_some_and(|s| s.role() == Some(Role::Primary) && (s.answers() || !replaced()))
    }

    /// A server by its address (`shop/a`).
    #[must_use]
    pub fn server(&self, address: &str) -> Option<&ServerView> {
        self.servers.iter().find(|s| s.address == address)
    }

    /// Everything that is watched, with whether it can be reached.
    pub fn components(&self) -> impl Iterator<Item = (&String, &Reach)> {
        self.servers
            .iter()
            .map(|s| (&s.address, &s.reach))
            .chain(self.poolers.iter().map(|p| (&p.address, &p.reach)))
            .chain(self.caches.iter().map(|c| (&c.address, &c.reach)))
            .chain(self.apps.iter().map(|a| (&a.address, &a.reach)))
    }

    /// The gaps of one collector at one target.
    #[must_use]
    pub fn gap(&self, collector: &str, target: &str) -> Option<&Gap> {
        self.gaps
            .iter()
            .find(|g| g.collector == collector && g.target == target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, role: Role, reach: Reach) -> ServerView {
        let mut s = ServerView::unread(name, &format!("shop/{name}"), "");
        s.reach = reach;
        s.identity = Some(Part {
            taken_at: Time::from_millis(0),
            value: Identity {
                system_identifier: "7".into(),
                timeline: 1,
                role,
                version_num: 150_018,
                version: "15.18".into(),
                started_at: Time::from_millis(0),
                read_only: false,
                cluster_name: String::new(),
            },
        });
        s
    }

    fn dead() -> Reach {
        Reach::Down {
            rung: Rung::Tcp,
            reason: "refused".into(),
            misses: 9,
            since: Time::from_millis(0),
        }
    }

    #[test]
    fn a_dead_primary_does_not_hide_the_one_that_took_its_place() {
        let lead = |all: Vec<ServerView>| {
            let mut s = Snapshot::new("shop", Time::from_millis(0));
            s.servers = all;
            let leads: Vec<bool> = s.servers.iter().map(|v| s.leads(&v.address)).collect();
            (s.primary().map(|p| p.name.clone()), leads)
        };
        let primary = |name, reach| view(name, Role::Primary, reach);
        let a = Some("a".to_owned());
        assert_eq!(
            lead(vec![primary("x", dead()), primary("a", Reach::Up)]),
            (a.clone(), vec![false, true])
        );
        assert_eq!(
            lead(vec![primary("a", dead()), view("b", Role::Standby, Reach::Up)]),
            (a, vec![true, false])
        );
        assert_eq!(
            lead(vec![primary("a", Reach::Up), primary("b", Reach::Up)]),
            (None, vec![true, true])
        );
        assert_eq!(lead(vec![primary("a", dead()), primary("b", dead())]).0, None);
    }
}
