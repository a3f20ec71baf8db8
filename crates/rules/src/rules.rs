//! The rules, one file a kind, and what the reference pages say of them.

use muster_model::{Finding, Record, Severity, Snapshot, Subject, Time};
use serde_json::Value;

use crate::judge::Context;

mod app_down;
mod app_error_rate;
mod app_memory;
mod app_pool_saturated;
mod cache_clients;
mod cache_evictions;
mod cache_hit_rate;
mod cache_memory;
mod cache_persistence;
mod cache_replication;
mod cache_unreachable;
mod connections_leak;
mod connections_role_limit;
mod connections_saturated;
mod limits_abuse;
mod limits_degraded;
mod locks_blocking_chain;
mod locks_ddl_queue;
mod locks_deadlocks;
mod locks_idle_in_transaction;
mod muster_blind;
mod pool_client_limit;
mod pool_down;
mod pool_exhausted;
mod pool_login_failing;
mod pool_paused;
mod pool_slow_server;
mod pool_too_small;
mod replication_broken;
mod replication_lagging;
mod replication_paused;
mod server_down;

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
    replication_broken::rule,
    replication_paused::rule,
    replication_lagging::rule,
    pool_down::rule,
    pool_paused::rule,
    pool_client_limit::rule,
    pool_login_failing::rule,
    connections_role_limit::rule,
    cache_unreachable::rule,
    cache_clients::rule,
    cache_memory::rule,
    cache_evictions::rule,
    cache_hit_rate::rule,
    cache_replication::rule,
    cache_persistence::rule,
    limits_abuse::rule,
    limits_degraded::rule,
    app_down::rule,
    app_error_rate::rule,
    app_pool_saturated::rule,
    app_memory::rule,
    muster_blind::rule,
];

/// What the rules look for, by kind.
#[must_use]
pub fn catalogue() -> Vec<RuleInfo> {
    vec![
        app_down::INFO,
        app_error_rate::INFO,
        app_memory::INFO,
        app_pool_saturated::INFO,
        cache_clients::INFO,
        cache_evictions::INFO,
        cache_hit_rate::INFO,
        cache_memory::INFO,
        cache_persistence::INFO,
        cache_replication::INFO,
        cache_unreachable::INFO,
        connections_leak::INFO,
        connections_role_limit::INFO,
        connections_saturated::INFO,
        limits_abuse::INFO,
        limits_degraded::INFO,
        locks_blocking_chain::INFO,
        locks_ddl_queue::INFO,
        locks_deadlocks::INFO,
        locks_idle_in_transaction::INFO,
        muster_blind::INFO,
        pool_client_limit::INFO,
        pool_down::INFO,
        pool_exhausted::INFO,
        pool_login_failing::INFO,
        pool_paused::INFO,
        pool_slow_server::INFO,
        pool_too_small::INFO,
        replication_broken::INFO,
        replication_lagging::INFO,
        replication_paused::INFO,
        server_down::INFO,
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
