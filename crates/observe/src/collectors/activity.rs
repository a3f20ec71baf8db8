//! Who is connected: one statement over `pg_stat_activity`, with the blockers of those who wait for a lock.

use muster_model::snapshot::{Activity, Gap, Session};
use muster_reach::{PgSession, ReachError, redact};

use super::CollectorInfo;
use crate::row::{Offset, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "activity",
    about: "Every session with its state, ages, wait and (without literals) statement; who blocks it while it waits for a lock.",
    reads: "pg_stat_activity, pg_blocking_pids() for waiters only, pg_roles, max_connections and what is reserved",
    needs: "pg_monitor",
    cadence: "1 s",
    gap: "state, statement and client of the sessions of other roles",
};

const SQL: &str = include_str!("../sql/activity.sql");

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    address: &str,
    offset: Offset,
) -> Result<(Activity, Vec<Gap>), ReachError> {
    let rows = session.query(SQL, &[]).await?;
    let mut activity = Activity {
        sees_all: session.capability().monitor || session.capability().superuser,
        ..Activity::default()
    };
    for row in &rows {
        activity.max_connections = get::<i32>(row, "max_connections").unsigned_abs();
        activity.reserved = get::<i32>(row, "reserved").unsigned_abs();
        activity.sessions.push(Session {
            pid: get(row, "pid"),
            backend_start: offset
                .time(row, "backend_start")
                .unwrap_or(muster_model::Time::from_micros(0)),
            xact_start: offset.time(row, "xact_start"),
            query_start: offset.time(row, "query_start"),
            state_change: offset.time(row, "state_change"),
            state: get(row, "state"),
            user: get(row, "usename"),
            database: get(row, "datname"),
            application: get::<Option<String>>(row, "application_name").unwrap_or_default(),
            client: get(row, "client"),
            backend_type: get::<Option<String>>(row, "backend_type").unwrap_or_default(),
            wait_type: get(row, "wait_event_type"),
            wait_event: get(row, "wait_event"),
            query: get::<Option<String>>(row, "query").map(|q| redact::statement(&q)),
            has_xid: get(row, "has_xid"),
            superuser: get(row, "superuser"),
            blocked_by: get::<Option<Vec<i32>>>(row, "blocked_by").unwrap_or_default(),
        });
    }
    let mut gaps = Vec::new();
    if !activity.sees_all {
        gaps.push(Gap {
            collector: INFO.name.to_owned(),
            target: address.to_owned(),
            reason: format!(
                "role {} does not see the sessions of others",
                session.capability().user
            ),
            remedy: Some(format!("GRANT pg_monitor TO {};", session.capability().user)),
        });
    }
    Ok((activity, gaps))
}
