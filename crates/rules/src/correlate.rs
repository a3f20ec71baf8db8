//! Many findings, one cause: which finding explains which, as data.

use muster_model::snapshot::Role;
use muster_model::{Finding, IncidentSeverity, Severity, Snapshot};
use serde_json::Value;

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
    // Transactions and sessions.
    ("locks.hot_row", "locks.blocking_chain", Where::Holder),
    ("locks.hot_row", "pool.slow_server", Where::Cluster),
    ("locks.hot_row", "pool.exhausted", Where::Cluster),
    ("locks.hot_row", "connections.saturated", Where::Same),
    ("locks.advisory_leak", "locks.blocking_chain", Where::Holder),
    ("locks.orphaned_prepared", "locks.blocking_chain", Where::Holder),
    ("locks.orphaned_prepared", "locks.ddl_queue", Where::Holder),
    ("locks.blocking_chain", "transactions.long", Where::Holder),
    ("locks.blocking_chain", "query.runaway", Where::Holder),
    ("locks.ddl_queue", "transactions.long", Where::Holder),
    ("locks.ddl_queue", "query.runaway", Where::Holder),
    ("locks.idle_in_transaction", "transactions.long", Where::Subject),
    ("query.runaway", "transactions.long", Where::Subject),
    ("locks.subtransactions", "pool.slow_server", Where::Cluster),
    ("locks.subtransactions", "pool.exhausted", Where::Cluster),
    ("locks.subtransactions", "connections.saturated", Where::Same),
    // Vacuum. What a session does is found before the horizon that it holds: an incident keeps its name.
    ("locks.idle_in_transaction", "vacuum.xmin_holder", Where::Subject),
    ("transactions.long", "vacuum.xmin_holder", Where::Subject),
    ("query.runaway", "vacuum.xmin_holder", Where::Subject),
    ("locks.orphaned_prepared", "vacuum.xmin_holder", Where::Subject),
    ("locks.idle_in_transaction", "vacuum.xmin_holder", Where::Behind),
    ("transactions.long", "vacuum.xmin_holder", Where::Behind),
    ("query.runaway", "vacuum.xmin_holder", Where::Behind),
    ("vacuum.xmin_holder", "vacuum.freeze_pressure", Where::Same),
    ("vacuum.xmin_holder", "vacuum.wraparound_stop", Where::Same),
    ("vacuum.xmin_holder", "vacuum.starved", Where::Same),
    ("vacuum.xmin_holder", "table.bloat", Where::Same),
    ("vacuum.xmin_holder", "index.bloat", Where::Same),
    ("vacuum.disabled", "vacuum.freeze_pressure", Where::Same),
    ("vacuum.disabled", "vacuum.wraparound_stop", Where::Same),
    ("vacuum.disabled", "table.bloat", Where::Same),
    ("vacuum.disabled", "index.bloat", Where::Same),
    ("vacuum.disabled", "query.stale_statistics", Where::Same),
    ("vacuum.starved", "vacuum.freeze_pressure", Where::Same),
    ("vacuum.starved", "vacuum.wraparound_stop", Where::Same),
    ("vacuum.starved", "table.bloat", Where::Same),
    ("vacuum.starved", "index.bloat", Where::Same),
    ("vacuum.starved", "query.stale_statistics", Where::Same),
    ("vacuum.wraparound_stop", "vacuum.freeze_pressure", Where::Same),
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
    /// At the same target, about the same subject.
    Subject,
    /// At the server and of the session that the symptom names as what is behind it.
    Behind,
    /// At the same target, where one speaks of the session (`pid`) that the other names as the `root` of its tree.
    Holder,
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
        let reached = reached(snapshot, findings, finding);
        let symptoms: Vec<Finding> = findings
            .iter()
            .zip(reached)
            .filter(|(_, reached)| *reached)
            .map(|(f, _)| f.clone())
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
        let severity = severity(snapshot, &cause, &symptoms);
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
            Where::Subject => root.target == symptom.target && root.subject == symptom.subject,
            Where::Behind => symptom.evidence.get("behind").is_some_and(|b| {
                b.get("server").and_then(Value::as_str) == Some(root.target.as_str())
                    && b.get("pid").is_some_and(|p| Some(p) == root.evidence.get("pid"))
            }),
            Where::Holder => root.target == symptom.target && (holds(root, symptom) || holds(symptom, root)),
        })
}

/// Whether `one` is about the session at the root of the tree of `other`.
fn holds(one: &Finding, other: &Finding) -> bool {
    let pid = one.evidence.get("pid");
    pid.is_some() && pid == other.evidence.get("root")
}

/// Which findings a root explains, directly or through other symptoms.
fn reached(snapshot: &Snapshot, all: &[Finding], root: &Finding) -> Vec<bool> {
    let mut reached = vec![false; all.len()];
    let mut open = vec![root];
    while let Some(from) = open.pop() {
        for (finding, seen) in all.iter().zip(&mut reached) {
            if !*seen && finding.key() != root.key() && explains(snapshot, from, finding) {
                *seen = true;
                open.push(finding);
            }
        }
    }
    reached
}

/// P0: writes unavailable. P1: degraded, or redundancy lost. P2: the rest.
fn severity(snapshot: &Snapshot, cause: &Finding, symptoms: &[Finding]) -> IncidentSeverity {
    // Whatever brought it about: nobody can write.
    if symptoms.iter().any(|s| s.kind == "vacuum.wraparound_stop") {
        return IncidentSeverity::P0;
    }
    let primary = snapshot
        .server(&cause.target)
        .is_some_and(|s| s.role() == Some(Role::Primary));
    match cause.kind.as_str() {
        "server.down" if primary => IncidentSeverity::P0,
        "vacuum.wraparound_stop" => IncidentSeverity::P0,
        "connections.saturated" if cause.evidence.get("full").and_then(Value::as_bool) == Some(true) => {
            IncidentSeverity::P0
        }
        _ if cause.severity == Severity::Critical => IncidentSeverity::P1,
        "replication.broken" | "replication.paused" => IncidentSeverity::P1,
        _ => IncidentSeverity::P2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_explains_itself_over_any_number_of_steps() {
        for (start, _, _) in EXPLAINS {
            let mut seen: Vec<&str> = Vec::new();
            let mut open = vec![*start];
            while let Some(kind) = open.pop() {
                for (_, symptom, _) in EXPLAINS.iter().filter(|(root, _, _)| *root == kind) {
                    assert_ne!(symptom, start, "a circle has no root: all of it would be lost");
                    if !seen.contains(symptom) {
                        seen.push(symptom);
                        open.push(symptom);
                    }
                }
            }
        }
    }
}
