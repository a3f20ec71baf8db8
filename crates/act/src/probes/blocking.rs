//! `pg.blocking@1`: the lock tree, its root, and the cheapest lever.

use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::{CodeError, Probe};
use muster_model::snapshot::Session;
use muster_model::{Field, Record, Scope, Signature, Span, Type, lock_graph};
use serde_json::json;

use super::probe;
use crate::eyes::{Eyes, record, server_of, sessions_of, span};
use crate::identity::exact;

/// The probe.
pub struct Blocking(Signature, Arc<Eyes>);

impl Blocking {
    pub(crate) fn new(eyes: Arc<Eyes>) -> Self {
        let params = vec![
            Field::new(
                "over",
                Type::Duration,
                "the longest wait must be at least this long",
            )
            .or("1s"),
        ];
        let sessions = || Type::identities("session");
        let outputs = vec![
            Field::new("waiters", Type::Int, "sessions that wait for a lock"),
            Field::new("depth", Type::Int, "longest chain"),
            Field::new("oldest_wait", Type::Duration, "longest wait"),
            Field::new("roots", sessions(), "blockers that do not wait themselves"),
            Field::new("root_state", Type::Text, "state of the biggest root"),
            Field::new(
                "cancel",
                sessions(),
                "sessions whose statement is to be cancelled; one of the two lists is empty",
            ),
            Field::new("terminate", sessions(), "sessions to be ended"),
            Field::new(
                "lever",
                Type::Text,
                "cancel_waiting_ddl, terminate_idle_holder, cancel_running_holder or none",
            ),
            Field::new("frees", Type::Int, "how many sessions the lever frees"),
            Field::new(
                "ddl_queue",
                Type::Bool,
                "whether a waiting DDL is what they queue behind",
            ),
            Field::new(
                "person",
                Type::Text,
                "why only a person may pull the lever, with the command; empty otherwise",
            ),
            Field::new(
                "verdict",
                Type::Text,
                "ok, locks.blocking_chain or locks.ddl_queue",
            ),
            Field::new("summary", Type::Text, "one sentence"),
        ];
        let about =
            "Builds the tree of who waits for whom and finds the cheapest lever that frees the waiters.";
        Self(probe("pg.blocking@1", about, params, outputs), eyes)
    }
}

#[async_trait]
impl Probe for Blocking {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, with: &Record) -> Result<Record, CodeError> {
        let over = span(with, "over", Span::from_secs(1))?;
        let snapshot = self.1.look(scope).await?;
        let server = server_of(scope, &snapshot)?;
        let all = &sessions_of(server)?.sessions;
        let now = server.activity.as_ref().map_or(snapshot.taken_at, |a| a.taken_at);
        let waits = server.locks.as_ref().map(|p| p.value.waits.as_slice());
        let graph = lock_graph::build(all, waits.unwrap_or_default());
        let biggest = graph.trees.first();
        let oldest = graph.oldest.map_or(Span::ZERO, |t| now.since(t));
        // A wait that is younger than asked for passes by itself more often than not.
        let counts = oldest >= over;
        let waiters = if counts { graph.waiters() } else { 0 };
        let lever = graph.lever(biggest);
        let pick = |pid: Option<i32>, wanted: bool| -> Vec<&Session> {
            all.iter()
                .filter(|s| wanted && counts && Some(s.pid) == pid)
                .collect()
        };
        let terminating = lever.kind == "terminate_idle_holder";
        let may = lever.person.is_empty();
        let reach = self.1.server(scope, &server.address)?;
        let session = reach.observing().await.map_err(|e| CodeError::Unreadable {
            target: server.address.clone(),
            reason: e.reason,
        })?;
        let roots: Vec<&Session> = graph
            .roots()
            .filter(|_| counts)
            .filter_map(|r| r.session)
            .collect();
        let frozen = |list: Vec<crate::identity::SessionId>| -> Vec<serde_json::Value> {
            list.iter().map(|s| s.freeze().to_value()).collect()
        };
        let terminate = exact(&session, server, None, &pick(lever.pid, may && terminating)).await?;
        let cancel = exact(&session, server, None, &pick(lever.pid, may && !terminating)).await?;
        let root_state = roots.first().and_then(|s| s.state.clone()).unwrap_or_default();
        let ddl = biggest.is_some_and(|t| t.ddl.is_some()) && counts;
        let verdict = match (waiters, ddl) {
            (0, _) => "ok",
            (_, true) => "locks.ddl_queue",
            _ => "locks.blocking_chain",
        };
        let summary = if waiters == 0 {
            "nobody waits for a lock".to_owned()
        } else {
            let person = if may {
                String::new()
            } else {
                format!("; {}", lever.person)
            };
            let what = lever.kind.replace('_', " ");
            format!(
                "{waiters} sessions wait for locks, the longest for {}; {what} {} frees {}{person}",
                oldest.human(),
                lever.pid.map_or(String::new(), |p| p.to_string()),
                lever.frees
            )
        };
        let roots = exact(&session, server, None, &roots).await?;
        Ok(record(json!({
            "waiters": waiters,
            "depth": biggest.filter(|_| counts).map_or(0, |t| t.depth),
            "oldest_wait": oldest.to_string(),
            "roots": frozen(roots),
            "root_state": root_state,
            "cancel": frozen(cancel),
            "terminate": frozen(terminate),
            "lever": if counts { lever.kind } else { "none" },
            "frees": if counts { lever.frees } else { 0 },
            "ddl_queue": ddl,
            "person": if counts { lever.person } else { String::new() },
            "verdict": verdict,
            "summary": summary,
        })))
    }
}
