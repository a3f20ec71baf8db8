//! Who waits for which lock. Asked only while somebody waits.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::snapshot::{LockWait, Locks, Session};
use muster_reach::{PgSession, ReachError, Server};

use super::CollectorInfo;
use crate::row::Offset;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "locks",
    about: "Every wait for a lock: its kind, mode, relation and since when. Asked only while somebody waits.",
    reads: "pg_locks where not granted; pg_class and pg_namespace for the relation's name, in its own database once per wait",
    needs: "CONNECT on a database, for the names of its relations only",
    cadence: "1 s",
    gap: "names of relations in databases that the login may not connect to (their oid is shown)",
};

const SQL: &str = include_str!("../sql/locks.sql");
const SQL_13: &str = include_str!("../sql/locks_13.sql");

const NAMES: &str = include_str!("../sql/relation_names.sql");
/// Nobody waits longer than this for a name; the next pass asks again.
const NAMES_WITHIN: Duration = Duration::from_millis(500);

/// Names that were learnt: database and oid to `schema.table`; `None` where it could not be learnt.
pub(crate) type Names = BTreeMap<(String, u32), Option<String>>;

/// Puts names where the session's own database could give only an oid. Forgets them when nobody waits any more.
pub(crate) async fn name(server: &Server, sessions: &[Session], locks: &mut Locks, names: &mut Names) {
    if locks.waits.is_empty() {
        names.clear();
        return;
    }
    let mut wanted: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (key, _) in unnamed(sessions, &locks.waits).filter(|(key, _)| !names.contains_key(key)) {
        wanted.entry(key.0).or_default().push(key.1);
    }
    for (database, oids) in wanted {
        let ask = async {
            let session = server.inside(&database).await?;
            session.query(NAMES, &[&oids]).await
        };
        let rows = tokio::time::timeout(NAMES_WITHIN, ask).await;
        names.extend(oids.iter().map(|oid| ((database.clone(), *oid), None)));
        for row in rows.into_iter().flatten().flatten() {
            names.insert((database.clone(), row.get("oid")), row.get("name"));
        }
    }
    let known: Vec<(usize, String)> = unnamed(sessions, &locks.waits)
        .filter_map(|(key, i)| names.get(&key).cloned().flatten().map(|name| (i, name)))
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
            let pid: i32 = row.get("pid");
            let waiter = waiting.iter().find(|s| s.pid == pid);
            LockWait {
                pid,
                locktype: row.get("locktype"),
                mode: row.get("mode"),
                relation: row.get("relation"),
                since: offset
                    .time(row, "since")
                    .or_else(|| waiter.and_then(|w| w.query_start)),
                blocked_by: waiter.map(|w| w.blocked_by.clone()).unwrap_or_default(),
            }
        })
        .collect();
    Ok(Locks { waits })
}
