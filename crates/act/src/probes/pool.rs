//! `pgbouncer.pool@1`: what the busiest pool does, and which of the three causes it is when clients wait.

use std::sync::Arc;

use async_trait::async_trait;
use muster_engine::{CodeError, Probe};
use muster_model::pooled::behind;
use muster_model::snapshot::{Pool, PoolerView};
use muster_model::{Field, Record, Scope, Signature, Snapshot, Span, Type, pool_verdict};
use serde_json::json;

use super::probe;
use crate::eyes::{Eyes, pooler_of, record, text};

/// The probe.
pub struct PoolProbe(Signature, Arc<Eyes>);

impl PoolProbe {
    pub(crate) fn new(eyes: Arc<Eyes>) -> Self {
        let row = Type::Record(vec![
            Field::new("pool", Type::Text, "database/user"),
            Field::new("waiting", Type::Int, "clients that wait"),
            Field::new("maxwait", Type::Duration, "longest wait"),
            Field::new("active", Type::Int, "connections in use"),
            Field::new("idle", Type::Int, "connections free"),
            Field::new("size", Type::Int, "size of the pool"),
            Field::new("verdict", Type::Text, "as below"),
        ]);
        let outputs = vec![
            Field::new(
                "pool",
                Type::Text,
                "the busiest pool, or the one asked for: database/user",
            ),
            Field::new("waiting", Type::Int, "clients that wait for a connection"),
            Field::new("maxwait", Type::Duration, "how long the first of them has waited"),
            Field::new("active", Type::Int, "connections linked to a client"),
            Field::new("idle", Type::Int, "connections ready for use"),
            Field::new("size", Type::Int, "most connections the pool may open"),
            Field::new(
                "idle_in_transaction",
                Type::Int,
                "connections whose session idles in a transaction",
            ),
            Field::new("leaked", Type::Int, "of these, for more than 2 s"),
            Field::new("running", Type::Int, "connections whose session runs a statement"),
            Field::new(
                "held_percent",
                Type::Float,
                "share of the pool that is leaked, in per cent",
            ),
            Field::new(
                "verdict",
                Type::Text,
                "ok, connections.leak, pool.slow_server, pool.too_small, pool.paused or unknown",
            ),
            Field::new("summary", Type::Text, "one sentence"),
            Field::new("pools", Type::list(row), "all pools"),
        ];
        let params = vec![
            Field::new(
                "pool",
                Type::Text,
                "database/user; the busiest pool when left out",
            )
            .optional(),
        ];
        let about = "Reads the console and the sessions behind its connections, and names the cause when clients wait.";
        Self(probe("pgbouncer.pool@1", about, params, outputs), eyes)
    }
}

#[async_trait]
impl Probe for PoolProbe {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, scope: &Scope, with: &Record) -> Result<Record, CodeError> {
        let snapshot = self.1.look(scope).await?;
        let pooler = pooler_of(scope, &snapshot)?;
        let state = pooler
            .state
            .as_ref()
            .map(|p| &p.value)
            .ok_or_else(|| crate::eyes::unreadable(scope, "not read"))?;
        let wanted = text(with, "pool");
        let name = |p: &Pool| format!("{}/{}", p.database, p.user);
        let mut pools: Vec<&Pool> = state
            .pools
            .iter()
            .filter(|p| wanted.is_none_or(|w| w == name(p)))
            .collect();
        pools.sort_by_key(|p| std::cmp::Reverse((p.cl_waiting, p.maxwait_us, p.sv_active)));
        let rows: Vec<_> = pools
            .iter()
            .map(|p| {
                let v = judged(&snapshot, pooler, p);
                json!({
                    "pool": name(p), "waiting": p.cl_waiting, "maxwait": wait(p).to_string(), "active": p.sv_active,
                    "idle": p.sv_idle, "size": p.size, "verdict": v.word,
                })
            })
            .collect();
        let Some(busiest) = pools.first() else {
            return Ok(record(json!({
                "pool": "", "waiting": 0, "maxwait": "0s", "active": 0, "idle": 0, "size": 0, "idle_in_transaction": 0,
                "leaked": 0, "running": 0, "held_percent": 0.0, "verdict": "ok",
                "summary": "no client has used the pooler yet", "pools": rows,
            })));
        };
        let v = judged(&snapshot, pooler, busiest);
        Ok(record(json!({
            "pool": name(busiest),
            "waiting": busiest.cl_waiting,
            "maxwait": wait(busiest).to_string(),
            "active": busiest.sv_active,
            "idle": busiest.sv_idle,
            "size": busiest.size,
            "idle_in_transaction": v.idle_in_transaction,
            "leaked": v.leaked,
            "running": v.running,
            "held_percent": v.held_percent,
            "verdict": v.word,
            "summary": format!("{}: {}", name(busiest), v.summary),
            "pools": rows,
        })))
    }
}

fn wait(pool: &Pool) -> Span {
    Span::from_millis(pool.maxwait_us / 1000)
}

fn judged(snapshot: &Snapshot, pooler: &PoolerView, pool: &Pool) -> pool_verdict::PoolVerdict {
    let sessions = behind(snapshot, pooler, pool);
    let now = sessions
        .as_ref()
        .and_then(|(s, _)| s.activity.as_ref())
        .map_or(snapshot.taken_at, |a| a.taken_at);
    let database = pooler
        .state
        .as_ref()
        .and_then(|s| s.value.databases.iter().find(|d| d.name == pool.database));
    pool_verdict::judge(pool, database, sessions.as_ref().map(|(_, s)| s.as_slice()), now)
}
