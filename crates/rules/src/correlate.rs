//! Many findings, one cause: which finding explains which, as data.

use muster_model::snapshot::{Reach, Role};
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
    ("server.start_refused", "server.down", Where::Same),
    ("server.stale_lock_file", "server.down", Where::Same),
    ("server.crash_loop", "server.down", Where::Same),
    ("server.backend_crashed", "server.down", Where::Same),
    ("server.crash_loop", "server.backend_crashed", Where::Same),
    ("memory.oom", "server.down", Where::Same),
    ("memory.oom", "server.crash_loop", Where::Same),
    ("memory.growth", "memory.oom", Where::Same),
    ("disk.data_full", "server.down", Where::Same),
    ("disk.data_full", "server.start_refused", Where::Same),
    ("disk.data_full", "server.crash_loop", Where::Same),
    ("disk.wal_full", "server.down", Where::Same),
    ("disk.wal_full", "server.start_refused", Where::Same),
    ("disk.wal_full", "server.crash_loop", Where::Same),
    ("data.corruption", "server.start_refused", Where::Same),
    ("data.corruption", "server.crash_loop", Where::Same),
    ("access.rejected", "app.error_rate", Where::Cluster),
    ("server.down", "access.rejected", Where::Same),
    ("access.rules_invalid", "access.rejected", Where::Same),
    ("access.privilege_lost", "access.rejected", Where::Same),
    ("wal.slot_retention", "disk.data_filling", Where::Same),
    ("wal.slot_retention", "disk.data_full", Where::Same),
    ("wal.slot_retention", "disk.wal_filling", Where::Same),
    ("wal.slot_retention", "disk.wal_full", Where::Same),
    ("wal.archive_failing", "disk.data_filling", Where::Same),
    ("wal.archive_failing", "disk.data_full", Where::Same),
    ("wal.archive_failing", "disk.wal_filling", Where::Same),
    ("wal.archive_failing", "disk.wal_full", Where::Same),
    ("query.temp_spill", "disk.data_filling", Where::Same),
    ("query.temp_spill", "disk.data_full", Where::Same),
    ("table.growth", "disk.data_filling", Where::Same),
    ("query.regression", "host.cpu_saturated", Where::Same),
    ("query.missing_index", "host.cpu_saturated", Where::Same),
    ("query.runaway", "host.cpu_saturated", Where::Same),
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
    if root.key() == symptom.key() || root.pending {
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
        })
}

/// Directly, or through another symptom.
fn reaches(snapshot: &Snapshot, all: &[Finding], root: &Finding, symptom: &Finding) -> bool {
    explains(snapshot, root, symptom)
        || all.iter().any(|m| {
            explains(snapshot, root, m) && explains(snapshot, m, symptom) && m.key() != symptom.key()
        })
}

/// P0: writes unavailable. P1: degraded, or redundancy lost. P2: the rest.
fn severity(snapshot: &Snapshot, cause: &Finding) -> IncidentSeverity {
    let primary = snapshot
        .server(&cause.target)
        .is_some_and(|s| s.role() == Some(Role::Primary));
    // What explains that the primary does not answer is as bad as that.
    let down = snapshot
        .server(&cause.target)
        .is_some_and(|s| matches!(s.reach, Reach::Down { .. }));
    let host = ["server.", "disk.", "memory."]
        .iter()
        .any(|area| cause.kind.starts_with(area));
    match cause.kind.as_str() {
        "server.down" if primary => IncidentSeverity::P0,
        "data.corruption" => IncidentSeverity::P0,
        _ if primary && down && host => IncidentSeverity::P0,
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
