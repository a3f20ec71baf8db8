//! How often the large tables of a database are read from end to end: three counters of each, nothing of its size.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{ScanCounters, ScannedTable};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{count, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "scans",
    about: "Sequential scans of the 200 most scanned tables of at least 10,000 rows of each database, now and a minute and five \
            minutes ago.",
    reads: "pg_class and the counters behind pg_stat_user_tables",
    needs: "CONNECT on each database",
    cadence: "15 s",
    gap: "sequential scans in databases that the login may not connect to",
};

const SQL: &str = include_str!("../sql/scans.sql");
/// In a table with fewer rows an index would not be used much.
const LARGE: i64 = 10_000;
const MOST: i64 = 200;

/// Samples by table.
pub(crate) type Memory = BTreeMap<u32, Ring<ScanCounters>>;

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    memory: &mut Memory,
) -> Result<Vec<ScannedTable>, ReachError> {
    let rows = session.query(SQL, &[&LARGE, &MOST]).await?;
    let mut seen = Memory::new();
    let mut out = Vec::with_capacity(rows.len());
    for row in &rows {
        let oid: u32 = get(row, "oid");
        let counters = ScanCounters {
            scans: count(row, "scans"),
            rows: count(row, "scanned"),
        };
        let mut ring = memory.remove(&oid).unwrap_or_default();
        let counted = ring.take(now, counters, |a, b| b.scans < a.scans || b.rows < a.rows);
        seen.insert(oid, ring);
        out.push(ScannedTable {
            schema: get(row, "schema"),
            name: get(row, "name"),
            rows: count(row, "rows"),
            pages: count(row, "pages"),
            counted,
        });
    }
    *memory = seen;
    Ok(out)
}
