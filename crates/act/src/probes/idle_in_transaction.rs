//! `pg.idle_in_transaction@1`: sessions that idle in an open transaction, with their exact identities.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::{CodeError, Probe};
use muster_model::pooled::behind;
use muster_model::snapshot::Session;
use muster_model::{Field, Record, Scope, Signature, Span, Type};
use serde_json::json;

use super::probe;
use crate::eyes::{Eyes, pooler_of, record, server_of, sessions_of, span, text, texts};
use crate::identity::exact;

/// The probe.
pub struct IdleInTransaction(Signature, Arc<Eyes>);

impl IdleInTransaction {
    pub(crate) fn new(eyes: Arc<Eyes>) -> Self {
        let params = vec![
            Field::new(
                "over",
                Type::Duration,
                "idle in the transaction for at least this long",
            ),
            Field::new(
                "owners",
                Type::list(Type::Text),
                "only sessions of these owners (user/application)",
            )
            .optional(),
            Field::new(
                "pool",
                Type::Text,
                "only sessions behind this pool (database/user)",
            )
            .optional(),
        ];
        let outputs = vec![
            Field::new(
                "sessions",
                Type::identities("session"),
                "the sessions, oldest first",
            ),
            Field::new("owners", Type::list(Type::Text), "their owners: user/application"),
            Field::new("count", Type::Int, "how many"),
            Field::new(
                "held_percent",
                Type::Float,
                "share of the pool that they hold; 0 without a pool",
            ),
            Field::new("oldest", Type::Duration, "how long the oldest has idled"),
            Field::new(
                "blocking",
                Type::Int,
                "how many other sessions wait for one of them",
            ),
        ];
        let about = "Finds sessions that idle in an open transaction. Our own are left out.";
        Self(probe("pg.idle_in_transaction@1", about, params, outputs), eyes)
    }
}

#[async_trait]
impl Probe for IdleInTransaction {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, with: &Record) -> Result<Record, CodeError> {
        let over = span(with, "over", Span::from_secs(10))?;
        let owners = texts(with, "owners");
        let snapshot = self.1.look(scope).await?;
        let mut server = server_of(scope, &snapshot)?;
        let mut pooler = None;
        let mut pool_size = 0;
        let mut sessions: Vec<&Session> = sessions_of(server)?.sessions.iter().collect();
        if let Some(pool) = text(with, "pool") {
            let found = pooler_of(scope, &snapshot)?;
            let state = found.state.as_ref().map(|p| &p.value);
            let row = state.and_then(|s| {
                s.pools
                    .iter()
                    .find(|p| format!("{}/{}", p.database, p.user) == pool)
            });
            let Some((behind_server, theirs)) = row.and_then(|p| behind(&snapshot, found, p)) else {
                return Err(CodeError::Unreadable {
                    target: found.address.clone(),
                    reason: format!("the sessions behind pool {pool} cannot be seen"),
                });
            };
            pool_size = row.map_or(0, |p| p.size);
            server = behind_server;
            sessions = theirs;
            pooler = Some(found);
        }
        let now = server.activity.as_ref().map_or(snapshot.taken_at, |a| a.taken_at);
        let mut idle: Vec<&Session> = sessions
            .into_iter()
            .filter(|s| s.is_client() && s.idle_in_transaction() && !s.application.starts_with("muster/"))
            .filter(|s| s.state_change.is_some_and(|t| now.since(t) >= over))
            .filter(|s| owners.as_ref().is_none_or(|o| o.contains(&s.owner())))
            .collect();
        idle.sort_by_key(|s| s.state_change);
        let reach = self.1.server(scope, &server.address)?;
        let session = reach.observing().await.map_err(|e| CodeError::Unreadable {
            target: server.address.clone(),
            reason: e.reason,
        })?;
        let exact = exact(&session, server, pooler, &idle).await?;
        let pids: BTreeSet<i32> = exact.iter().map(|s| s.pid).collect();
        let all = sessions_of(server)?;
        let blocking = all
            .sessions
            .iter()
            .filter(|s| s.blocked_by.iter().any(|b| pids.contains(b)))
            .count();
        let owners: BTreeSet<String> = exact.iter().map(crate::identity::SessionId::owner).collect();
        let oldest = exact.iter().map(|s| s.age_ms).max().unwrap_or(0);
        // Of an unknown size the sessions hold an unknown share, which is not enough to act on.
        let share = match u32::try_from(exact.len()) {
            Ok(count) if pool_size > 0 => f64::from(count) * 100.0 / f64::from(pool_size),
            _ => 0.0,
        };
        Ok(record(json!({
            "held_percent": share,
            "sessions": exact.iter().map(|s| s.freeze().to_value()).collect::<Vec<_>>(),
            "owners": owners,
            "count": exact.len(),
            "oldest": Span::from_millis(oldest).to_string(),
            "blocking": blocking,
        })))
    }
}
