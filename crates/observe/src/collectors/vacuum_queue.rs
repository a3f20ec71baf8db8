//! What vacuum has to do in one database: tables past their thresholds, tables it may not touch, the oldest ones. On a
//! standby that is nothing: the primary vacuums for it.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{Part, TableVacuum, VacuumQueue};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::{Offset, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "vacuum_queue",
    about: "In each database the tables that are past the threshold at which autovacuum takes them (their own options \
            counted in), those with autovacuum switched off and dead row versions, and the five oldest; at most 100. No \
            table is locked.",
    reads: "pg_class, pg_namespace, the counters of the statistics by oid",
    needs: "CONNECT on each database",
    cadence: "15 s",
    gap: "tables of databases that the login may not connect to",
};

const SQL: &str = include_str!("../sql/vacuum_queue.sql");

/// Reads it; `before` is what the last round saw, so that a table knows since when it is due.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    offset: Offset,
    before: Option<&Part<VacuumQueue>>,
) -> Result<VacuumQueue, ReachError> {
    let rows = session.query(SQL, &[]).await?;
    let known: BTreeMap<u32, Time> = before
        .iter()
        .flat_map(|p| &p.value.tables)
        .filter_map(|t| Some((t.oid, t.due_since?)))
        .collect();
    let amount = |row: &tokio_postgres::Row, column: &str| {
        let n: Option<i64> = get(row, column);
        u64::try_from(n.unwrap_or(0)).unwrap_or(0)
    };
    let age = |row: &tokio_postgres::Row, column: &str| u64::try_from(get::<i32>(row, column)).unwrap_or(0);
    let tables: Vec<TableVacuum> = rows
        .iter()
        .map(|row| {
            let (oid, due): (u32, f64) = (get(row, "oid"), get(row, "due"));
            TableVacuum {
                oid,
                table: get(row, "name"),
                dead: amount(row, "dead"),
                live: amount(row, "live"),
                due,
                enabled: get(row, "enabled"),
                temporary: get(row, "temporary"),
                xids: age(row, "xids"),
                multixacts: age(row, "multixacts"),
                last_vacuum: offset.time(row, "last_vacuum"),
                due_since: (due >= 1.0).then(|| known.get(&oid).copied().unwrap_or(now)),
            }
        })
        .collect();
    let waits = |t: &&TableVacuum| t.enabled && !t.temporary && t.due >= 1.0;
    Ok(VacuumQueue {
        due: tables.iter().filter(waits).count() as u64,
        tables,
    })
}
