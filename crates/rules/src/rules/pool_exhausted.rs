//! `pool.exhausted`: clients wait for a pooled connection. The symptom; its cause has a rule of its own.

use muster_model::{Severity, Subject, pool_verdict};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::pools::troubled;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "pool.exhausted",
    title: "Clients wait for a pooled connection",
    about: "SHOW POOLS: cl_waiting above 0 and the longest wait over the threshold. The cause is told by the sessions behind \
            the pool: connections.leak, pool.slow_server or pool.too_small. A pool that is nearly used up while nobody waits \
            is a warning.",
    ignores: "Waits below `warning`.",
    advice: "Look at the cause beside it: connections.leak, pool.slow_server, pool.too_small or pool.paused.",
    needs: &["pooler", "activity"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1s",
            about: "longest wait",
        },
        KeyInfo {
            key: "critical",
            default: "5s",
            about: "longest wait",
        },
        KeyInfo {
            key: "waiters",
            default: "10",
            about: "more waiters than this are critical too",
        },
        KeyInfo {
            key: "waiters_for",
            default: "10s",
            about: "for this long",
        },
        KeyInfo {
            key: "held_for",
            default: "10s",
            about: "80 % of the pool idle in transaction for this long is critical too",
        },
        KeyInfo {
            key: "nearly",
            default: "80",
            about: "per cent of the pool in use: a warning",
        },
        KeyInfo {
            key: "nearly_for",
            default: "30s",
            about: "for this long",
        },
    ],
    specimen: || vec![sample::pooled(3, 6000, "active", 20_000)],
    lookalike: || vec![sample::pooled(3, 500, "active", 20)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for pooler in snapshot.poolers.iter().filter(|p| p.state.is_none()) {
        c.lacks(INFO.kind, &pooler.address, "its console does not answer");
    }
    let troubles = troubled(c, snapshot);
    for t in &troubles {
        let mut f = finding(
            INFO.kind,
            t.severity,
            &t.pooler.address,
            t.subject(),
            t.since,
            t.verdict.summary.clone(),
        );
        f.incident = t.incident;
        f.evidence = evidence(t.evidence(snapshot.taken_at));
        if t.verdict.word == pool_verdict::UNKNOWN {
            c.lacks(
                "pool.cause",
                &t.pooler.address,
                "the sessions behind the pool cannot be seen",
            );
        }
        c.findings.push(f);
    }
    nearly(c);
}

fn nearly(c: &mut Context<'_>) {
    let (share, lasting) = (c.number(INFO.kind, "nearly"), c.span(INFO.kind, "nearly_for"));
    for pooler in &c.snapshot.poolers {
        let Some(state) = &pooler.state else { continue };
        for pool in &state.value.pools {
            let used = f64::from(pool.sv_active) * 100.0 / f64::from(pool.size.max(1));
            if pool.size == 0 || pool.cl_waiting > 0 || used <= share {
                continue;
            }
            let held = c.held(&format!(
                "nearly|{}|{}/{}",
                pooler.address, pool.database, pool.user
            ));
            if held < lasting {
                continue;
            }
            let subject = Subject::new("pool", format!("{}/{}", pool.database, pool.user));
            let summary = format!(
                "{} of {} connections are in use; nobody waits yet",
                pool.sv_active, pool.size
            );
            let since = c.now().minus(held);
            let mut f = finding(
                INFO.kind,
                Severity::Warning,
                &pooler.address,
                subject,
                since,
                summary,
            );
            f.evidence = evidence(json!({"active": pool.sv_active, "size": pool.size, "waiting": 0}));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{anew, judged, kinds, pooled, seen};

    #[test]
    fn waiters_are_a_symptom_and_the_sessions_name_the_cause() {
        let leak = judged(&pooled(3, 6000, "idle in transaction", 20_000));
        assert!(kinds(&leak).contains(&"pool.exhausted") && kinds(&leak).contains(&"connections.leak"));
        let slow = judged(&pooled(3, 6000, "active", 20_000));
        assert!(kinds(&slow).contains(&"pool.slow_server") && !kinds(&slow).contains(&"connections.leak"));
        let small = seen(anew(&pooled(3, 6000, "active", 20), 4));
        assert!(kinds(&small).contains(&"pool.too_small"));
        assert_eq!(kinds(&judged(&pooled(0, 0, "active", 20_000))), [""; 0]);
        assert_eq!(
            kinds(&judged(&pooled(3, 500, "active", 20))),
            [""; 0],
            "half a second is nothing"
        );
    }

    #[test]
    fn what_is_behind_the_pool_is_not_guessed() {
        let mut s = pooled(3, 6000, "idle in transaction", 20_000);
        s.servers[0].activity = None;
        let j = judged(&s);
        assert_eq!(kinds(&j), ["pool.exhausted"]);
        assert!(j.unknown.iter().any(|u| u.kind == "pool.cause"));
    }
}
