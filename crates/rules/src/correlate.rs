//! Many findings, one cause: which finding explains which, as data.

use muster_model::snapshot::Role;
use muster_model::{Finding, IncidentSeverity, Severity, Snapshot};

/// `(root, symptom, where)`: the root explains the symptom.
const EXPLAINS: &[(&str, &str, Where)] = &[
    ("connections.leak", "pool.exhausted", Where::Same),
    ("connections.leak", "locks.idle_in_transaction", Where::Cluster),
    ("connections.leak", "connections.saturated", Where::Cluster),
    ("pool.slow_server", "pool.exhausted", Where::Same),
    ("pool.too_small", "pool.exhausted", Where::Same),
    ("locks.blocking_chain", "locks.idle_in_transaction", Where::Same),
    ("locks.blocking_chain", "pool.slow_server", Where::Cluster),
    ("locks.blocking_chain", "pool.exhausted", Where::Cluster),
    ("locks.blocking_chain", "connections.saturated", Where::Same),
    ("locks.ddl_queue", "locks.blocking_chain", Where::Same),
    ("locks.ddl_queue", "locks.idle_in_transaction", Where::Same),
    ("locks.ddl_queue", "pool.slow_server", Where::Cluster),
    ("locks.ddl_queue", "pool.exhausted", Where::Cluster),
    ("locks.ddl_queue", "connections.saturated", Where::Same),
    ("server.down", "replication.broken", Where::DownHere),
    ("server.down", "replication.lagging", Where::DownHere),
    ("server.down", "pool.exhausted", Where::PrimaryDown),
    ("server.down", "pool.too_small", Where::PrimaryDown),
    ("server.down", "pool.slow_server", Where::PrimaryDown),
    ("server.down", "muster.blind", Where::Same),
    ("replication.paused", "replication.lagging", Where::Same),
    ("connections.saturated", "muster.blind", Where::Same),
    ("server.down", "server.role_changed", Where::PrimaryDown),
    ("server.down", "replication.sync_stalled", Where::Cluster),
    ("server.restarting", "replication.broken", Where::DownHere),
    ("server.restarting", "replication.lagging", Where::DownHere),
    ("server.restarting", "replication.sync_stalled", Where::Cluster),
    ("server.restarting", "pool.exhausted", Where::PrimaryDown),
    ("server.restarting", "pool.too_small", Where::PrimaryDown),
    ("server.restarting", "pool.slow_server", Where::PrimaryDown),
    ("server.restarting", "muster.blind", Where::Same),
    ("server.split_brain", "server.role_changed", Where::Cluster),
    ("server.split_brain", "replication.broken", Where::Cluster),
    ("server.split_brain", "replication.lagging", Where::Cluster),
    ("replication.slot_lost", "replication.broken", Where::SameSlot),
    (
        "replication.slot_lost",
        "replication.logical_stalled",
        Where::SameSlot,
    ),
    ("replication.broken", "wal.slot_retention", Where::SameSlot),
    ("server.down", "wal.slot_retention", Where::SameSlot),
    (
        "replication.logical_stalled",
        "wal.slot_retention",
        Where::SameSlot,
    ),
    ("wal.slot_retention", "disk.wal_filling", Where::Same),
    ("wal.slot_retention", "disk.wal_full", Where::Same),
    ("wal.slot_retention", "disk.data_filling", Where::Same),
    ("wal.slot_retention", "disk.data_full", Where::Same),
    ("wal.archive_failing", "disk.wal_filling", Where::Same),
    ("wal.archive_failing", "disk.wal_full", Where::Same),
    ("wal.archive_failing", "disk.data_filling", Where::Same),
    ("wal.archive_failing", "disk.data_full", Where::Same),
    ("wal.archive_failing", "backup.wal_gap", Where::Cluster),
    ("replication.broken", "replication.sync_stalled", Where::Cluster),
    ("replication.sync_stalled", "transactions.long", Where::Same),
    ("replication.sync_stalled", "locks.blocking_chain", Where::Same),
    ("replication.sync_stalled", "connections.saturated", Where::Same),
    ("replication.sync_stalled", "pool.slow_server", Where::Cluster),
    ("replication.sync_stalled", "pool.exhausted", Where::Cluster),
    ("settings.standby_too_low", "replication.paused", Where::Same),
    ("settings.standby_too_low", "replication.broken", Where::Same),
    ("settings.invalid", "server.start_refused", Where::Same),
    ("access.rules_invalid", "server.start_refused", Where::Same),
    ("access.certificate_expiring", "access.unreachable", Where::Same),
    ("access.privilege_lost", "muster.blind", Where::Same),
    ("access.unreachable", "muster.blind", Where::Same),
    ("access.database_missing", "muster.blind", Where::Same),
    ("access.database_missing", "pool.login_failing", Where::Cluster),
];

/// Where the symptom must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// At the same target.
    Same,
    /// Anywhere in the cluster.
    Cluster,
    /// At the server that is down; when that is the primary, anywhere.
    DownHere,
    /// Anywhere, when the primary is down.
    PrimaryDown,
    /// Anywhere in the cluster, when both name the same slot, or one the standby of the other's slot.
    SameSlot,
}

/// A cause with what it explains.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// The cause.
    pub cause: Finding,
    /// What it explains.
    pub symptoms: Vec<Finding>,
    /// How bad.
    pub severity: IncidentSeverity,
    /// Whether it opens an incident.
    pub opens: bool,
    /// The chain, for `muster explain`.
    pub why: Vec<String>,
}

/// Causes, and findings that are none and belong to none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Correlated {
    /// Causes, the worst first.
    pub roots: Vec<Root>,
    /// The rest.
    pub rest: Vec<Finding>,
}

impl Correlated {
    /// All findings, causes marked.
    #[must_use]
    pub fn all(&self) -> Vec<Finding> {
        let mut out: Vec<Finding> = Vec::new();
        for root in &self.roots {
            out.push(root.cause.clone());
            for s in &root.symptoms {
                if !out.iter().any(|f| f.key() == s.key()) {
                    out.push(s.clone());
                }
            }
        }
        out.extend(self.rest.iter().cloned());
        out
    }
}

/// Names the causes.
#[must_use]
pub fn correlate(snapshot: &Snapshot, findings: &[Finding]) -> Correlated {
    let explained: Vec<bool> = findings
        .iter()
        .map(|f| findings.iter().any(|root| explains(snapshot, root, f)))
        .collect();
    let mut roots = Vec::new();
    let mut rest = Vec::new();
    for (finding, explained) in findings.iter().zip(&explained) {
        if *explained {
            continue;
        }
        if finding.severity == Severity::Info || finding.pending {
            rest.push(finding.clone());
            continue;
        }
        let symptoms: Vec<Finding> = findings
            .iter()
            .filter(|f| reaches(snapshot, findings, finding, f))
            .cloned()
            .collect();
        let opens = finding.incident || symptoms.iter().any(|s| s.incident);
        let mut why = vec![format!("{}: {}", finding.kind, finding.summary)];
        why.extend(
            symptoms
                .iter()
                .map(|s| format!("explains {}: {}", s.kind, s.summary)),
        );
        why.extend(finding.ruled_out.iter().map(|r| format!("ruled out {r}")));
        let mut cause = finding.clone();
        cause.cause = true;
        let severity = severity(snapshot, &cause);
        roots.push(Root {
            cause,
            symptoms,
            severity,
            opens,
            why,
        });
    }
    roots.sort_by(|a, b| {
        (a.severity, &a.cause.kind, &a.cause.target).cmp(&(b.severity, &b.cause.kind, &b.cause.target))
    });
    Correlated { roots, rest }
}

fn explains(snapshot: &Snapshot, root: &Finding, symptom: &Finding) -> bool {
    // What is only worth knowing is never a root: what it explained would be told nowhere.
    if root.key() == symptom.key() || root.pending || root.severity == Severity::Info {
        return false;
    }
    let primary_down = |f: &Finding| {
        snapshot
            .server(&f.target)
            .is_some_and(|s| s.role() == Some(Role::Primary))
    };
    EXPLAINS
        .iter()
        .filter(|(r, s, _)| *r == root.kind && *s == symptom.kind)
        .any(|(_, _, place)| match place {
            Where::Same => root.target == symptom.target,
            Where::Cluster => true,
            Where::DownHere => root.target == symptom.target || primary_down(root),
            Where::PrimaryDown => primary_down(root),
            Where::SameSlot => same_slot(root, symptom),
        })
}

/// Both name the same slot, or one of them names the standby that the other is about.
fn same_slot(root: &Finding, symptom: &Finding) -> bool {
    let named = |f: &Finding, what: &str| {
        let word = f.evidence.get(what).and_then(serde_json::Value::as_str);
        word.filter(|w| !w.is_empty()).map(str::to_owned)
    };
    let slot = named(root, "slot");
    (slot.is_some() && slot == named(symptom, "slot"))
        || named(root, "standby").is_some_and(|s| s == symptom.target)
        || named(symptom, "standby").is_some_and(|s| s == root.target)
}

/// Directly, or through other symptoms, however many.
fn reaches(snapshot: &Snapshot, all: &[Finding], root: &Finding, symptom: &Finding) -> bool {
    if root.key() == symptom.key() {
        return false;
    }
    let mut reached: Vec<&Finding> = vec![root];
    let mut at = 0;
    while let Some(&from) = reached.get(at) {
        if explains(snapshot, from, symptom) {
            return true;
        }
        for next in all {
            if explains(snapshot, from, next) && !reached.iter().any(|r| r.key() == next.key()) {
                reached.push(next);
            }
        }
        at += 1;
    }
    false
}

/// P0: writes unavailable. P1: degraded, or redundancy lost. P2: the rest.
fn severity(snapshot: &Snapshot, cause: &Finding) -> IncidentSeverity {
    let primary = snapshot
        .server(&cause.target)
        .is_some_and(|s| s.role() == Some(Role::Primary));
    match cause.kind.as_str() {
        "server.down" | "server.restarting" if primary => IncidentSeverity::P0,
        // Two that take writes: what one of them takes is lost.
        "server.split_brain" => IncidentSeverity::P0,
        // Commits wait for ever.
        "replication.sync_stalled" if cause.severity == Severity::Critical => IncidentSeverity::P0,
        "connections.saturated"
            if cause.evidence.get("full").and_then(serde_json::Value::as_bool) == Some(true) =>
        {
            IncidentSeverity::P0
        }
        _ if cause.severity == Severity::Critical => IncidentSeverity::P1,
        "replication.broken" | "replication.paused" => IncidentSeverity::P1,
        _ => IncidentSeverity::P2,
    }
}
