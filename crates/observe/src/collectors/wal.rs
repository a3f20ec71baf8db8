//! What a server writes into its log, archives and checkpoints, with what it was a minute and five minutes ago.

use muster_model::Time;
use muster_model::snapshot::{Wal, WalCounters};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{Offset, count, get, lsn};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "wal",
    about: "Where the write-ahead log ends, what was archived and what could not be, and how checkpoints began, now and a \
            minute and five minutes ago.",
    reads: "pg_stat_archiver, pg_stat_checkpointer (pg_stat_bgwriter before PostgreSQL 17), positions, archive_mode, \
            wal_segment_size",
    needs: "nothing beyond a login",
    cadence: "2 s",
    gap: "failing archiving, checkpoint pressure, how fast a slot runs into its limit",
};

const SQL: &str = include_str!("../sql/wal.sql");
const SQL_16: &str = include_str!("../sql/wal_16.sql");

type Began = (Option<String>, Option<String>);

/// Samples, with the times of the last resets.
pub(crate) type Memory = Ring<(Began, WalCounters)>;

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<Option<Wal>, ReachError> {
    let sql = if session.capability().version_num >= 170_000 {
        SQL
    } else {
        SQL_16
    };
    let rows = session.query(sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let counters = WalCounters {
        // A standby that has received nothing yet has no position.
        position: lsn(row, "position").unwrap_or(0),
        archived: count(row, "archived"),
        archive_failed: count(row, "archive_failed"),
        timed: count(row, "timed"),
        requested: count(row, "requested"),
    };
    let began: Began = (get(row, "archiver_began"), get(row, "checkpointer_began"));
    let counted = memory.take(now, (began, counters), |a, b| {
        a.0 != b.0 || b.1.position < a.1.position || b.1.archived < a.1.archived
    });
    Ok(Some(Wal {
        archive_mode: get(row, "archive_mode"),
        segment: count(row, "segment"),
        last_archived: get(row, "last_archived"),
        last_archived_at: offset.time(row, "last_archived_at"),
        last_failed: get(row, "last_failed"),
        last_failed_at: offset.time(row, "last_failed_at"),
        counted: counted.map(|(_, c)| c),
    }))
}
