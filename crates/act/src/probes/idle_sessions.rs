//! `pg.idle_sessions@1`: idle sessions of the biggest owner that may be ended to come back under the warning line.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::{CodeError, Probe};
use muster_model::snapshot::Session;
use muster_model::{Field, Record, Scope, Signature, Snapshot, Span, Type};
use serde_json::json;

use super::connections::slots;
use super::probe;
use crate::eyes::{Eyes, int, record, server_of, sessions_of, span, text};
use crate::identity::exact;

/// Under this share the slots are well again, with room for what comes meanwhile; ending more is not needed.
const ENOUGH: f64 = 70.0;
/// Ending so few that this share is still taken would not cure.
const LEAST: f64 = 80.0;

/// The probe.
pub struct IdleSessions(Signature, Arc<Eyes>);

impl IdleSessions {
    pub(crate) fn new(eyes: Arc<Eyes>) -> Self {
        let params = vec![
            Field::new("over", Type::Duration, "idle for at least this long").or("10s"),
            Field::new("leave", Type::Int, "how many sessions the owner keeps").or(5),
            Field::new(
                "owner",
                Type::Text,
                "user/application; the biggest owner when left out",
            )
            .optional(),
        ];
        let outputs = vec![
            Field::new(
                "sessions",
                Type::identities("session"),
                "the sessions, oldest first; never more than are needed",
            ),
            Field::new("owner", Type::Text, "their owner: user/application"),
            Field::new("count", Type::Int, "how many"),
            Field::new(
                "needed",
                Type::Int,
                "how many have to go to come under 80 % of the usable slots",
            ),
        ];
        let about = "Finds plain idle sessions of the biggest owner, oldest first, as many as bring the server under 70 % of \
                     its usable slots. A pooler's own connections and ours are left out.";
        Self(probe("pg.idle_sessions@1", about, params, outputs), eyes)
    }
}

#[async_trait]
impl Probe for IdleSessions {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, with: &Record) -> Result<Record, CodeError> {
        let over = span(with, "over", Span::from_secs(10))?;
        let leave = usize::try_from(int(with, "leave", 5)).unwrap_or(0);
        let snapshot = self.1.look(scope).await?;
        let server = server_of(scope, &snapshot)?;
        let activity = sessions_of(server)?;
        let now = server.activity.as_ref().map_or(snapshot.taken_at, |a| a.taken_at);
        if let Some(blind) = snapshot.poolers.iter().find(|p| p.state.is_none()) {
            return Err(CodeError::Unreadable {
                target: blind.address.clone(),
                reason: "its connections cannot be told from those of applications".to_owned(),
            });
        }
        let pooled = pooled(&snapshot);
        let mut owners: BTreeMap<String, Vec<&Session>> = BTreeMap::new();
        for s in &activity.sessions {
            if s.is_client()
                && !s.superuser
                && !s.application.starts_with("muster/")
                && !pooled.contains(&s.pid)
            {
                owners.entry(s.owner()).or_default().push(s);
            }
        }
        let named = text(with, "owner").map(str::to_owned);
        let owner = named
            .or_else(|| owners.iter().max_by_key(|(_, v)| v.len()).map(|(n, _)| n.clone()))
            .unwrap_or_default();
        let theirs = owners.remove(&owner).unwrap_or_default();
        let (used, usable, _) = slots(activity);
        let (wanted, needed) = (above(used, usable, ENOUGH), above(used, usable, LEAST));
        let may_go = theirs.len().saturating_sub(leave);
        let mut idle: Vec<&Session> = theirs
            .into_iter()
            .filter(|s| s.state.as_deref() == Some("idle"))
            .filter(|s| s.state_change.is_some_and(|t| now.since(t) >= over))
            .collect();
        idle.sort_by_key(|s| s.state_change);
        idle.truncate(wanted.min(may_go));
        let reach = self.1.server(scope, &server.address)?;
        let session = reach.observing().await.map_err(|e| CodeError::Unreadable {
            target: server.address.clone(),
            reason: e.reason,
        })?;
        let exact = exact(&session, server, None, &idle).await?;
        Ok(record(json!({
            "sessions": exact.iter().map(|s| s.freeze().to_value()).collect::<Vec<_>>(),
            "owner": owner,
            "count": exact.len(),
            "needed": needed,
        })))
    }
}

/// How many of the used slots lie above a share of the usable ones.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn above(used: usize, usable: usize, percent: f64) -> usize {
    // One less than the line, so that what is left lies under it.
    used.saturating_sub(((usable as f64 * percent / 100.0).ceil() as usize).saturating_sub(1))
}

fn pooled(snapshot: &Snapshot) -> Vec<i32> {
    let states = snapshot.poolers.iter().filter_map(|p| p.state.as_ref());
    states
        .flat_map(|s| s.value.servers.iter().map(|x| x.remote_pid))
        .collect()
}
