//! What holds the horizon of vacuum back: sessions, slots, prepared transactions, the feedback of standbys.
//!
//! A session and a prepared transaction know when they began. A slot does not: for it the collector keeps a trail of which
//! transaction id was the next one at which time. No transaction id is used up by looking.

use std::collections::VecDeque;

use muster_model::snapshot::{Holder, HolderKind, Horizons};
use muster_model::{Span, Time};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::{Offset, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "horizons",
    about: "What keeps vacuum from removing old row versions: every session, slot, prepared transaction and standby's feedback \
            that holds the horizon, the oldest 50, in transaction ids and in time. Uses up no transaction id.",
    reads: "pg_stat_activity, pg_replication_slots, pg_prepared_xacts, pg_stat_replication, pg_stat_progress_vacuum, \
            pg_current_snapshot()",
    needs: "pg_monitor",
    cadence: "15 s",
    gap: "the snapshots of other roles' sessions and of standbys",
};

const SQL: &str = include_str!("../sql/horizons.sql");

/// One mark of the trail a minute, for a day and an hour: the longest threshold is a day.
const MARK_EVERY: Span = Span::from_secs(60);
const MARKS: usize = 25 * 60;

/// What is remembered of transaction ids.
#[derive(Default)]
pub(crate) struct Memory {
    next: Ring<u64>,
    trail: VecDeque<(Time, u64)>,
}

impl Memory {
    fn mark(&mut self, now: Time, next: u64) {
        // Another server answers at this address, or the clock went back: what was known is of no use.
        if self.trail.back().is_some_and(|(t, n)| *n > next || *t > now) {
            self.trail.clear();
        }
        if self.trail.back().is_none_or(|(t, _)| now.since(*t) >= MARK_EVERY) {
            self.trail.push_back((now, next));
        }
        if self.trail.len() > MARKS {
            self.trail.pop_front();
        }
    }

    /// By when a transaction id had been given out, and whether that may have been long before.
    fn given(&self, xid: u64, now: Time) -> (Time, bool) {
        let at = self.trail.partition_point(|(_, next)| *next <= xid);
        match self.trail.get(at) {
            Some((t, _)) => (*t, at == 0),
            None => (now, false),
        }
    }
}

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<Horizons, ReachError> {
    let rows = session.query(SQL, &[]).await?;
    let next = rows
        .first()
        .map_or(0, |r| get::<i64>(r, "next_xid").unsigned_abs());
    memory.mark(now, next);
    let mut holders = Vec::with_capacity(rows.len());
    for row in &rows {
        let kind = match get::<Option<String>>(row, "kind").as_deref() {
            Some("session") => HolderKind::Session,
            Some("slot") => HolderKind::Slot,
            Some("slot_catalog") => HolderKind::SlotCatalog,
            Some("prepared") => HolderKind::Prepared,
            Some("standby") => HolderKind::Standby,
            _ => continue,
        };
        // A standby may speak of transactions that are to come.
        let xids = u64::try_from(get::<Option<i32>>(row, "xids").unwrap_or(0)).unwrap_or(0);
        let (since, older) = match offset.time(row, "since") {
            Some(t) => (t, false),
            None => memory.given(next.saturating_sub(xids), now),
        };
        let text = |column: &str| get::<Option<String>>(row, column);
        holders.push(Holder {
            kind,
            name: text("name").unwrap_or_default(),
            pid: get(row, "pid"),
            user: text("usename"),
            database: text("database"),
            application: text("application").unwrap_or_default(),
            client: text("client"),
            state: text("state"),
            xids,
            since: Some(since),
            older,
        });
    }
    Ok(Horizons {
        next_xid: memory.next.take(now, next, |a, b| b < a),
        holders,
        sees_all: session.capability().monitor || session.capability().superuser,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trail_says_when_a_transaction_id_was_new_and_when_it_only_may_be_older() {
        let at = |minutes: i64| Time::from_millis(minutes * 60_000);
        let mut memory = Memory::default();
        for minute in 0..=120 {
            memory.mark(at(minute), 1000 + minute.unsigned_abs() * 10);
        }
        assert_eq!(memory.given(900, at(120)), (at(0), true), "before the first look");
        assert_eq!(memory.given(1000, at(120)), (at(1), false));
        assert_eq!(memory.given(1605, at(120)), (at(61), false));
        assert_eq!(
            memory.given(2200, at(120)),
            (at(120), false),
            "the next one holds nothing"
        );
        memory.mark(at(121), 7);
        assert_eq!(
            memory.given(3, at(121)),
            (at(121), true),
            "another server's trail is forgotten"
        );
    }

    #[test]
    fn the_trail_is_bounded() {
        let mut memory = Memory::default();
        for minute in 0..5000 {
            memory.mark(Time::from_millis(minute * 60_000), 5);
        }
        assert_eq!(memory.trail.len(), MARKS);
    }
}
