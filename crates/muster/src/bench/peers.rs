//! What rule sets in common use would say of the same pictures: the postgres exporter mixin, pgEdge's defaults, PgHero's.
//!
//! Written from what their sources say (`research/diagnosis.md` §1), their formulas with their known faults. Generous to them:
//! a condition counts as soon as it holds, whatever `for` they ask; an age threshold counts after a second where there is a fault.

use std::collections::BTreeMap;

use muster_model::snapshot::{Role, ServerView};
use muster_model::{Snapshot, Span};

use super::diagnosis::Alert;

/// One alert of a peer.
pub(super) struct Check {
    /// Its name there.
    name: &'static str,
    /// The kind that it comes nearest to.
    kind: Option<&'static str>,
    /// Whether it asks for an age of minutes, for which nobody waits here: it counts after a second where there is a fault to be
    /// found, and not at all where there is none, as no case lasts so long.
    age: bool,
    /// Whether it fires for a server of a picture.
    fires: fn(&Snapshot, &ServerView) -> bool,
}

/// A rule set.
pub(super) struct Peer {
    /// Name.
    pub(super) name: &'static str,
    checks: &'static [Check],
}

/// All of them.
pub(super) const PEERS: &[Peer] = &[
    Peer {
        name: "postgres exporter mixin",
        checks: &[
            Check {
                name: "PostgreSQLDown",
                kind: Some("server.down"),
                age: false,
                fires: |_, s| !s.answers(),
            },
            Check {
                name: "PostgreSQLMaxConnectionsReached",
                kind: Some("connections.saturated"),
                age: false,
                fires: |_, s| used(s) >= 100.0,
            },
            Check {
                name: "PostgreSQLHighConnections",
                kind: Some("connections.saturated"),
                age: false,
                fires: |_, s| used(s) > 80.0,
            },
            Check {
                name: "PostgreSQLCacheHitRatio",
                kind: None,
                age: false,
                fires: |_, s| hit(s).is_some_and(|h| h < 98.0),
            },
            Check {
                name: "PostgreSQLHighRollback",
                kind: None,
                age: false,
                fires: |_, s| rollbacks(s).is_some_and(|r| r > 10.0),
            },
            Check {
                name: "PostgreSQLDeadLocks",
                kind: Some("locks.deadlocks"),
                age: false,
                fires: |_, s| deadlocks(s) > 5,
            },
            Check {
                name: "PostgreSQLReplicationLag",
                kind: Some("replication.lagging"),
                age: false,
                fires: |_, s| naive_lag(s).is_some_and(|l| l > 3600.0),
            },
            Check {
                name: "PostgreSQLCheckpointsRequested",
                kind: Some("wal.checkpoint_pressure"),
                age: false,
                fires: |_, s| requested(s).is_some_and(|r| r > 50.0),
            },
            Check {
                name: "PostgreSQLRoleChange",
                kind: Some("server.role_changed"),
                age: false,
                fires: |p, s| s.role() == Some(Role::Primary) && p.primary().is_none(),
            },
            Check {
                name: "PostgreSQLInactiveReplicationSlot",
                kind: Some("wal.slot_retention"),
                age: false,
                fires: |_, s| inactive_slot(s),
            },
        ],
    },
    Peer {
        name: "pgEdge defaults",
        checks: &[
            Check {
                name: "connection_usage",
                kind: Some("connections.saturated"),
                age: false,
                fires: |_, s| used(s) > 80.0,
            },
            Check {
                name: "blocked_sessions",
                kind: Some("locks.blocking_chain"),
                age: false,
                fires: |_, s| blocked(s) > 5,
            },
            Check {
                name: "lock_wait",
                kind: Some("locks.blocking_chain"),
                age: true,
                fires: |p, s| waiting(p, s),
            },
            Check {
                name: "idle_in_transaction",
                kind: Some("locks.idle_in_transaction"),
                age: true,
                fires: |p, s| aged(p, s, |x| x.idle_in_transaction()),
            },
            Check {
                name: "long_query",
                kind: Some("query.runaway"),
                age: true,
                fires: |p, s| aged(p, s, |x| x.state.as_deref() == Some("active")),
            },
            Check {
                name: "long_transaction",
                kind: Some("transactions.long"),
                age: true,
                fires: |p, s| aged(p, s, |x| x.xact_start.is_some()),
            },
            Check {
                name: "replication_lag",
                kind: Some("replication.lagging"),
                age: false,
                fires: |_, s| naive_lag(s).is_some_and(|l| l > 30.0),
            },
            Check {
                name: "standby_disconnected",
                kind: Some("replication.broken"),
                age: false,
                fires: |p, s| disconnected(p, s),
            },
            Check {
                name: "slot_retained",
                kind: Some("wal.slot_retention"),
                age: false,
                fires: |_, s| retained(s) > 1_000_000_000,
            },
            Check {
                name: "archive_failed",
                kind: Some("wal.archive_failing"),
                age: false,
                fires: |_, s| archive_failed(s),
            },
            Check {
                name: "dead_tuples",
                kind: Some("vacuum.disabled"),
                age: false,
                fires: |_, s| dead(s) > 10.0,
            },
            Check {
                name: "slot_inactive",
                kind: Some("wal.slot_retention"),
                age: false,
                fires: |_, s| inactive_slot(s),
            },
            Check {
                name: "deadlocks",
                kind: Some("locks.deadlocks"),
                age: false,
                fires: |_, s| deadlocks(s) > 0,
            },
            Check {
                name: "cache_hit",
                kind: None,
                age: false,
                fires: |_, s| hit(s).is_some_and(|h| h < 90.0),
            },
            Check {
                name: "server_down",
                kind: Some("server.down"),
                age: false,
                fires: |_, s| !s.answers(),
            },
        ],
    },
    Peer {
        name: "PgHero defaults",
        checks: &[
            Check {
                name: "long running queries",
                kind: Some("query.runaway"),
                age: true,
                fires: |p, s| aged(p, s, |x| x.state.as_deref() == Some("active")),
            },
            Check {
                name: "connections",
                kind: Some("connections.saturated"),
                age: false,
                fires: |_, s| clients(s) > 500,
            },
            Check {
                name: "replication lag",
                kind: Some("replication.lagging"),
                age: false,
                fires: |_, s| naive_lag(s).is_some_and(|l| l > 5.0),
            },
            Check {
                name: "sequences near their end",
                kind: Some("sequence.exhausted"),
                age: false,
                fires: |_, s| sequence(s) > 90.0,
            },
            Check {
                name: "invalid indexes",
                kind: Some("index.invalid"),
                age: false,
                fires: |_, s| indexes(s).any(|i| !i.valid),
            },
            Check {
                name: "duplicate indexes",
                kind: Some("index.redundant"),
                age: false,
                fires: |_, s| duplicates(s),
            },
            Check {
                name: "slow queries",
                kind: Some("query.slow"),
                age: false,
                fires: |_, s| slow(s),
            },
            Check {
                name: "query stats",
                kind: Some("query.statistics_off"),
                age: false,
                fires: |_, s| s.statements.as_ref().is_some_and(|p| p.value.off.is_some()),
            },
            Check {
                name: "inactive replication slots",
                kind: Some("wal.slot_retention"),
                age: false,
                fires: |_, s| inactive_slot(s),
            },
        ],
    },
];

/// What the peers have said since the fault.
#[derive(Default)]
pub(super) struct Peers {
    /// In order of time, each once; standing noise of before the fault among them.
    fired: BTreeMap<&'static str, Vec<Alert>>,
    settled: bool,
    control: bool,
}

impl Peers {
    /// Of a case with a fault, or of one without.
    pub(super) fn of(control: bool) -> Self {
        Self {
            control,
            ..Self::default()
        }
    }

    /// One picture.
    pub(super) fn look(&mut self, picture: &Snapshot) {
        if !self.settled {
            return;
        }
        for peer in PEERS {
            for check in peer.checks.iter().filter(|c| !(c.age && self.control)) {
                if picture.servers.iter().any(|s| (check.fires)(picture, s)) {
                    let fired = self.fired.entry(peer.name).or_default();
                    if fired.iter().all(|a| a.name != check.name) {
                        fired.push(Alert {
                            name: check.name.to_owned(),
                            kind: check.kind.map(str::to_owned),
                        });
                    }
                }
            }
        }
    }

    /// From here on it counts.
    pub(super) fn settled(&mut self) {
        self.settled = true;
    }

    /// What a peer said.
    pub(super) fn fired(&self, peer: &str) -> Vec<Alert> {
        self.fired.get(peer).cloned().unwrap_or_default()
    }
}

fn clients(s: &ServerView) -> usize {
    s.activity
        .as_ref()
        .map_or(0, |a| a.value.sessions.iter().filter(|s| s.is_client()).count())
}

/// Per cent of the usable slots.
#[allow(clippy::cast_precision_loss)]
fn used(s: &ServerView) -> f64 {
    s.activity.as_ref().map_or(0.0, |a| {
        let usable = a.value.max_connections.saturating_sub(a.value.reserved).max(1);
        clients(s) as f64 * 100.0 / f64::from(usable)
    })
}

#[allow(clippy::cast_precision_loss)]
fn hit(s: &ServerView) -> Option<f64> {
    let t = s.traffic.as_ref()?.value.iter().find(|t| t.database == "app")?;
    let (hit, read) = (t.counted.now.blocks_hit, t.counted.now.blocks_read);
    (hit + read > 0).then(|| hit as f64 * 100.0 / (hit + read) as f64)
}

#[allow(clippy::cast_precision_loss)]
fn rollbacks(s: &ServerView) -> Option<f64> {
    let t = s.traffic.as_ref()?.value.iter().find(|t| t.database == "app")?;
    let back = t.counted.in_five_minutes(|c| c.rollbacks)?.by;
    let all = back + t.counted.in_five_minutes(|c| c.commits)?.by;
    (all > 0).then(|| back as f64 * 100.0 / all as f64)
}

fn deadlocks(s: &ServerView) -> u64 {
    let grown =
        |t: &muster_model::snapshot::Traffic| t.counted.in_five_minutes(|c| c.deadlocks).map_or(0, |g| g.by);
    s.traffic.as_ref().map_or(0, |t| t.value.iter().map(grown).sum())
}

/// "received = replayed, so there is no lag; else the age of the last commit", as the exporter has it.
fn naive_lag(s: &ServerView) -> Option<f64> {
    let part = s
        .replication
        .as_ref()
        .filter(|_| s.role() == Some(Role::Standby))?;
    let r = &part.value;
    if r.received == r.replayed {
        return Some(0.0);
    }
    Some(part.taken_at.since(r.last_replayed_commit?).secs_f64())
}

fn inactive_slot(s: &ServerView) -> bool {
    s.replication
        .as_ref()
        .is_some_and(|r| r.value.slots.iter().any(|s| !s.active))
}

/// A standby of the config that the primary does not list.
fn disconnected(p: &Snapshot, s: &ServerView) -> bool {
    let Some(primary) = p.primary().filter(|_| s.role() == Some(Role::Standby)) else {
        return false;
    };
    primary
        .replication
        .as_ref()
        .is_some_and(|r| !r.value.senders.iter().any(|x| x.application == s.name))
}

fn blocked(s: &ServerView) -> usize {
    s.activity.as_ref().map_or(0, |a| {
        a.value
            .sessions
            .iter()
            .filter(|s| !s.blocked_by.is_empty())
            .count()
    })
}

fn waiting(p: &Snapshot, s: &ServerView) -> bool {
    s.locks.as_ref().is_some_and(|l| {
        l.value
            .waits
            .iter()
            .any(|w| w.since.is_some_and(|t| p.taken_at.since(t) >= Span::from_secs(1)))
    })
}

/// Some client's session is so since a second; our own are left out.
fn aged(p: &Snapshot, s: &ServerView, so: fn(&muster_model::snapshot::Session) -> bool) -> bool {
    s.activity.as_ref().is_some_and(|a| {
        a.value.sessions.iter().any(|x| {
            x.is_client()
                && !x.application.starts_with("muster/")
                && so(x)
                && x.state_change
                    .is_some_and(|t| p.taken_at.since(t) >= Span::from_secs(1))
        })
    })
}

fn indexes(s: &ServerView) -> impl Iterator<Item = &muster_model::snapshot::Index> {
    s.databases
        .iter()
        .filter_map(|d| d.indexes.as_ref())
        .flat_map(|p| p.value.indexes.iter())
}

/// Two valid ones of one table that begin with the same keys, as PgHero compares them.
fn duplicates(s: &ServerView) -> bool {
    let all: Vec<_> = indexes(s).filter(|i| i.valid && !i.unique).collect();
    all.iter().any(|a| {
        all.iter()
            .any(|b| a.oid != b.oid && a.table_oid == b.table_oid && b.keys.starts_with(&a.keys))
    })
}

#[allow(clippy::cast_precision_loss)]
fn sequence(s: &ServerView) -> f64 {
    let used = |q: &muster_model::snapshot::Sequence| {
        let highest = q
            .column
            .as_ref()
            .and_then(|c| c.type_highest)
            .map_or(q.highest, |h| h.min(q.highest));
        q.last.map_or(0.0, |l| l as f64 * 100.0 / highest.max(1) as f64)
    };
    let all = s.databases.iter().filter_map(|d| d.sequences.as_ref());
    all.flat_map(|p| p.value.sequences.iter())
        .map(used)
        .fold(0.0, f64::max)
}

/// A mean of 20 ms over 100 calls.
fn slow(s: &ServerView) -> bool {
    let window = s.statements.as_ref().and_then(|p| p.value.window.as_ref());
    window.is_some_and(|w| {
        w.top
            .iter()
            .any(|q| q.work.calls >= 100 && q.work.mean_ms() >= 20.0)
    })
}

/// Per cent of the rows of the worst table that are dead.
#[allow(clippy::cast_precision_loss)]
fn dead(s: &ServerView) -> f64 {
    let tables = s.databases.iter().filter_map(|d| d.tables.as_ref());
    let share = |t: &muster_model::snapshot::Table| t.dead as f64 * 100.0 / (t.dead + t.live).max(1) as f64;
    tables
        .flat_map(|p| p.value.tables.iter())
        .filter(|t| t.dead > 1000)
        .map(share)
        .fold(0.0, f64::max)
}

fn archive_failed(s: &ServerView) -> bool {
    let wal = s.wal.as_ref().map(|p| &p.value);
    wal.and_then(|w| w.counted.in_five_minutes(|c| c.archive_failed))
        .is_some_and(|g| g.by > 0)
}

#[allow(clippy::cast_precision_loss)]
fn requested(s: &ServerView) -> Option<f64> {
    let counted = &s.wal.as_ref()?.value.counted;
    let (asked, timed) = (
        counted.in_five_minutes(|c| c.requested)?.by,
        counted.in_five_minutes(|c| c.timed)?.by,
    );
    (asked + timed > 0).then(|| asked as f64 * 100.0 / (asked + timed) as f64)
}

fn retained(s: &ServerView) -> u64 {
    let Some(r) = s.replication.as_ref().map(|p| &p.value) else {
        return 0;
    };
    let kept = |slot: &muster_model::snapshot::Slot| Some(r.current?.saturating_sub(slot.restart?));
    r.slots.iter().filter_map(kept).max().unwrap_or(0)
}
