//! Exact identities of sessions: as the server writes them, to the microsecond, so that the acting statement can compare
//! them with what it sees.

use muster_engine::CodeError;
use muster_model::snapshot::{PoolerView, ServerView, Session};
use muster_model::{FrozenTarget, Span};
use muster_reach::{PgSession, ReachError, redact};
use serde::{Deserialize, Serialize};

const IDENTIFY: &str = include_str!("sql/identify.sql");

/// A session as the server names it. Times are microseconds of the server's own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionId {
    /// Address of its server.
    pub(crate) server: String,
    /// Identity of the cluster.
    pub(crate) system_identifier: String,
    pub(crate) pid: i32,
    pub(crate) backend_start: i64,
    pub(crate) xact_start: Option<i64>,
    pub(crate) query_start: Option<i64>,
    pub(crate) state_change: Option<i64>,
    pub(crate) state: String,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application: String,
    pub(crate) client: String,
    pub(crate) backend_type: String,
    pub(crate) superuser: bool,
    pub(crate) wait_event: String,
    pub(crate) query: String,
    /// How long it has been in this state, in milliseconds.
    pub(crate) age_ms: u64,
    /// Who is behind the pooler, when it comes through one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind_pooler: Option<String>,
}

impl SessionId {
    /// Whom it belongs to.
    pub(crate) fn owner(&self) -> String {
        format!("{}/{}", self.user, self.application)
    }

    pub(crate) fn label(&self) -> String {
        let age = Span::from_millis(self.age_ms).human();
        let via = self
            .behind_pooler
            .as_ref()
            .map(|p| format!(" (client {p})"))
            .unwrap_or_default();
        format!(
            "session {} of {} on {}, {} for {age}{via}",
            self.pid,
            self.owner(),
            self.server,
            self.state
        )
    }

    pub(crate) fn freeze(&self) -> FrozenTarget {
        let xact = self.xact_start.map_or_else(|| "-".to_owned(), |x| x.to_string());
        FrozenTarget {
            kind: "session".to_owned(),
            label: self.label(),
            fingerprint: format!("{}#{}@{}/{xact}", self.server, self.pid, self.backend_start),
            json: serde_json::to_value(self).unwrap_or_default(),
        }
    }

    pub(crate) fn thaw(target: &FrozenTarget) -> Result<Self, CodeError> {
        serde_json::from_value(target.json.clone()).map_err(|e| CodeError::Input {
            name: target.label.clone(),
            reason: format!("not a session: {e}"),
        })
    }
}

/// Reads the sessions with these process ids as they are now.
pub(crate) async fn identify(
    session: &PgSession,
    server: &str,
    pids: &[i32],
) -> Result<Vec<SessionId>, ReachError> {
    let rows = session.query(IDENTIFY, &[&pids]).await?;
    Ok(rows
        .iter()
        .map(|row| SessionId {
            server: server.to_owned(),
            system_identifier: row
                .get::<_, Option<String>>("system_identifier")
                .unwrap_or_default(),
            pid: row.get("pid"),
            backend_start: row.get("backend_start"),
            xact_start: row.get("xact_start"),
            query_start: row.get("query_start"),
            state_change: row.get("state_change"),
            state: row.get::<_, Option<String>>("state").unwrap_or_default(),
            user: row.get::<_, Option<String>>("usename").unwrap_or_default(),
            database: row.get::<_, Option<String>>("datname").unwrap_or_default(),
            application: row
                .get::<_, Option<String>>("application_name")
                .unwrap_or_default(),
            client: row.get::<_, Option<String>>("client").unwrap_or_default(),
            backend_type: row.get::<_, Option<String>>("backend_type").unwrap_or_default(),
            superuser: row.get("superuser"),
            wait_event: row.get::<_, Option<String>>("wait_event").unwrap_or_default(),
            query: redact::statement(&row.get::<_, Option<String>>("query").unwrap_or_default()),
            age_ms: u64::try_from(row.get::<_, i64>("age_us") / 1000).unwrap_or(0),
            behind_pooler: None,
        })
        .collect())
}

/// Whether it is still in the same transaction and statement. Times are compared by their distance from the session's
/// start, so that the difference between two clocks does not matter.
fn same_story(seen: &Session, now: &SessionId) -> bool {
    let then = |t: Option<muster_model::Time>| t.map(|t| t.micros() - seen.backend_start.micros());
    let here = |t: Option<i64>| t.map(|t| t - now.backend_start);
    let statement = then(seen.query_start) == here(now.query_start);
    then(seen.xact_start) == here(now.xact_start)
        && statement
        // Of an active session it is the start of the statement, to the microsecond or a little later.
        && (now.state == "active" || then(seen.state_change) == here(now.state_change))
}

/// The exact identities of sessions that were seen in a snapshot; those that changed meanwhile are left out.
pub(crate) async fn exact(
    session: &PgSession,
    server: &ServerView,
    pooler: Option<&PoolerView>,
    seen: &[&Session],
) -> Result<Vec<SessionId>, CodeError> {
    let pids: Vec<i32> = seen.iter().map(|s| s.pid).collect();
    if pids.is_empty() {
        return Ok(Vec::new());
    }
    let read = identify(session, &server.address, &pids).await;
    let now = read.map_err(|e| CodeError::Unreadable {
        target: server.address.clone(),
        reason: e.reason,
    })?;
    let state = pooler.and_then(|p| p.state.as_ref()).map(|p| &p.value);
    Ok(seen
        .iter()
        .filter_map(|s| {
            let mut id = now.iter().find(|n| n.pid == s.pid)?.clone();
            let same_state = s.state.as_deref() == Some(id.state.as_str());
            let same_story = same_story(s, &id);
            id.behind_pooler = state.and_then(|st| st.client_of(s.pid)).map(|c| {
                if c.application.is_empty() {
                    c.addr.clone()
                } else {
                    format!("{} {}", c.application, c.addr)
                }
            });
            (same_state && same_story).then_some(id)
        })
        .collect())
}
