//! What vacuum does: running vacuums and workers with their progress, and how old the oldest rows of each database are.

use muster_model::Time;
use muster_model::snapshot::{FreezeAge, Looks, VacuumRun, Vacuuming};
use muster_reach::{PgSession, ReachError, redact};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{Offset, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "vacuuming",
    about: "Every autovacuum worker and every vacuum with its progress, how often all workers were busy, and the age of the \
            oldest rows of each database in transaction ids and multixacts (databases that nobody may connect to as well).",
    reads: "pg_stat_activity, pg_stat_progress_vacuum, pg_database, autovacuum_max_workers",
    needs: "pg_monitor",
    cadence: "15 s",
    gap: "the workers, for a role that does not see the sessions of others",
};

const RUNS: &str = include_str!("../sql/vacuum_runs.sql");
const FREEZE: &str = include_str!("../sql/freeze.sql");

/// How often all workers were busy.
#[derive(Default)]
pub(crate) struct Memory {
    looks: Looks,
    ring: Ring<Looks>,
}

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<Vacuuming, ReachError> {
    let amount = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
    let rows = session.query(RUNS, &[]).await?;
    let runs: Vec<VacuumRun> = rows
        .iter()
        .map(|row| VacuumRun {
            pid: get(row, "pid"),
            automatic: get::<Option<bool>>(row, "automatic").unwrap_or(false),
            wraparound: get::<Option<bool>>(row, "wraparound").unwrap_or(false),
            database: get(row, "database"),
            relation: get(row, "relation"),
            query: get::<Option<String>>(row, "query").map(|q| redact::statement(&q)),
            since: offset.time(row, "since"),
            phase: get(row, "phase"),
            pages: amount(get(row, "pages")),
            scanned: amount(get(row, "scanned")),
            index_passes: amount(get(row, "index_passes")),
        })
        .collect();
    let rows = session.query(FREEZE, &[]).await?;
    let max_workers = rows
        .first()
        .map_or(0, |r| get::<i32>(r, "max_workers").unsigned_abs());
    let age = |row: &tokio_postgres::Row, column: &str| u64::try_from(get::<i32>(row, column)).unwrap_or(0);
    let freeze = rows
        .iter()
        .map(|row| FreezeAge {
            database: get(row, "database"),
            xids: age(row, "xids"),
            multixacts: age(row, "multixacts"),
        })
        .collect();
    let workers = runs.iter().filter(|r| r.automatic).count();
    memory.looks.all += 1;
    memory.looks.full += u64::from(max_workers > 0 && workers >= max_workers as usize);
    Ok(Vacuuming {
        runs,
        max_workers,
        looks: memory.ring.take(now, memory.looks, |_, _| false),
        freeze,
        sees_all: session.capability().monitor || session.capability().superuser,
    })
}
