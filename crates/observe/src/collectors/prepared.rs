//! Prepared transactions that nobody has decided yet.

use muster_model::Time;
use muster_model::snapshot::Prepared;
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::{Offset, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "prepared",
    about: "Every prepared transaction that waits for COMMIT PREPARED or ROLLBACK PREPARED, the oldest 200: its identifier, \
            owner, database and age. They outlive their session and a restart, and keep all their locks.",
    reads: "pg_prepared_xacts",
    needs: "nothing beyond a login",
    cadence: "2 s",
    gap: "nothing",
};

const SQL: &str = include_str!("../sql/prepared.sql");

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    offset: Offset,
) -> Result<Vec<Prepared>, ReachError> {
    let rows = session.query(SQL, &[]).await?;
    let text =
        |row: &tokio_postgres::Row, column: &str| get::<Option<String>>(row, column).unwrap_or_default();
    Ok(rows
        .iter()
        .map(|row| Prepared {
            gid: text(row, "gid"),
            prepared: offset.time(row, "prepared").unwrap_or(now),
            owner: text(row, "owner"),
            database: text(row, "database"),
            xids: u64::try_from(get::<i32>(row, "xids")).unwrap_or(0),
        })
        .collect())
}
