//! What a standby cancelled for its replay, and what subscriptions do, with what was counted before.
//!
//! Beside `replication` and not in it: one that cannot be read leaves the other.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{ConflictCounters, Conflicts, Role, Subscription, SubscriptionErrors};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{count, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "conflicts",
    about: "Statements that a standby cancelled because replay needed what they held, by database and type; subscriptions \
            with their workers and errors.",
    reads: "pg_stat_database_conflicts, pg_stat_subscription, pg_stat_subscription_stats (PostgreSQL 15 and later), \
            pg_subscription without its connection strings",
    needs: "nothing beyond a login",
    cadence: "2 s",
    gap: "conflicts with replay, stalled subscriptions",
};

const CONFLICTS: &str = include_str!("../sql/conflicts.sql");
const SUBSCRIPTIONS: &str = include_str!("../sql/subscriptions.sql");
const ERRORS: &str = include_str!("../sql/subscription_errors.sql");

/// Samples by database and by subscription.
#[derive(Default)]
pub(crate) struct Memory {
    conflicts: BTreeMap<String, Ring<ConflictCounters>>,
    errors: BTreeMap<String, Ring<SubscriptionErrors>>,
}

/// Reads the conflicts; a primary has none.
pub(crate) async fn read(
    session: &PgSession,
    role: Role,
    now: Time,
    memory: &mut Memory,
) -> Result<Vec<Conflicts>, ReachError> {
    if role == Role::Primary {
        memory.conflicts.clear();
        return Ok(Vec::new());
    }
    let mut known = std::mem::take(&mut memory.conflicts);
    let mut out = Vec::new();
    for row in &session.query(CONFLICTS, &[]).await? {
        let Some(database) = get::<Option<String>>(row, "database") else {
            continue;
        };
        let counters = ConflictCounters {
            tablespace: count(row, "tablespace"),
            lock: count(row, "lock"),
            snapshot: count(row, "snapshot"),
            bufferpin: count(row, "bufferpin"),
            deadlock: count(row, "deadlock"),
            logical_slot: count(row, "logical_slot"),
        };
        let mut ring = known.remove(&database).unwrap_or_default();
        let counted = ring.take(now, counters, |a, b| b.sum() < a.sum());
        memory.conflicts.insert(database.clone(), ring);
        out.push(Conflicts { database, counted });
    }
    Ok(out)
}

/// Reads the subscriptions; a standby has those of its primary, and nobody works for them there.
pub(crate) async fn subscriptions(
    session: &PgSession,
    role: Role,
    now: Time,
    memory: &mut Memory,
) -> Result<Vec<Subscription>, ReachError> {
    if role == Role::Standby {
        memory.errors.clear();
        return Ok(Vec::new());
    }
    let rows = session.query(SUBSCRIPTIONS, &[]).await?;
    let mut known = std::mem::take(&mut memory.errors);
    let mut errors = BTreeMap::new();
    if !rows.is_empty() && session.capability().version_num >= 150_000 {
        for row in &session.query(ERRORS, &[]).await? {
            let counters = SubscriptionErrors {
                apply: count(row, "apply"),
                sync: count(row, "sync"),
            };
            let name: String = get(row, "name");
            let mut ring = known.remove(&name).unwrap_or_default();
            let counted = ring.take(now, counters, |a, b| b.apply < a.apply || b.sync < a.sync);
            memory.errors.insert(name.clone(), ring);
            errors.insert(name, counted);
        }
    }
    Ok(rows
        .iter()
        .map(|row| {
            let name: String = get(row, "name");
            Subscription {
                errors: errors.remove(&name),
                enabled: count(row, "enabled"),
                workers: count(row, "workers"),
                name,
            }
        })
        .collect())
}
