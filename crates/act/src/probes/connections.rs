//! `pg.connections@1`: slots used, and by whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::{CodeError, Probe};
use muster_model::snapshot::{Activity, Reach};
use muster_model::{Field, Record, Scope, Signature, Span, Type};
use serde_json::json;

use super::probe;
use crate::eyes::{Eyes, record, server_of, sessions_of};

/// The probe.
pub struct Connections(Signature, Arc<Eyes>);

impl Connections {
    pub(crate) fn new(eyes: Arc<Eyes>) -> Self {
        let row = Type::Record(vec![
            Field::new("owner", Type::Text, "user/application"),
            Field::new("sessions", Type::Int, "sessions"),
            Field::new("idle", Type::Int, "of these idle"),
            Field::new("active", Type::Int, "of these at work"),
            Field::new("oldest", Type::Duration, "age of the longest idle one"),
        ]);
        let outputs = vec![
            Field::new("used", Type::Int, "client sessions"),
            Field::new("usable", Type::Int, "max_connections without what is reserved"),
            Field::new("percent", Type::Float, "share of the usable slots, in per cent"),
            Field::new("max_connections", Type::Int, "the setting"),
            Field::new("full", Type::Bool, "whether a new login is refused"),
            Field::new("owners", Type::list(row), "owners, the biggest first"),
            Field::new("biggest", Type::Text, "the biggest owner"),
            Field::new("verdict", Type::Text, "ok or connections.saturated"),
            Field::new("summary", Type::Text, "one sentence"),
        ];
        Self(
            probe(
                "pg.connections@1",
                "Counts client sessions against the usable slots.",
                Vec::new(),
                outputs,
            ),
            eyes,
        )
    }
}

/// Client sessions and usable slots.
pub(crate) fn slots(activity: &Activity) -> (usize, usize, f64) {
    let used = activity.sessions.iter().filter(|s| s.is_client()).count();
    let usable = usize::try_from(activity.max_connections.saturating_sub(activity.reserved)).unwrap_or(0);
    #[allow(clippy::cast_precision_loss)]
    let percent = if usable == 0 {
        100.0
    } else {
        used as f64 * 100.0 / usable as f64
    };
    (used, usable, percent)
}

#[async_trait]
impl Probe for Connections {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, _: &Record) -> Result<Record, CodeError> {
        let snapshot = self.1.look(scope).await?;
        let server = server_of(scope, &snapshot)?;
        let activity = sessions_of(server)?;
        let (used, usable, percent) = slots(activity);
        let now = server.activity.as_ref().map_or(snapshot.taken_at, |a| a.taken_at);
        let mut owners: BTreeMap<String, (usize, usize, usize, u64)> = BTreeMap::new();
        for s in activity
            .sessions
            .iter()
            .filter(|s| s.is_client() && !s.application.starts_with("muster/"))
        {
            let row = owners.entry(s.owner()).or_default();
            row.0 += 1;
            match s.state.as_deref() {
                Some("idle") => {
                    row.1 += 1;
                    row.3 = row.3.max(s.state_change.map_or(0, |t| now.since(t).millis()));
                }
                Some("active") => row.2 += 1,
                _ => {}
            }
        }
        let mut rows: Vec<_> = owners.into_iter().collect();
        rows.sort_by_key(|(name, r)| (std::cmp::Reverse(r.0), name.clone()));
        let biggest = rows.first().map(|(n, r)| (n.clone(), r.0)).unwrap_or_default();
        let full = matches!(server.reach, Reach::Full { .. });
        let saturated = percent >= 90.0;
        Ok(record(json!({
            "used": used,
            "usable": usable,
            "percent": percent,
            "max_connections": activity.max_connections,
            "full": full,
            "owners": rows.iter().map(|(owner, r)| json!({
                "owner": owner, "sessions": r.0, "idle": r.1, "active": r.2, "oldest": Span::from_millis(r.3).to_string(),
            })).collect::<Vec<_>>(),
            "biggest": biggest.0,
            "verdict": if saturated { "connections.saturated" } else { "ok" },
            "summary": format!("{used} of {usable} usable slots on {} are taken ({percent:.0} %); most by {} ({})",
                server.address, biggest.0, biggest.1),
        })))
    }
}
