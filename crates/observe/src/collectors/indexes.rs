//! The indexes of a database that matter: invalid ones first, then the largest; and how often this server used them.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{Index, Indexes, Shared};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::about::About;
use crate::row::{Offset, count, get, oid};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "indexes",
    about: "Of every database the invalid indexes and the largest, 500 in all: what they are made of without deparsing them, what \
            stands on them, how often this server scanned them and since when it counts, and whether one is being built. Takes no \
            lock on a table.",
    reads: "pg_index, pg_class, pg_constraint, pg_stat_all_indexes, pg_stat_progress_create_index",
    needs: "CONNECT; pg_monitor to see which index is being built",
    cadence: "15 s",
    gap: "indexes of databases that the login may not connect to",
};

const SQL: &str = include_str!("../sql/indexes.sql");
const MOST: i64 = 500;

/// Since when indexes are known, by oid; nothing for those that the first look found.
#[derive(Default)]
pub(crate) struct Memory {
    looked: bool,
    appeared: BTreeMap<u32, Option<Time>>,
}

/// Reads them.
pub(crate) async fn read(
    session: &PgSession,
    about: &About,
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<Shared<Indexes>, ReachError> {
    let rows = session.query(SQL, &[&MOST]).await?;
    let mut out = Indexes {
        block: about.block,
        counted_since: about.counted_since,
        hidden_builds: about.hidden_builds,
        left_out: rows
            .first()
            .map_or(0, |r| count(r, "total").saturating_sub(rows.len() as u64)),
        indexes: Vec::with_capacity(rows.len()),
    };
    let mut known = BTreeMap::new();
    for row in &rows {
        let oid = oid(row, "oid");
        let first_look = if memory.looked { Some(now) } else { None };
        let appeared = memory.appeared.get(&oid).copied().unwrap_or(first_look);
        known.insert(oid, appeared);
        out.indexes.push(Index {
            oid,
            table_oid: crate::row::oid(row, "table_oid"),
            schema: get(row, "schema"),
            name: get(row, "name"),
            table: get(row, "table_name"),
            method: get(row, "method"),
            unique: get(row, "is_unique"),
            valid: get(row, "valid"),
            ready: get(row, "ready"),
            replica_identity: get(row, "replica_identity"),
            clustered: get(row, "clustered"),
            partition: get(row, "is_partition"),
            constraint: get(row, "of_constraint"),
            foreign_key: get(row, "foreign_key"),
            expressions: get(row, "expressions"),
            partial: get(row, "partial"),
            pages: count(row, "pages"),
            keys: get(row, "keys"),
            includes: get(row, "includes"),
            formula: get(row, "formula"),
            scans: count(row, "scans"),
            last_scan: offset.time(row, "last_scan"),
            building: get::<Option<bool>>(row, "building").unwrap_or(false),
            appeared,
        });
    }
    *memory = Memory {
        looked: true,
        appeared: known,
    };
    Ok(Shared::new(out))
}
