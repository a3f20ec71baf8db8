//! The rules, one file a kind, and what the reference pages say of them.

use muster_model::{Finding, Record, Severity, Snapshot, Subject, Time};
use serde_json::Value;

use crate::judge::Context;

mod connections_leak;
mod connections_saturated;
mod locks_advisory_leak;
mod locks_blocking_chain;
mod locks_ddl_queue;
mod locks_deadlocks;
mod locks_hot_row;
mod locks_idle_in_transaction;
mod locks_orphaned_prepared;
mod locks_subtransactions;
mod muster_blind;
mod pool_exhausted;
mod pool_slow_server;
mod pool_too_small;
mod query_runaway;
mod replication_broken;
mod replication_lagging;
mod replication_paused;
mod server_down;
mod transactions_long;
mod vacuum_disabled;
mod vacuum_freeze_pressure;
mod vacuum_starved;
mod vacuum_wraparound_stop;
mod vacuum_xmin_holder;

/// A threshold of a rule.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    /// Name.
    pub key: &'static str,
    /// Default.
    pub default: &'static str,
    /// What it means, with its unit.
    pub about: &'static str,
}

/// A rule, for the reference.
#[derive(Clone, Copy, Debug)]
pub struct RuleInfo {
    /// Finding kind.
    pub kind: &'static str,
    /// Title.
    pub title: &'static str,
    /// What it means and how it is seen.
    pub about: &'static str,
    /// What looks like it and is not; what is left out on purpose.
    pub ignores: &'static str,
    /// What a person does about it.
    pub advice: &'static str,
    /// Collectors that it needs.
    pub needs: &'static [&'static str],
    /// Thresholds.
    pub keys: &'static [KeyInfo],
    /// Pictures in the order in which they are seen: at the last one the rule must have found it. The self-test.
    pub specimen: fn() -> Vec<Snapshot>,
    /// Pictures of what looks like it and is not: the rule must be silent.
    pub lookalike: fn() -> Vec<Snapshot>,
}

type Rule = fn(&mut Context<'_>);

/// What all rules share that judge rates and shares.
pub(crate) const RATES: (&str, &[KeyInfo]) = (
    "rates",
    &[
        KeyInfo {
            key: "warm_up",
            default: "10m",
            about: "after its start a server's rates and shares are not judged for so long",
        },
        KeyInfo {
            key: "calls",
            default: "50",
            about: "shares and means need at least so many events in the window",
        },
    ],
);

/// All rules, in the order in which they run.
pub(crate) const ALL: &[Rule] = &[
    server_down::rule,
    connections_saturated::rule,
    connections_leak::rule,
    pool_exhausted::rule,
    pool_slow_server::rule,
    pool_too_small::rule,
    locks_idle_in_transaction::rule,
    locks_blocking_chain::rule,
    locks_ddl_queue::rule,
    locks_deadlocks::rule,
    locks_advisory_leak::rule,
    locks_orphaned_prepared::rule,
    locks_hot_row::rule,
    locks_subtransactions::rule,
    transactions_long::rule,
    query_runaway::rule,
    vacuum_xmin_holder::rule,
    vacuum_disabled::rule,
    vacuum_starved::rule,
    vacuum_freeze_pressure::rule,
    vacuum_wraparound_stop::rule,
    replication_broken::rule,
    replication_paused::rule,
    replication_lagging::rule,
    muster_blind::rule,
];

/// What the rules look for, by kind.
#[must_use]
pub fn catalogue() -> Vec<RuleInfo> {
    vec![
        connections_leak::INFO,
        connections_saturated::INFO,
        locks_advisory_leak::INFO,
        locks_blocking_chain::INFO,
        locks_ddl_queue::INFO,
        locks_deadlocks::INFO,
        locks_hot_row::INFO,
        locks_idle_in_transaction::INFO,
        locks_orphaned_prepared::INFO,
        locks_subtransactions::INFO,
        muster_blind::INFO,
        pool_exhausted::INFO,
        pool_slow_server::INFO,
        pool_too_small::INFO,
        query_runaway::INFO,
        replication_broken::INFO,
        replication_lagging::INFO,
        replication_paused::INFO,
        server_down::INFO,
        transactions_long::INFO,
        vacuum_disabled::INFO,
        vacuum_freeze_pressure::INFO,
        vacuum_starved::INFO,
        vacuum_wraparound_stop::INFO,
        vacuum_xmin_holder::INFO,
    ]
}

/// A finding without frills.
pub(crate) fn finding(
    kind: &str,
    severity: Severity,
    target: &str,
    subject: Subject,
    since: Time,
    summary: String,
) -> Finding {
    Finding {
        kind: kind.to_owned(),
        severity,
        target: target.to_owned(),
        subject,
        summary,
        since,
        evidence: Record::new(),
        remedy: None,
        cause: false,
        pending: false,
        incident: false,
        ruled_out: Vec::new(),
    }
}

/// Evidence from a JSON object.
pub(crate) fn evidence(value: Value) -> Record {
    match value {
        Value::Object(map) => map,
        _ => Record::new(),
    }
}

mod sample;
