//! Pools with the sessions behind them, and when they are in trouble: shared by the four rules about pools.

use muster_model::pool_verdict::{self, PoolVerdict};
use muster_model::pooled::behind;
use muster_model::snapshot::{Pool, PoolerView, Session};
use muster_model::{Severity, Snapshot, Span, Subject, Time};
use serde_json::{Value, json};

use crate::judge::{Context, Mode};
use crate::rules::{evidence, finding};

/// A pool in trouble, judged.
pub(crate) struct Trouble<'a> {
    pub(crate) pooler: &'a PoolerView,
    pub(crate) pool: &'a Pool,
    pub(crate) sessions: Vec<&'a Session>,
    pub(crate) verdict: PoolVerdict,
    pub(crate) severity: Severity,
    pub(crate) incident: bool,
    /// Onset by the evidence: since when the first client waits.
    pub(crate) since: Time,
}

impl Trouble<'_> {
    pub(crate) fn subject(&self) -> Subject {
        Subject::new("pool", format!("{}/{}", self.pool.database, self.pool.user))
    }

    /// What was seen, for people and for the drawing.
    pub(crate) fn evidence(&self, now: Time) -> Value {
        let state = self.pooler.state.as_ref().map(|p| &p.value);
        let sessions: Vec<Value> = self
            .sessions
            .iter()
            .map(|s| {
                let since = if s.idle_in_transaction() {
                    s.state_change
                } else {
                    s.query_start
                };
                let client = state.and_then(|st| st.client_of(s.pid));
                json!({
                    "pid": s.pid,
                    "state": s.state,
                    "age_ms": since.map_or(0, |t| now.since(t).millis()),
                    "owner": s.owner(),
                    "client": client.map(|c| c.addr.clone()),
                    "query": s.query,
                })
            })
            .collect();
        json!({
            "waiting": self.pool.cl_waiting,
            "maxwait_ms": self.pool.maxwait_us / 1000,
            "active": self.pool.sv_active,
            "idle": self.pool.sv_idle,
            "size": self.pool.size,
            "leaked": self.verdict.leaked,
            "slow": self.verdict.slow,
            "held_percent": self.verdict.held_percent,
            "verdict": self.verdict.word,
            "sessions": sessions,
        })
    }
}

/// All pools whose clients wait for long enough to say so.
pub(crate) fn troubled<'a>(c: &mut Context<'_>, snapshot: &'a Snapshot) -> Vec<Trouble<'a>> {
    const KIND: &str = "pool.exhausted";
    let (warning, critical) = (c.span(KIND, "warning"), c.span(KIND, "critical"));
    let (many, many_for, held_for) = (
        c.number(KIND, "waiters"),
        c.span(KIND, "waiters_for"),
        c.span(KIND, "held_for"),
    );
    let now = snapshot.taken_at;
    let mut out = Vec::new();
    for pooler in &snapshot.poolers {
        let Some(state) = &pooler.state else { continue };
        for pool in &state.value.pools {
            let maxwait = Span::from_millis(pool.maxwait_us / 1000);
            if pool.cl_waiting == 0 {
                continue;
            }
            let sessions = behind(snapshot, pooler, pool).map(|(_, sessions)| sessions);
            let database = state.value.databases.iter().find(|d| d.name == pool.database);
            let verdict = pool_verdict::judge(pool, database, sessions.as_deref(), now);
            let verdict = settled(
                c,
                verdict,
                &format!("{}|{}/{}", pooler.address, pool.database, pool.user),
            );
            let sessions = sessions.unwrap_or_default();
            let crowd = f64::from(pool.cl_waiting) > many
                && c.held(&format!(
                    "crowd|{}|{}/{}",
                    pooler.address, pool.database, pool.user
                )) >= many_for;
            let oldest_held = sessions
                .iter()
                .filter(|s| s.idle_in_transaction())
                .filter_map(|s| s.state_change)
                .filter(|t| now.since(*t) >= held_for)
                .count();
            #[allow(clippy::cast_precision_loss)]
            let held =
                pool.size > 0 && oldest_held as f64 * 100.0 >= pool_verdict::HELD * f64::from(pool.size);
            if maxwait < warning && !crowd && !held {
                continue;
            }
            let severe = maxwait >= critical || crowd || held;
            out.push(Trouble {
                pooler,
                pool,
                sessions,
                verdict,
                severity: if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                incident: severe,
                since: now.minus(maxwait),
            });
        }
    }
    out
}

/// How long every transaction must have been short before the pool is called too small.
const SHORT_FOR: Span = Span::from_secs(3);
/// A pool whose statements were long a moment ago is not quiet because they have just begun anew.
const LONG_AGO: Span = Span::from_secs(10);

/// A pool that is too small is known by what does not happen, so one look cannot tell: at the first moment of every round of
/// long statements, and of every leak, all transactions are short.
fn settled(c: &mut Context<'_>, mut verdict: PoolVerdict, pool: &str) -> PoolVerdict {
    let slow = format!("{}|{pool}", pool_verdict::SLOW);
    // A few slow ones among many short say nothing of the next look.
    if verdict.word == pool_verdict::SLOW && !verdict.mixed {
        c.held(&slow);
    }
    if verdict.word != pool_verdict::SMALL || c.mode == Mode::Check {
        return verdict;
    }
    let short_for = c.held(&format!("{}|{pool}", pool_verdict::SMALL));
    if c.seen_within(&slow, LONG_AGO) {
        verdict.word = pool_verdict::SLOW;
        verdict
            .summary
            .push_str("; a moment ago they ran for long, and have begun anew");
    } else if short_for < SHORT_FOR {
        verdict.word = pool_verdict::OK;
        verdict
            .summary
            .push_str("; whether the pool is too small is seen in a moment");
    }
    verdict
}

/// Reports the pools in trouble whose verdict is `word`, as `kind`.
pub(crate) fn name(c: &mut Context<'_>, kind: &'static str, word: &str) {
    let snapshot = c.snapshot;
    for t in troubled(c, snapshot).iter().filter(|t| t.verdict.word == word) {
        let mut f = finding(
            kind,
            t.severity,
            &t.pooler.address,
            t.subject(),
            t.since,
            t.verdict.summary.clone(),
        );
        f.incident = t.incident;
        f.evidence = evidence(t.evidence(snapshot.taken_at));
        f.ruled_out.clone_from(&t.verdict.ruled_out);
        c.findings.push(f);
    }
}
