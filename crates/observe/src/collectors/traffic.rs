//! What a server counts for each database, with what it counted a minute and five minutes ago.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{DatabaseCounters, Traffic};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{Offset, count, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "traffic",
    about: "What a server counts for each database (transactions, deadlocks, conflicts, temporary files, wrong checksums, \
            sessions that ended badly), now and a minute and five minutes ago. A reset of the statistics begins anew.",
    reads: "pg_stat_database",
    needs: "nothing beyond a login",
    cadence: "2 s",
    gap: "nothing",
};

const SQL: &str = include_str!("../sql/traffic.sql");

/// Samples of every database, with the time of its last reset.
pub(crate) type Memory = BTreeMap<String, Ring<(Option<i64>, DatabaseCounters)>>;

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<Vec<Traffic>, ReachError> {
    let rows = session.query(SQL, &[]).await?;
    let mut out = Vec::with_capacity(rows.len());
    let mut seen = Memory::new();
    for row in &rows {
        let database: String = get(row, "database");
        let counters = DatabaseCounters {
            commits: count(row, "commits"),
            rollbacks: count(row, "rollbacks"),
            blocks_read: count(row, "blocks_read"),
            blocks_hit: count(row, "blocks_hit"),
            deadlocks: count(row, "deadlocks"),
            conflicts: count(row, "conflicts"),
            temp_files: count(row, "temp_files"),
            temp_bytes: count(row, "temp_bytes"),
            checksum_failures: count(row, "checksum_failures"),
            sessions: count(row, "sessions"),
            sessions_abandoned: count(row, "sessions_abandoned"),
            sessions_fatal: count(row, "sessions_fatal"),
            sessions_killed: count(row, "sessions_killed"),
        };
        let reset: Option<i64> = get(row, "stats_reset");
        let mut ring = memory.remove(&database).unwrap_or_default();
        let counted = ring.take(now, (reset, counters), |a, b| {
            a.0 != b.0 || b.1.commits < a.1.commits
        });
        seen.insert(database.clone(), ring);
        out.push(Traffic {
            database,
            checksums: get::<Option<i64>>(row, "checksum_failures").map(|_| true),
            last_checksum_failure: offset.time(row, "last_checksum_failure"),
            counted: counted.map(|(_, c)| c),
        });
    }
    *memory = seen;
    Ok(out)
}
