//! Who waits for which lock. Asked only while somebody waits.

use muster_model::snapshot::{LockWait, Locks, Session};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::Offset;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "locks",
    about: "Every wait for a lock: its kind, mode, relation and since when. Asked only while somebody waits.",
    reads: "pg_locks where not granted, pg_class and pg_namespace for the relation's name",
    needs: "nothing",
    cadence: "1 s",
    gap: "relation names of other databases (their oid is shown)",
};

const SQL: &str = include_str!("../sql/locks.sql");
const SQL_13: &str = include_str!("../sql/locks_13.sql");

/// Reads it; nothing is asked when no session waits.
pub(crate) async fn read(
    session: &PgSession,
    sessions: &[Session],
    offset: Offset,
) -> Result<Locks, ReachError> {
    let waiting: Vec<&Session> = sessions
        .iter()
        .filter(|s| s.wait_type.as_deref() == Some("Lock"))
        .collect();
    if waiting.is_empty() {
        return Ok(Locks::default());
    }
    let sql = if session.capability().version_num >= 140_000 {
        SQL
    } else {
        SQL_13
    };
    let rows = session.query(sql, &[]).await?;
    let waits = rows
        .iter()
        .map(|row| {
            let pid: i32 = row.get("pid");
            let waiter = waiting.iter().find(|s| s.pid == pid);
            LockWait {
                pid,
                locktype: row.get("locktype"),
                mode: row.get("mode"),
                relation: row.get("relation"),
                since: offset
                    .time(row, "since")
                    .or_else(|| waiter.and_then(|w| w.query_start)),
                blocked_by: waiter.map(|w| w.blocked_by.clone()).unwrap_or_default(),
            }
        })
        .collect();
    Ok(Locks { waits })
}
