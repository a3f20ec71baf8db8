//! The tables of a database that matter: the largest, the most changed, those with most dead rows. Sizes are the planner's.

use std::collections::{BTreeMap, VecDeque};

use muster_model::snapshot::{Shared, Table, TableGrowth, Tables};
use muster_model::{Span, Time};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::about::About;
use crate::row::{Offset, count, get, oid};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "tables",
    about: "Of every database the 300 largest tables, and the 100 that changed most and have most dead rows: pages and rows as the \
            planner knows them, counters, storage parameters, when they were vacuumed and analysed and whether that runs, and \
            how the large ones grew while they were watched. Says how many more there are. Takes no lock on a table.",
    reads: "pg_class, pg_stat_get_*, pg_stat_progress_analyze, pg_stat_progress_vacuum",
    needs: "CONNECT; pg_monitor to see what is being vacuumed",
    cadence: "15 s",
    gap: "tables of databases that the login may not connect to",
};

const SQL: &str = include_str!("../sql/tables.sql");

/// By size.
const LARGEST: i64 = 300;
/// By changes, and by dead rows.
const BUSIEST: i64 = 100;
/// Growth is watched of tables from this size on, of so many of them, in samples so far apart, for so long.
const WATCHED_FROM: u64 = 64 << 20;
const WATCHED: usize = 100;
const APART: Span = Span::from_mins(5);
const KEPT: Span = Span::from_mins(7 * 60);
const HOUR: Span = Span::from_mins(60);

/// Sizes of before, by oid.
pub(crate) type Memory = BTreeMap<u32, VecDeque<(Time, u64)>>;

/// Reads them.
pub(crate) async fn read(
    session: &PgSession,
    about: &About,
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<Shared<Tables>, ReachError> {
    let rows = session.query(SQL, &[&LARGEST, &BUSIEST]).await?;
    let mut out = Tables {
        block: about.block,
        autovacuum: about.autovacuum,
        analyze_threshold: about.analyze_threshold,
        analyze_scale: about.analyze_scale,
        left_out: rows
            .first()
            .map_or(0, |r| count(r, "total").saturating_sub(rows.len() as u64)),
        tables: Vec::with_capacity(rows.len()),
    };
    let mut seen = Memory::new();
    for row in &rows {
        let mut table = Table {
            oid: oid(row, "oid"),
            schema: get(row, "schema"),
            name: get(row, "name"),
            kind: get(row, "kind"),
            partition: get(row, "is_partition"),
            pages: count(row, "pages"),
            tuples: u64::try_from(get::<i64>(row, "tuples")).ok(),
            options: options(get(row, "options")),
            live: count(row, "live"),
            dead: count(row, "dead"),
            modified: count(row, "modified"),
            inserted_since_vacuum: count(row, "inserted_since_vacuum"),
            inserted: count(row, "inserted"),
            updated: count(row, "updated"),
            deleted: count(row, "deleted"),
            seq_scans: count(row, "seq_scans"),
            seq_rows: count(row, "seq_rows"),
            // A partitioned table has no rows: its age is that of nothing.
            xid_age: Some(count(row, "xid_age")).filter(|a| *a < u64::from(i32::MAX.unsigned_abs())),
            last_vacuum: offset.time(row, "last_vacuum"),
            last_analyze: offset.time(row, "last_analyze"),
            worked_on: get(row, "worked_on"),
            growth: None,
        };
        let bytes = table.bytes(about.block);
        if bytes >= WATCHED_FROM && seen.len() < WATCHED && table.kind == "r" {
            let mut past = memory.remove(&table.oid).unwrap_or_default();
            table.growth = growth(&mut past, now, bytes);
            seen.insert(table.oid, past);
        }
        out.tables.push(table);
    }
    *memory = seen;
    Ok(Shared::new(out))
}

/// `name=value` as a map.
pub(crate) fn options(raw: Vec<String>) -> BTreeMap<String, String> {
    raw.into_iter()
        .filter_map(|o| o.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect()
}

/// Takes a sample; what the last hour added, and at least one hour before it.
fn growth(past: &mut VecDeque<(Time, u64)>, now: Time, bytes: u64) -> Option<TableGrowth> {
    while past.front().is_some_and(|(t, _)| now.since(*t) > KEPT) {
        past.pop_front();
    }
    if past.back().is_none_or(|(t, _)| now.since(*t) >= APART) {
        past.push_back((now, bytes));
    }
    let (oldest_at, oldest) = *past.front()?;
    let (base_at, base) = *past.iter().rev().find(|(t, _)| now.since(*t) >= HOUR)?;
    let before_for = base_at.since(oldest_at);
    (before_for >= HOUR).then(|| TableGrowth {
        recent: bytes.saturating_sub(base),
        recent_for: now.since(base_at),
        before: base.saturating_sub(oldest),
        before_for,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_after_two_hours_and_memory_is_bounded() {
        let mut past = VecDeque::new();
        let at = |minute: i64| Time::from_millis(minute * 60_000);
        let mut told = None;
        for minute in 0..=119 {
            told = growth(&mut past, at(minute), 1000);
        }
        assert_eq!(told, None);
        let told = growth(&mut past, at(120), 5000).expect("told");
        assert_eq!((told.recent, told.before), (4000, 0));
        assert!(told.recent_for >= HOUR && told.before_for >= HOUR);
        for minute in 121..3000 {
            growth(&mut past, at(minute), 5000);
        }
        assert!(past.len() <= 86, "{}", past.len());
    }

    #[test]
    fn storage_parameters_are_taken_apart() {
        let read = options(vec!["autovacuum_enabled=false".into(), "fillfactor=70".into()]);
        assert_eq!(read.get("fillfactor").map(String::as_str), Some("70"));
        assert_eq!(read.len(), 2);
    }
}
