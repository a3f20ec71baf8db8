//! `locks.advisory_leak`: sessions wait for an advisory lock whose holder idles.

use std::collections::BTreeSet;

use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::wait;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.advisory_leak",
    title: "An advisory lock was never given back",
    about: "Sessions wait for an advisory lock, and the session that holds it idles outside a transaction: it took the lock \
            for its session and never gave it back. Behind a pooler the next client inherits it.",
    ignores: "A lock that nobody waits for: leader elections and migration runners hold theirs for days. A holder that works, \
              or idles in a transaction (locks.idle_in_transaction). A migration runner that holds its lock on a connection \
              of its own looks the same: ask its owner.",
    advice: "Ask the owner; terminate the idle holder, which gives the lock back. Take advisory locks for the transaction \
             (pg_advisory_xact_lock), always so behind a pooler in transaction mode.",
    needs: &["activity", "locks"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1s",
            about: "longest wait",
        },
        KeyInfo {
            key: "critical",
            default: "10s",
            about: "longest wait: an incident",
        },
        KeyInfo {
            key: "waiters",
            default: "5",
            about: "this many waiters make an incident",
        },
        KeyInfo {
            key: "idle",
            default: "5s",
            about: "for so long its holder must have been idle",
        },
    ],
    specimen: || vec![sample::vacuum::advisory(2, Span::from_secs(12), "idle", 60_000)],
    lookalike: || vec![sample::vacuum::advisory(2, Span::from_secs(12), "active", 60_000)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    let (many, idle) = (c.number(INFO.kind, "waiters"), c.span(INFO.kind, "idle"));
    let now = c.now();
    for server in &c.snapshot.servers {
        let (Some(activity), Some(locks)) = (
            c.part(INFO.kind, server, &server.activity, "its sessions"),
            c.part(INFO.kind, server, &server.locks, "who waits for which lock"),
        ) else {
            continue;
        };
        if !activity.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "the state of other roles' sessions is not seen",
            );
            continue;
        }
        let waits: Vec<_> = locks.waits.iter().filter(|w| w.locktype == "advisory").collect();
        let holders: BTreeSet<i32> = waits.iter().flat_map(|w| w.blocked_by.iter().copied()).collect();
        for holder in holders {
            let Some(s) = activity.sessions.iter().find(|s| s.pid == holder) else {
                continue;
            };
            let Some(quiet) = s.state_change.filter(|_| s.state.as_deref() == Some("idle")) else {
                continue;
            };
            let idles = now.since(quiet);
            let behind: Vec<_> = waits.iter().filter(|w| w.blocked_by.contains(&holder)).collect();
            let since = behind.iter().filter_map(|w| w.since).min().unwrap_or(now);
            let longest = now.since(since);
            if longest < warning || idles < idle {
                continue;
            }
            let waiters = u32::try_from(behind.len()).unwrap_or(u32::MAX);
            let incident = longest >= critical || f64::from(waiters) >= many;
            let severity = if incident {
                Severity::Critical
            } else {
                Severity::Warning
            };
            let mut f = finding(
                INFO.kind,
                severity,
                &server.address,
                Subject::new("session", holder),
                since,
                format!(
                    "{} for an advisory lock of session {holder} of {}, which has been idle for {}; the \
                     longest waits {}",
                    wait(behind.len()),
                    s.owner(),
                    idles.human(),
                    longest.human()
                ),
            );
            f.incident = incident;
            f.evidence = evidence(json!({
                "pid": holder, "owner": s.owner(), "database": s.database, "client": s.client, "idle_ms": idles.millis(),
                "waiters": waiters, "oldest_wait_ms": longest.millis(), "query": s.query,
                "waiting": behind.iter().map(|w| w.pid).collect::<Vec<_>>(),
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Span;

    use super::super::sample::vacuum::advisory;
    use super::super::sample::{judged, kinds, session, with_sessions};
    use crate::correlate;

    fn found(waiters: i32, wait_ms: u64, state: &str, idle_ms: i64) -> Option<bool> {
        let s = advisory(waiters, Span::from_millis(wait_ms), state, idle_ms);
        let j = judged(&s);
        let f = j.findings.into_iter().find(|f| f.kind == "locks.advisory_leak");
        f.map(|f| f.incident)
    }

    #[test]
    fn only_an_idle_holder_with_waiters_leaks() {
        assert_eq!(found(1, 1000, "idle", 5000), Some(false));
        assert_eq!(found(1, 999, "idle", 5000), None);
        assert_eq!(
            found(1, 1000, "idle", 4999),
            None,
            "it may be between two statements"
        );
        assert_eq!(found(1, 10_000, "idle", 60_000), Some(true));
        assert_eq!(found(5, 1000, "idle", 60_000), Some(true));
        assert_eq!(found(5, 60_000, "active", 60_000), None);
        assert_eq!(found(5, 60_000, "idle in transaction", 60_000), None);
        let alone = with_sessions(vec![session(1, "idle", 900_000)]);
        assert!(
            !kinds(&judged(&alone)).contains(&"locks.advisory_leak"),
            "nobody waits"
        );
    }

    #[test]
    fn it_explains_the_chain_at_whose_root_it_is() {
        let s = advisory(6, Span::from_secs(12), "idle", 60_000);
        let told = correlate(&s, &judged(&s).findings);
        assert_eq!(told.roots.len(), 1, "{told:?}");
        let root = &told.roots[0];
        assert_eq!(
            (root.cause.kind.as_str(), root.opens),
            ("locks.advisory_leak", true)
        );
        assert_eq!(root.symptoms[0].kind, "locks.blocking_chain");
    }

    #[test]
    fn locks_that_were_not_read_are_unknown() {
        let mut s = advisory(1, Span::from_secs(12), "idle", 60_000);
        s.servers[0].locks = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "locks.advisory_leak"));
    }
}
