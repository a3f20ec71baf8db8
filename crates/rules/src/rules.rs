//! The rules, one file a kind, and what the reference pages say of them.

use muster_model::{Finding, Record, Severity, Snapshot, Subject, Time};
use serde_json::Value;

use crate::judge::Context;
use crate::sample;

mod access_certificate_expiring;
mod access_database_missing;
mod access_privilege_lost;
mod access_rejected;
mod access_rules_invalid;
mod access_unreachable;
mod action_overdue;
mod app_down;
mod app_error_rate;
mod app_memory;
mod app_pool_saturated;
mod backup_failing;
mod backup_stale;
mod backup_unverified;
mod backup_wal_gap;
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
mod data_collation_mismatch;
mod data_corruption;
mod data_index_corruption;
mod disk_data_filling;
mod disk_data_full;
mod disk_wal_filling;
mod disk_wal_full;
mod drill_overdue;
mod host_cpu_saturated;
mod index_bloat;
mod index_invalid;
mod index_redundant;
mod limits_abuse;
mod limits_degraded;
mod locks_advisory_leak;
mod locks_blocking_chain;
mod locks_ddl_queue;
mod locks_deadlocks;
mod locks_hot_row;
mod locks_idle_in_transaction;
mod locks_orphaned_prepared;
mod locks_subtransactions;
mod memory_growth;
mod memory_oom;
mod migration_behind;
mod migration_drift;
mod migration_failed;
mod muster_blind;
mod muster_cost;
mod partition_default_rows;
mod partition_gap;
mod partition_missing;
mod partition_oversized;
mod partition_retention_due;
mod pool_client_limit;
mod pool_down;
mod pool_exhausted;
mod pool_login_failing;
mod pool_paused;
mod pool_slow_server;
mod pool_too_small;
mod query_missing_index;
mod query_n_plus_one;
mod query_regression;
mod query_runaway;
mod query_slow;
mod query_stale_statistics;
mod query_statistics_off;
mod query_temp_spill;
mod replication_broken;
mod replication_conflict;
mod replication_lagging;
mod replication_logical_stalled;
mod replication_paused;
mod replication_slot_lost;
mod replication_sync_stalled;
mod sequence_behind;
mod sequence_exhausted;
mod server_backend_crashed;
mod server_crash_loop;
mod server_down;
mod server_restarting;
mod server_role_changed;
mod server_split_brain;
mod server_stale_lock_file;
mod server_start_refused;
mod settings_drift;
mod settings_harmful;
mod settings_invalid;
mod settings_standby_too_low;
mod table_bloat;
mod table_growth;
mod transactions_long;
mod vacuum_disabled;
mod vacuum_freeze_pressure;
mod vacuum_starved;
mod vacuum_wraparound_stop;
mod vacuum_xmin_holder;
mod wal_archive_failing;
mod wal_checkpoint_pressure;
mod wal_slot_retention;

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
    /// The judgement itself.
    pub(crate) rule: Rule,
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

pub(crate) type Rule = fn(&mut Context<'_>);

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

/// Of what is down when nobody answered, three times in a row.
pub(crate) const MISSES: &[KeyInfo] = &[
    KeyInfo {
        key: "misses",
        default: "3",
        about: "misses in a row",
    },
    KeyInfo {
        key: "for",
        default: "1s",
        about: "since the first of them",
    },
];

/// All rules.
pub(crate) fn all() -> Vec<Rule> {
    catalogue().into_iter().map(|info| info.rule).collect()
}

/// What the rules look for, by kind.
#[must_use]
pub fn catalogue() -> Vec<RuleInfo> {
    vec![
        access_certificate_expiring::INFO,
        access_database_missing::INFO,
        access_privilege_lost::INFO,
        access_rules_invalid::INFO,
        access_unreachable::INFO,
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
        access_rejected::INFO,
        connections_leak::INFO,
        connections_role_limit::INFO,
        connections_saturated::INFO,
        data_collation_mismatch::INFO,
        index_bloat::INFO,
        index_invalid::INFO,
        index_redundant::INFO,
        limits_abuse::INFO,
        limits_degraded::INFO,
        data_corruption::INFO,
        disk_data_filling::INFO,
        disk_data_full::INFO,
        disk_wal_filling::INFO,
        disk_wal_full::INFO,
        host_cpu_saturated::INFO,
        locks_advisory_leak::INFO,
        locks_blocking_chain::INFO,
        locks_ddl_queue::INFO,
        locks_deadlocks::INFO,
        backup_stale::INFO,
        backup_unverified::INFO,
        backup_failing::INFO,
        backup_wal_gap::INFO,
        drill_overdue::INFO,
        action_overdue::INFO,
        data_index_corruption::INFO,
        locks_hot_row::INFO,
        locks_idle_in_transaction::INFO,
        migration_behind::INFO,
        migration_drift::INFO,
        migration_failed::INFO,
        memory_growth::INFO,
        memory_oom::INFO,
        locks_orphaned_prepared::INFO,
        locks_subtransactions::INFO,
        muster_blind::INFO,
        partition_default_rows::INFO,
        partition_gap::INFO,
        partition_missing::INFO,
        partition_oversized::INFO,
        partition_retention_due::INFO,
        muster_cost::INFO,
        pool_client_limit::INFO,
        pool_down::INFO,
        pool_exhausted::INFO,
        pool_login_failing::INFO,
        pool_paused::INFO,
        pool_slow_server::INFO,
        pool_too_small::INFO,
        query_stale_statistics::INFO,
        query_missing_index::INFO,
        query_n_plus_one::INFO,
        query_regression::INFO,
        query_slow::INFO,
        query_statistics_off::INFO,
        query_temp_spill::INFO,
        query_runaway::INFO,
        replication_broken::INFO,
        replication_conflict::INFO,
        replication_lagging::INFO,
        replication_logical_stalled::INFO,
        replication_paused::INFO,
        sequence_behind::INFO,
        sequence_exhausted::INFO,
        server_down::INFO,
        table_bloat::INFO,
        table_growth::INFO,
        replication_slot_lost::INFO,
        replication_sync_stalled::INFO,
        server_restarting::INFO,
        server_role_changed::INFO,
        server_split_brain::INFO,
        settings_drift::INFO,
        settings_harmful::INFO,
        settings_invalid::INFO,
        settings_standby_too_low::INFO,
        wal_archive_failing::INFO,
        wal_checkpoint_pressure::INFO,
        wal_slot_retention::INFO,
        server_backend_crashed::INFO,
        server_crash_loop::INFO,
        server_stale_lock_file::INFO,
        server_start_refused::INFO,
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
