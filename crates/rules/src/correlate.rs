//! Many findings, one cause: which finding explains which, as data.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::fingerprint::{Words, words};
use muster_model::snapshot::Reach;
use muster_model::{Finding, IncidentSeverity, Record, Severity, Snapshot};
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
    ("partition.missing", "partition.default_rows", Where::Subject),
    ("partition.gap", "partition.default_rows", Where::Subject),
    ("partition.missing", "app.error_rate", Where::WhenIncident),
    ("partition.gap", "app.error_rate", Where::WhenIncident),
    ("sequence.behind", "app.error_rate", Where::Cluster),
    ("sequence.exhausted", "app.error_rate", Where::WhenIncident),
    ("sequence.exhausted", "sequence.behind", Where::Subject),
    ("vacuum.xmin_holder", "table.bloat", Where::Cluster),
    ("vacuum.xmin_holder", "index.bloat", Where::Cluster),
    ("vacuum.disabled", "table.bloat", Where::Same),
    ("vacuum.disabled", "index.bloat", Where::Same),
    ("vacuum.starved", "table.bloat", Where::Same),
    ("vacuum.starved", "index.bloat", Where::Same),
    ("vacuum.disabled", "query.stale_statistics", Where::Same),
    ("vacuum.starved", "query.stale_statistics", Where::Same),
    ("query.stale_statistics", "query.regression", Where::Table),
    ("query.stale_statistics", "query.slow", Where::Table),
    ("index.invalid", "query.slow", Where::Table),
    ("table.bloat", "query.slow", Where::Table),
    ("table.growth", "disk.data_filling", Where::Same),
    ("migration.failed", "migration.behind", Where::Same),
    ("migration.failed", "migration.drift", Where::Same),
    ("migration.failed", "index.invalid", Where::Same),
    ("migration.failed", "app.error_rate", Where::WhenIncident),
    ("data.collation_mismatch", "data.index_corruption", Where::Same),
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
    ("locks.blocking_chain", "query.slow", Where::Same),
    ("locks.blocking_chain", "query.regression", Where::Same),
    ("locks.hot_row", "query.slow", Where::Same),
    ("locks.hot_row", "query.regression", Where::Same),
    ("locks.ddl_queue", "query.slow", Where::Same),
    ("locks.ddl_queue", "query.regression", Where::Same),
    ("query.missing_index", "query.slow", Where::Table),
    ("query.missing_index", "query.regression", Where::Table),
    ("query.missing_index", "host.cpu_saturated", Where::Same),
    ("query.missing_index", "pool.slow_server", Where::Cluster),
    ("query.missing_index", "pool.exhausted", Where::Cluster),
    ("query.missing_index", "connections.saturated", Where::Same),
    ("query.regression", "query.slow", Where::Same),
    ("query.regression", "host.cpu_saturated", Where::Same),
    ("query.regression", "pool.slow_server", Where::Cluster),
    ("query.regression", "pool.exhausted", Where::Cluster),
    ("query.regression", "connections.saturated", Where::Same),
    ("query.temp_spill", "query.slow", Where::Same),
    ("query.temp_spill", "disk.data_filling", Where::Same),
    ("query.temp_spill", "disk.data_full", Where::Same),
    ("query.slow", "pool.slow_server", Where::Cluster),
    ("query.slow", "pool.exhausted", Where::Cluster),
    ("query.slow", "connections.saturated", Where::Same),
    ("table.bloat", "query.regression", Where::Table),
    ("pool.down", "pool.exhausted", Where::Same),
    ("pool.down", "pool.paused", Where::Same),
    ("pool.down", "pool.client_limit", Where::Same),
    ("pool.down", "pool.login_failing", Where::Same),
    ("pool.down", "pool.too_small", Where::Same),
    ("pool.down", "pool.slow_server", Where::Same),
    ("pool.down", "muster.blind", Where::Same),
    ("pool.down", "app.error_rate", Where::Cluster),
    ("pool.down", "app.pool_saturated", Where::Cluster),
    ("pool.paused", "pool.exhausted", Where::Same),
    ("pool.paused", "app.error_rate", Where::Cluster),
    ("pool.paused", "app.pool_saturated", Where::Cluster),
    ("pool.login_failing", "pool.exhausted", Where::Same),
    ("pool.login_failing", "app.error_rate", Where::Cluster),
    ("pool.login_failing", "app.pool_saturated", Where::Cluster),
    ("pool.client_limit", "muster.blind", Where::Same),
    ("pool.client_limit", "app.error_rate", Where::WhenCritical),
    ("pool.exhausted", "app.error_rate", Where::Cluster),
    ("pool.exhausted", "app.pool_saturated", Where::Cluster),
    ("connections.leak", "connections.role_limit", Where::Cluster),
    (
        "connections.role_limit",
        "pool.login_failing",
        Where::WhenCritical,
    ),
    ("connections.saturated", "pool.login_failing", Where::WhenCritical),
    ("connections.saturated", "app.error_rate", Where::WhenCritical),
    ("connections.role_limit", "app.error_rate", Where::WhenCritical),
    ("locks.blocking_chain", "app.pool_saturated", Where::Cluster),
    ("locks.ddl_queue", "app.pool_saturated", Where::Cluster),
    ("server.down", "pool.login_failing", Where::PrimaryDown),
    ("server.down", "app.error_rate", Where::PrimaryDown),
    ("server.down", "app.pool_saturated", Where::PrimaryDown),
    ("app.pool_saturated", "app.error_rate", Where::Same),
    ("app.down", "muster.blind", Where::Same),
    ("cache.unreachable", "cache.replication", Where::Cluster),
    ("cache.unreachable", "limits.degraded", Where::Cluster),
    ("cache.unreachable", "app.error_rate", Where::Cluster),
    ("cache.unreachable", "muster.blind", Where::Same),
    ("cache.clients", "app.error_rate", Where::WhenCritical),
    ("cache.clients", "limits.degraded", Where::WhenCritical),
    ("cache.memory", "app.error_rate", Where::WhenCritical),
    ("cache.persistence", "app.error_rate", Where::WhenCritical),
    ("cache.evictions", "cache.hit_rate", Where::Same),
    ("limits.abuse", "pool.exhausted", Where::Cluster),
    ("limits.abuse", "connections.saturated", Where::Cluster),
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
    ("query.runaway", "host.cpu_saturated", Where::Same),
    // Transactions and sessions.
    ("locks.hot_row", "locks.blocking_chain", Where::Holder),
    ("locks.hot_row", "pool.slow_server", Where::Cluster),
    ("locks.hot_row", "pool.exhausted", Where::Cluster),
    ("locks.hot_row", "connections.saturated", Where::Same),
    ("locks.advisory_leak", "locks.blocking_chain", Where::Holder),
    ("locks.orphaned_prepared", "locks.blocking_chain", Where::Holder),
    ("server.down", "wal.slot_retention", Where::SameSlot),
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
    ("vacuum.starved", "vacuum.freeze_pressure", Where::Same),
    ("vacuum.starved", "vacuum.wraparound_stop", Where::Same),
    ("vacuum.wraparound_stop", "vacuum.freeze_pressure", Where::Same),
];

/// Where the symptom must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// At the same target.
    Same,
    /// About the same thing at the same target.
    Subject,
    /// Anywhere in the cluster.
    Cluster,
    /// At the server that is down; when that is the primary, anywhere.
    DownHere,
    /// Anywhere, when the primary is down.
    PrimaryDown,
    /// Anywhere in the cluster, when both name the same slot, or one the standby of the other's slot.
    SameSlot,
    /// Anywhere in the cluster, when the root hurts already: what is only nearly full explains no error.
    WhenCritical,
    /// Anywhere in the cluster, when the root is an incident itself: a warning that has stood for weeks explains no error of now.
    WhenIncident,
    /// At the same target, when a statement of the symptom names the table that the root is about.
    Table,
    /// At the server and of the session that the symptom names as what is behind it.
    Behind,
    /// At the same target, where one speaks of a session (`pid`, `roots`) that the other names as a root of its tree (`root`, `roots`).
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
        let mut said: BTreeSet<String> = BTreeSet::new();
        for root in &self.roots {
            said.insert(root.cause.key());
            out.push(root.cause.clone());
            for s in &root.symptoms {
                if said.insert(s.key()) {
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
    let links = Links::new(snapshot, findings);
    let mut explained = vec![false; findings.len()];
    for symptom in links.from.iter().flatten() {
        explained[*symptom] = true;
    }
    // What only explains each other has no root: then the first of them is it, for nothing may be lost.
    let mut told = vec![false; findings.len()];
    let mut reach: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let tell = |told: &mut Vec<bool>, at: usize| {
        let reached = links.reached(at);
        told[at] = true;
        for symptom in &reached {
            told[*symptom] = true;
        }
        reached
    };
    for at in (0..findings.len()).filter(|i| !explained[*i]) {
        reach.insert(at, tell(&mut told, at));
    }
    for at in 0..findings.len() {
        if !told[at] {
            reach.insert(at, tell(&mut told, at));
        }
    }
    let mut roots = Vec::new();
    let mut rest = Vec::new();
    for (at, reached) in reach {
        let finding = &findings[at];
        if finding.severity == Severity::Info || finding.pending {
            rest.push(finding.clone());
            continue;
        }
        let symptoms: Vec<Finding> = reached.into_iter().map(|i| findings[i].clone()).collect();
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

/// Which finding explains which, by their places in the list.
struct Links {
    from: Vec<Vec<usize>>,
    /// Pairs that were looked at: only those of kinds that have to do with each other.
    #[cfg(test)]
    pairs: usize,
}

impl Links {
    fn new(snapshot: &Snapshot, findings: &[Finding]) -> Self {
        let mut by_kind: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, finding) in findings.iter().enumerate() {
            by_kind.entry(&finding.kind).or_default().push(at);
        }
        let of = |kind: &str| by_kind.get(kind).map(Vec::as_slice).unwrap_or_default();
        let mut from: Vec<Vec<usize>> = vec![Vec::new(); findings.len()];
        // The texts of a symptom are taken apart once, however many tables may be behind it.
        let mut texts: BTreeMap<usize, Vec<Text>> = BTreeMap::new();
        #[cfg(test)]
        let mut pairs = 0;
        for (kind, explains, place) in EXPLAINS {
            for root in of(kind) {
                // What is only worth knowing is never a root: what it explained would be told nowhere.
                if findings[*root].pending || findings[*root].severity == Severity::Info {
                    continue;
                }
                for symptom in of(explains) {
                    #[cfg(test)]
                    {
                        pairs += 1;
                    }
                    let (one, other) = (&findings[*root], &findings[*symptom]);
                    let holds = if *place == Where::Table {
                        one.target == other.target
                            && on_table(one, texts.entry(*symptom).or_insert_with(|| statements(other)))
                    } else {
                        at(snapshot, *place, one, other)
                    };
                    if holds && root != symptom {
                        from[*root].push(*symptom);
                    }
                }
            }
        }
        for list in &mut from {
            list.sort_unstable();
            list.dedup();
        }
        Self {
            from,
            #[cfg(test)]
            pairs,
        }
    }

    /// Which findings a root explains, directly or through other symptoms, in the order of the list.
    fn reached(&self, root: usize) -> Vec<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![root];
        while let Some(from) = open.pop() {
            for symptom in &self.from[from] {
                if *symptom != root && reached.insert(*symptom) {
                    open.push(*symptom);
                }
            }
        }
        reached.into_iter().collect()
    }
}

/// Whether a symptom is where the root has to do with it.
fn at(snapshot: &Snapshot, place: Where, root: &Finding, symptom: &Finding) -> bool {
    match place {
        Where::Same => root.target == symptom.target,
        Where::Subject => root.target == symptom.target && root.subject == symptom.subject,
        Where::Cluster => true,
        Where::DownHere => root.target == symptom.target || snapshot.leads(&root.target),
        Where::PrimaryDown => snapshot.leads(&root.target),
        Where::SameSlot => same_slot(root, symptom),
        Where::WhenCritical => root.severity == Severity::Critical,
        Where::WhenIncident => root.incident,
        Where::Table => root.target == symptom.target && on_table(root, &statements(symptom)),
        Where::Behind => symptom.evidence.get("behind").is_some_and(|b| {
            b.get("server").and_then(Value::as_str) == Some(root.target.as_str())
                && b.get("pid").is_some_and(|p| Some(p) == root.evidence.get("pid"))
        }),
        Where::Holder => root.target == symptom.target && (holds(root, symptom) || holds(symptom, root)),
    }
}

/// A statement of a finding: its database, as far as that is told, and its words.
struct Text {
    database: Option<String>,
    words: Words,
}

/// The statements that a finding tells of; one whose text is not known names no table.
fn statements(finding: &Finding) -> Vec<Text> {
    let list = |key: &str| {
        let all = finding.evidence.get(key).and_then(Value::as_array);
        all.into_iter().flatten()
    };
    let text = |v: &Value| {
        v.get("text")
            .or(v.get("query"))
            .and_then(Value::as_str)
            .map(words)
    };
    finding
        .evidence
        .get("statement")
        .into_iter()
        .chain(list("statements"))
        .chain(list("running"))
        .filter_map(|v| {
            Some(Text {
                database: v.get("database").and_then(Value::as_str).map(str::to_owned),
                words: text(v)?,
            })
        })
        .collect()
}

/// Whether one of the statements names the table that a finding is about.
fn on_table(finding: &Finding, texts: &[Text]) -> bool {
    let word = |of: &Record, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let Some(full) = word(&finding.evidence, "table") else {
        return false;
    };
    let table = full.split_once('.').map_or(full.as_str(), |(_, table)| table);
    let own = finding.evidence.get("statement").and_then(Value::as_object);
    let database = word(&finding.evidence, "database").or_else(|| word(own?, "database"));
    texts.iter().any(|t| {
        let apart = database.is_some() && t.database.is_some() && t.database != database;
        !apart && t.words.name(table)
    })
}

/// Both name the same slot, or one of them names the standby that the other is about.
fn same_slot(root: &Finding, symptom: &Finding) -> bool {
    let named = |f: &Finding, what: &str| {
        let word = f.evidence.get(what).and_then(Value::as_str);
        word.filter(|w| !w.is_empty()).map(str::to_owned)
    };
    let slot = named(root, "slot");
    (slot.is_some() && slot == named(symptom, "slot"))
        || named(root, "standby").is_some_and(|s| s == symptom.target)
        || named(symptom, "standby").is_some_and(|s| s == root.target)
}

/// Whether `one` is about a session at a root of the tree of `other`.
fn holds(one: &Finding, other: &Finding) -> bool {
    let with = |f: &Finding, key: &str| -> Option<BTreeSet<i64>> {
        let first = f.evidence.get(key)?.as_i64()?;
        let more = f.evidence.get("roots").and_then(Value::as_array);
        let more = more.into_iter().flatten().filter_map(Value::as_i64);
        Some(more.chain([first]).collect())
    };
    match (with(one, "pid"), with(other, "root")) {
        (Some(sessions), Some(trunk)) => !sessions.is_disjoint(&trunk),
        _ => false,
    }
}

/// As bad as the worst of a cause and what it explains: a warning that brings the primary down is no warning.
fn severity(snapshot: &Snapshot, cause: &Finding, symptoms: &[Finding]) -> IncidentSeverity {
    let symptoms = symptoms.iter().filter(|s| !s.pending);
    let worst = symptoms.map(|s| alone(snapshot, s)).min();
    let own = alone(snapshot, cause);
    worst.map_or(own, |w| w.min(own))
}

/// P0: writes unavailable. P1: degraded, or redundancy lost. P2: the rest.
fn alone(snapshot: &Snapshot, finding: &Finding) -> IncidentSeverity {
    let primary = snapshot.leads(&finding.target);
    // What explains that the primary does not answer is as bad as that.
    let down = snapshot
        .server(&finding.target)
        .is_some_and(|s| matches!(s.reach, Reach::Down { .. }));
    let host = ["server.", "disk.", "memory."]
        .iter()
        .any(|area| finding.kind.starts_with(area));
    match finding.kind.as_str() {
        "server.down" | "server.restarting" if primary => IncidentSeverity::P0,
        // Two that take writes: what one of them takes is lost.
        "server.split_brain" => IncidentSeverity::P0,
        // Commits wait for ever.
        "replication.sync_stalled" if finding.severity == Severity::Critical => IncidentSeverity::P0,
        "data.corruption" => IncidentSeverity::P0,
        _ if primary && down && host => IncidentSeverity::P0,
        // Whatever brought it about: nobody can write.
        "vacuum.wraparound_stop" => IncidentSeverity::P0,
        "connections.saturated" if finding.evidence.get("full").and_then(Value::as_bool) == Some(true) => {
            IncidentSeverity::P0
        }
        _ if finding.severity == Severity::Critical => IncidentSeverity::P1,
        "replication.broken" | "replication.paused" => IncidentSeverity::P1,
        _ => IncidentSeverity::P2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_explains_each_other_in_a_circle_is_told_all_the_same() {
        let mut one = crate::rules::finding(
            "server.down",
            Severity::Critical,
            "shop/a",
            muster_model::Subject::new("server", "a"),
            muster_model::Time::from_millis(0),
            String::new(),
        );
        one.evidence = serde_json::json!({"standby": "shop/a"})
            .as_object()
            .cloned()
            .unwrap_or_default();
        let mut two = crate::rules::finding(
            "wal.slot_retention",
            Severity::Critical,
            "shop/a",
            muster_model::Subject::new("slot", "s"),
            muster_model::Time::from_millis(0),
            String::new(),
        );
        two.evidence = serde_json::json!({"standby": "shop/a"})
            .as_object()
            .cloned()
            .unwrap_or_default();
        let full = crate::rules::finding(
            "disk.wal_full",
            Severity::Critical,
            "shop/a",
            muster_model::Subject::new("volume", "w"),
            muster_model::Time::from_millis(0),
            String::new(),
        );
        let snapshot = Snapshot::new("shop", muster_model::Time::from_millis(0));
        let told = correlate(&snapshot, &[one, two, full]);
        assert_eq!(told.roots.len(), 1, "{told:?}");
        assert_eq!(told.all().len(), 3);
    }

    fn found(kind: &str, severity: Severity, subject: &str, evidence: Value) -> Finding {
        let mut f = crate::rules::finding(
            kind,
            severity,
            "shop/a",
            muster_model::Subject::new("it", subject),
            muster_model::Time::from_millis(0),
            String::new(),
        );
        f.incident = severity == Severity::Critical;
        f.evidence = crate::rules::evidence(evidence);
        f
    }

    /// Causes and how bad they are.
    fn told(snapshot: &Snapshot, findings: &[Finding]) -> Vec<(String, IncidentSeverity)> {
        let roots = correlate(snapshot, findings).roots.into_iter();
        roots.map(|r| (r.cause.kind, r.severity)).collect()
    }

    #[test]
    fn an_incident_is_as_bad_as_the_worst_that_it_explains() {
        use IncidentSeverity::{P0, P1, P2};
        let snapshot = crate::sample::healthy();
        let warned = |kind| found(kind, Severity::Warning, "", Value::Null);
        let leak = warned("connections.leak");
        assert_eq!(told(&snapshot, std::slice::from_ref(&leak))[0].1, P2);
        let full = found(
            "connections.saturated",
            Severity::Critical,
            "",
            serde_json::json!({"full": true}),
        );
        let both = told(&snapshot, &[leak.clone(), full]);
        assert_eq!(both, [("connections.leak".to_owned(), P0)]);
        let role = found("connections.role_limit", Severity::Critical, "", Value::Null);
        assert_eq!(told(&snapshot, &[leak, role])[0].1, P1);
    }

    #[test]
    fn a_dead_former_primary_is_no_dead_primary() {
        let mut s = crate::sample::down(3);
        let mut new = crate::sample::server("a");
        new.address = "shop/new".into();
        let down = found("server.down", Severity::Critical, "a", Value::Null);
        let errors = found("app.error_rate", Severity::Warning, "app", Value::Null);
        let all = [down, errors];
        assert_eq!(told(&s, &all), [("server.down".to_owned(), IncidentSeverity::P0)]);
        s.servers.push(new);
        assert_eq!(
            told(&s, &all),
            [
                ("server.down".to_owned(), IncidentSeverity::P1),
                ("app.error_rate".to_owned(), IncidentSeverity::P2)
            ]
        );
    }

    #[test]
    fn a_standing_warning_explains_no_errors_until_it_is_an_incident_itself() {
        let s = crate::sample::healthy();
        let roots = |kind: &str, severity| {
            let all = [
                found(kind, severity, "t", Value::Null),
                found("app.error_rate", Severity::Critical, "app", Value::Null),
            ];
            told(&s, &all).len()
        };
        for kind in [
            "partition.missing",
            "partition.gap",
            "sequence.exhausted",
            "migration.failed",
        ] {
            assert_eq!(roots(kind, Severity::Warning), 2, "{kind}");
            assert_eq!(roots(kind, Severity::Critical), 1, "{kind}");
        }
    }

    #[test]
    fn a_finding_on_one_table_explains_no_statement_on_another() {
        let s = crate::sample::healthy();
        let roots = |table: &str, database: &str, text: &str| {
            let stale = serde_json::json!({"database": database, "table": table});
            let slow = serde_json::json!({"statements": [{"database": "app", "text": text}]});
            let all = [
                found("query.stale_statistics", Severity::Warning, table, stale),
                found("query.slow", Severity::Critical, "a", slow),
            ];
            told(&s, &all).len()
        };
        let text = "select * from public.orders where id = ?";
        assert_eq!(roots("public.orders", "app", text), 1);
        assert_eq!(roots("public.order", "app", text), 2);
        assert_eq!(roots("public.orders", "other", text), 2);
    }

    #[test]
    fn any_of_the_sessions_that_held_a_row_may_be_the_root_of_the_chain() {
        let s = crate::sample::healthy();
        let roots = |root: i32| {
            let hot = serde_json::json!({"pid": 7, "roots": [7, 9]});
            let chain = serde_json::json!({"root": root, "roots": [root]});
            let all = [
                found("locks.hot_row", Severity::Warning, "app/x", hot),
                found("locks.blocking_chain", Severity::Warning, "app/x", chain),
            ];
            told(&s, &all).len()
        };
        assert_eq!((roots(7), roots(9), roots(8)), (1, 1, 2));
    }

    #[test]
    fn a_thousand_findings_are_compared_only_where_kinds_have_to_do_with_each_other() {
        let s = crate::sample::healthy();
        let mut all = vec![found("vacuum.xmin_holder", Severity::Warning, "h", Value::Null)];
        for i in 0..333 {
            for kind in ["table.bloat", "index.bloat", "index.redundant"] {
                all.push(found(kind, Severity::Warning, &i.to_string(), Value::Null));
            }
        }
        let links = Links::new(&s, &all);
        assert!(links.pairs <= 4 * all.len(), "{}", links.pairs);
        let out = correlate(&s, &all);
        assert_eq!((out.roots.len(), out.all().len()), (334, 1000));
        assert_eq!(out.roots.iter().map(|r| r.symptoms.len()).max(), Some(666));
    }

    #[test]
    fn nothing_explains_itself_over_any_number_of_steps() {
        // Over a slot the story goes on at another server: that is no way back.
        let here = |root: &str| {
            let of = root.to_owned();
            let stays = EXPLAINS.iter().filter(|(_, _, place)| *place != Where::SameSlot);
            stays.filter(move |(r, _, _)| *r == of).map(|(_, s, _)| *s)
        };
        for (start, _, _) in EXPLAINS {
            let mut seen: Vec<&str> = Vec::new();
            let mut open = vec![*start];
            while let Some(kind) = open.pop() {
                for symptom in here(kind) {
                    assert_ne!(symptom, *start, "a circle has no root");
                    if !seen.contains(&symptom) {
                        seen.push(symptom);
                        open.push(symptom);
                    }
                }
            }
        }
    }
}
