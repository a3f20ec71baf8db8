//! `pg.replication@1`: the standbys that should stream, and how they do. Lag is computed across servers.

use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::{CodeError, Probe};
use muster_model::snapshot::{Role, ServerView};
use muster_model::standby::{self, StandbyState};
use muster_model::{Field, FrozenTarget, Record, Scope, Signature, Span, Type};
use serde_json::json;

use super::probe;
use crate::eyes::{Eyes, record, unreadable};

/// The probe.
pub struct ReplicationProbe(Signature, Arc<Eyes>);

impl ReplicationProbe {
    pub(crate) fn new(eyes: Arc<Eyes>) -> Self {
        let row = Type::Record(vec![
            Field::new("server", Type::Text, "address"),
            Field::new(
                "state",
                Type::Text,
                "ok, server.down, replication.broken, replication.paused, replication.lagging",
            ),
            Field::new(
                "lag",
                Type::Duration,
                "by time, while there is something to replay",
            ),
            Field::new(
                "lag_bytes",
                Type::Bytes,
                "current position of the primary minus replayed position here",
            ),
            Field::new(
                "sync",
                Type::Text,
                "sync, async, quorum or potential, as the primary says",
            ),
            Field::new("slot", Type::Text, "slot it uses"),
        ]);
        let servers = || Type::identities("server");
        let outputs = vec![
            Field::new("expected", Type::Int, "standbys that should stream"),
            Field::new("streaming", Type::Int, "standbys that do"),
            Field::new("broken", servers(), "standbys that receive nothing"),
            Field::new("paused", servers(), "standbys whose replay is paused"),
            Field::new("lagging", servers(), "standbys that are behind"),
            Field::new("max_lag", Type::Duration, "the greatest lag"),
            Field::new("verdict", Type::Text, "ok, or the worst state of a standby"),
            Field::new("summary", Type::Text, "one sentence"),
            Field::new("standbys", Type::list(row), "every standby"),
        ];
        let about = "Compares what the primary sends with what each standby receives and replays.";
        Self(probe("pg.replication@1", about, Vec::new(), outputs), eyes)
    }
}

#[async_trait]
impl Probe for ReplicationProbe {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, _: &Record) -> Result<Record, CodeError> {
        let snapshot = self.1.look(scope).await?;
        let primary = snapshot.primary().filter(|p| p.answers());
        let primary = primary.ok_or_else(|| unreadable(scope, "the primary does not answer"))?;
        let states: Vec<(&ServerView, StandbyState)> = snapshot
            .servers
            .iter()
            .filter(|s| s.role() == Some(Role::Standby) || s.identity.is_none())
            .map(|s| (s, standby::judge(Some(primary), s)))
            .collect();
        let list = |word: &str| -> Vec<serde_json::Value> {
            states
                .iter()
                .filter(|(_, st)| st.word == word)
                .map(|(s, _)| freeze(s).to_value())
                .collect()
        };
        let order = [
            "server.down",
            "replication.broken",
            "replication.paused",
            "replication.lagging",
            "unknown",
        ];
        let verdict = order
            .iter()
            .find(|w| states.iter().any(|(_, s)| s.word == **w))
            .copied()
            .unwrap_or("ok");
        let streaming = states.iter().filter(|(_, s)| s.streaming).count();
        let max_lag = states.iter().map(|(_, s)| s.lag).max().unwrap_or(Span::ZERO);
        let bad: Vec<String> = states
            .iter()
            .filter(|(_, s)| s.word != "ok")
            .map(|(v, s)| format!("{}: {}", v.address, s.why))
            .collect();
        let summary = if bad.is_empty() {
            format!(
                "{streaming} of {} standbys stream, the greatest lag is {}",
                states.len(),
                max_lag.human()
            )
        } else {
            bad.join("; ")
        };
        let mut broken = list("replication.broken");
        broken.extend(list("server.down"));
        Ok(record(json!({
            "expected": states.len(),
            "streaming": streaming,
            "broken": broken,
            "paused": list("replication.paused"),
            "lagging": list("replication.lagging"),
            "max_lag": max_lag.to_string(),
            "verdict": verdict,
            "summary": summary,
            "standbys": states.iter().map(|(v, s)| json!({
                "server": v.address, "state": s.word, "lag": s.lag.to_string(), "lag_bytes": s.lag_bytes,
                "sync": s.sync, "slot": s.slot,
            })).collect::<Vec<_>>(),
        })))
    }
}

fn freeze(server: &ServerView) -> FrozenTarget {
    let id = server.identity.as_ref().map(|p| &p.value);
    let system = id.map(|i| i.system_identifier.clone()).unwrap_or_default();
    let timeline = id.map_or(0, |i| i.timeline);
    FrozenTarget {
        kind: "server".to_owned(),
        label: format!("server {}", server.address),
        fingerprint: format!("{}@{system}/{timeline}", server.address),
        json: json!({"server": server.address, "system_identifier": system, "timeline": timeline, "role": id.map(|i| i.role)}),
    }
}
