//! Range-partitioned tables and what their partitions cover. Bounds are deparsed without the relation, which takes no lock.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{Partition, Partitioned, Partitions, Shared};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::about::About;
use crate::ring::Ring;
use crate::row::{count, get, oid};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "partitions",
    about: "Of a primary: range-partitioned tables, the times that their partitions cover, sizes by the planner's page counts, and \
            rows that arrive in a default partition.",
    reads: "pg_partitioned_table, pg_inherits, pg_class, pg_stat_get_*",
    needs: "CONNECT",
    cadence: "60 s",
    gap: "partitions of databases that the login may not connect to",
};

const SQL: &str = include_str!("../sql/partitions.sql");
const MOST: i64 = 3000;

/// Rows inserted into default partitions, by oid.
pub(crate) type Memory = BTreeMap<u32, Ring<u64>>;

/// Reads them.
pub(crate) async fn read(
    session: &PgSession,
    about: &About,
    now: Time,
    memory: &mut Memory,
) -> Result<Shared<Partitions>, ReachError> {
    let rows = session.query(SQL, &[&MOST]).await?;
    let left_out = rows
        .first()
        .map_or(0, |r| count(r, "total").saturating_sub(rows.len() as u64));
    let mut out = Partitions {
        parents: Vec::new(),
        left_out,
        block: about.block,
    };
    let mut seen = Memory::new();
    let mut last_parent = None;
    for row in &rows {
        let parent = oid(row, "parent_oid");
        if last_parent != Some(parent) {
            last_parent = Some(parent);
            out.parents.push(Partitioned {
                schema: get(row, "parent_schema"),
                name: get(row, "parent"),
                by_time: get::<Option<bool>>(row, "by_time").unwrap_or(false),
                key_type: get(row, "key_type"),
                partitions: Vec::new(),
                cut: false,
            });
        }
        let is_default = get::<Option<bool>>(row, "is_default").unwrap_or(false);
        let inserted = is_default.then(|| {
            let of = oid(row, "oid");
            let mut ring = memory.remove(&of).unwrap_or_default();
            let counted = ring.take(now, count(row, "inserted"), |a, b| b < a);
            seen.insert(of, ring);
            counted
        });
        let bound = |column: &str| get::<Option<i64>>(row, column).map(Time::from_micros);
        let yes = |column: &str| get::<Option<bool>>(row, column).unwrap_or(false);
        let partition = Partition {
            schema: get(row, "schema"),
            name: get(row, "name"),
            parent: get::<String>(row, "kind") == "p",
            is_default,
            detaching: yes("detaching"),
            from_ever: yes("from_ever"),
            to_ever: yes("to_ever"),
            from: bound("lower"),
            to: bound("upper"),
            pages: count(row, "pages"),
            live: count(row, "live"),
            inserted,
        };
        if let Some(of) = out.parents.last_mut() {
            of.partitions.push(partition);
        }
    }
    // The rows come parent by parent: only the last one can have been cut.
    if left_out > 0
        && let Some(of) = out.parents.last_mut()
    {
        of.cut = true;
    }
    *memory = seen;
    Ok(Shared::new(out))
}
