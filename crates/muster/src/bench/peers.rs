//! What rule sets in common use would say of the same pictures: the postgres exporter mixin, pgEdge's defaults, PgHero's.
//!
//! Written from what their sources say (`research/diagnosis.md` §1), their formulas with their known faults. Generous to them:
//! a condition counts as soon as it holds, whatever `for` they ask; an age threshold counts after a second.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::snapshot::{Role, ServerView};
use muster_model::{Snapshot, Span};

use super::diagnosis::Alert;

/// One alert of a peer.
pub(super) struct Check {
    /// Its name there.
    name: &'static str,
    /// The kind that it comes nearest to.
    kind: Option<&'static str>,
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
                fires: |_, s| !s.answers(),
            },
            Check {
                name: "PostgreSQLMaxConnectionsReached",
                kind: Some("connections.saturated"),
                fires: |_, s| used(s) >= 100.0,
            },
            Check {
                name: "PostgreSQLHighConnections",
                kind: Some("connections.saturated"),
                fires: |_, s| used(s) > 80.0,
            },
            Check {
                name: "PostgreSQLCacheHitRatio",
                kind: None,
                fires: |_, s| hit(s).is_some_and(|h| h < 98.0),
            },
            Check {
                name: "PostgreSQLHighRollback",
                kind: None,
                fires: |_, s| rollbacks(s).is_some_and(|r| r > 10.0),
            },
            Check {
                name: "PostgreSQLDeadLocks",
                kind: Some("locks.deadlocks"),
                fires: |_, s| deadlocks(s) > 5,
            },
            Check {
                name: "PostgreSQLReplicationLag",
                kind: Some("replication.lagging"),
                fires: |_, s| naive_lag(s).is_some_and(|l| l > 3600.0),
            },
            Check {
                name: "PostgreSQLInactiveReplicationSlot",
                kind: Some("wal.slot_retention"),
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
                fires: |_, s| used(s) > 80.0,
            },
            Check {
                name: "blocked_sessions",
                kind: Some("locks.blocking_chain"),
                fires: |_, s| blocked(s) > 5,
            },
            Check {
                name: "lock_wait",
                kind: Some("locks.blocking_chain"),
                fires: |p, s| waiting(p, s),
            },
            Check {
                name: "idle_in_transaction",
                kind: Some("locks.idle_in_transaction"),
                fires: |p, s| aged(p, s, |x| x.idle_in_transaction()),
            },
            Check {
                name: "long_query",
                kind: Some("query.runaway"),
                fires: |p, s| aged(p, s, |x| x.state.as_deref() == Some("active")),
            },
            Check {
                name: "long_transaction",
                kind: Some("transactions.long"),
                fires: |p, s| aged(p, s, |x| x.xact_start.is_some()),
            },
            Check {
                name: "replication_lag",
                kind: Some("replication.lagging"),
                fires: |_, s| naive_lag(s).is_some_and(|l| l > 30.0),
            },
            Check {
                name: "standby_disconnected",
                kind: Some("replication.broken"),
                fires: |p, s| disconnected(p, s),
            },
            Check {
                name: "slot_inactive",
                kind: Some("wal.slot_retention"),
                fires: |_, s| inactive_slot(s),
            },
            Check {
                name: "deadlocks",
                kind: Some("locks.deadlocks"),
                fires: |_, s| deadlocks(s) > 0,
            },
            Check {
                name: "cache_hit",
                kind: None,
                fires: |_, s| hit(s).is_some_and(|h| h < 90.0),
            },
            Check {
                name: "server_down",
                kind: Some("server.down"),
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
                fires: |p, s| aged(p, s, |x| x.state.as_deref() == Some("active")),
            },
            Check {
                name: "connections",
                kind: Some("connections.saturated"),
                fires: |_, s| clients(s) > 500,
            },
            Check {
                name: "replication lag",
                kind: Some("replication.lagging"),
                fires: |_, s| naive_lag(s).is_some_and(|l| l > 5.0),
            },
            Check {
                name: "inactive replication slots",
                kind: Some("wal.slot_retention"),
                fires: |_, s| inactive_slot(s),
            },
        ],
    },
];

/// What the peers have said since the fault.
#[derive(Default)]
pub(super) struct Peers {
    /// Said before the fault: standing noise, which counts against them too, once.
    fired: BTreeMap<&'static str, BTreeSet<Alert>>,
    settled: bool,
}

impl Peers {
    /// One picture.
    pub(super) fn look(&mut self, picture: &Snapshot) {
        if !self.settled {
            return;
        }
        for peer in PEERS {
            for check in peer.checks {
                if picture.servers.iter().any(|s| (check.fires)(picture, s)) {
                    self.fired.entry(peer.name).or_default().insert(Alert {
                        name: check.name.to_owned(),
                        kind: check.kind.map(str::to_owned),
                    });
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
        self.fired.get(peer).into_iter().flatten().cloned().collect()
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
