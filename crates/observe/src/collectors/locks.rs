//! Who waits for which lock. Asked only while somebody waits.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::snapshot::{LockWait, Locks, Session};
use muster_model::{Span, Time};
use muster_reach::{PgSession, ReachError, Server};

use super::CollectorInfo;
use crate::row::{Offset, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "locks",
    about: "Every wait for a lock: its kind, mode, relation and since when. Asked only while somebody waits.",
    reads: "pg_locks where not granted; pg_class and pg_namespace for the relation's name, in its own database once per wait \
            (one database a pass, and none while slots are scarce)",
    needs: "CONNECT on a database, for the names of its relations only",
    cadence: "1 s",
    gap: "names of relations in databases that the login may not connect to (their oid is shown)",
};

const SQL: &str = include_str!("../sql/locks.sql");
const SQL_13: &str = include_str!("../sql/locks_13.sql");

const NAMES: &str = include_str!("../sql/relation_names.sql");
/// Nobody waits longer than this for a name.
const NAMES_WITHIN: Duration = Duration::from_millis(500);

/// A database that gave no names is asked again after so long.
const AGAIN: Span = Span::from_secs(10);

/// Names that were learnt.
#[derive(Default)]
pub(crate) struct Names {
    /// Database and oid to `schema.table`; `None` where the database has no such relation.
    known: BTreeMap<(String, u32), Option<String>>,
    /// When a database last gave no answer.
    failed: BTreeMap<String, Time>,
}

/// Puts names where the session's own database could give only an oid. Forgets them when nobody waits any more. A name costs a
/// login in its database: at most one a pass, and none (`server` is absent) when slots are scarce.
pub(crate) async fn name(
    server: Option<&Server>,
    sessions: &[Session],
    locks: &mut Locks,
    names: &mut Names,
    now: Time,
) {
    if locks.waits.is_empty() {
        *names = Names::default();
        return;
    }
    let mut wanted: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (key, _) in unnamed(sessions, &locks.waits).filter(|(key, _)| !names.known.contains_key(key)) {
        wanted.entry(key.0).or_default().push(key.1);
    }
    let ready = |database: &String| {
        let failed = names.failed.get(database);
        failed.is_none_or(|t| now < *t || now.since(*t) >= AGAIN)
    };
    let next = wanted.into_iter().find(|(database, _)| ready(database));
    if let (Some(server), Some((database, oids))) = (server, next) {
        let ask = async {
            let session = server.inside(&database).await?;
            session.query(NAMES, &[&oids]).await
        };
        if let Ok(Ok(rows)) = tokio::time::timeout(NAMES_WITHIN, ask).await {
            let nobody = oids.iter().map(|oid| ((database.clone(), *oid), None));
            names.known.extend(nobody);
            for row in &rows {
                let key = (database.clone(), get(row, "oid"));
                names.known.insert(key, get(row, "name"));
            }
        } else {
            names.failed.insert(database, now);
        }
    }
    let known: Vec<(usize, String)> = unnamed(sessions, &locks.waits)
        .filter_map(|(key, i)| names.known.get(&key).cloned().flatten().map(|name| (i, name)))
        .collect();
    for (i, name) in known {
        locks.waits[i].relation = Some(name);
    }
}

/// The waits whose relation is an oid only, by database and oid.
fn unnamed<'a>(
    sessions: &'a [Session],
    waits: &'a [LockWait],
) -> impl Iterator<Item = ((String, u32), usize)> + 'a {
    waits.iter().enumerate().filter_map(|(i, w)| {
        let oid: u32 = w.relation.as_deref()?.parse().ok()?;
        let session = sessions.iter().find(|s| s.pid == w.pid)?;
        Some(((session.database.clone()?, oid), i))
    })
}

/// Reads it; nothing is asked when no session waits.
pub(crate) async fn read(
    session: &PgSession,
    sessions: &[Session],
    offset: Offset,
) -> Result<Locks, ReachError> {
    let waiting: Vec<&Session> = sessions
        .iter()
        .filter(|s| s.wait_type.as_deref() == Some("Lock"))
        .collect();
    if waiting.is_empty() {
        return Ok(Locks::default());
    }
    let sql = if session.capability().version_num >= 140_000 {
        SQL
    } else {
        SQL_13
    };
    let rows = session.query(sql, &[]).await?;
    let waits = rows
        .iter()
        .map(|row| {
            let pid: i32 = get(row, "pid");
            let waiter = waiting.iter().find(|s| s.pid == pid);
            LockWait {
                pid,
                locktype: get(row, "locktype"),
                mode: get(row, "mode"),
                relation: get(row, "relation"),
                since: offset
                    .time(row, "since")
                    .or_else(|| waiter.and_then(|w| w.query_start)),
                blocked_by: waiter.map(|w| w.blocked_by.clone()).unwrap_or_default(),
            }
        })
        .collect();
    Ok(Locks { waits })
}
