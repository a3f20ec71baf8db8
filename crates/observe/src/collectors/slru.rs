//! The small caches behind transactions: how often a page had to be read from the disk.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{Slru, SlruCounters};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{count, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "slru",
    about: "The small caches in shared memory behind transactions (subtransactions, commit log, multixacts): pages found and \
            pages read, now and a minute and five minutes ago.",
    reads: "pg_stat_slru",
    needs: "nothing beyond a login",
    cadence: "15 s",
    gap: "nothing",
};

const SQL: &str = include_str!("../sql/slru.sql");

/// Samples by name.
pub(crate) type Memory = BTreeMap<String, Ring<SlruCounters>>;

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    memory: &mut Memory,
) -> Result<Vec<Slru>, ReachError> {
    let rows = session.query(SQL, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let name: String = get(row, "name");
            let counters = SlruCounters {
                hit: count(row, "hit"),
                read: count(row, "read"),
            };
            let began_anew = |a: &SlruCounters, b: &SlruCounters| b.hit < a.hit || b.read < a.read;
            let counted = memory
                .entry(name.clone())
                .or_default()
                .take(now, counters, began_anew);
            Slru { name, counted }
        })
        .collect())
}
