//! `locks.idle_in_transaction`: a session idles in its transaction while others wait for it, or for very long.

use muster_model::snapshot::Session;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::wait;
use crate::judge::Context;
use crate::work::Work;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.idle_in_transaction",
    title: "A session idles in its transaction",
    about: "Found at `blocking` when others wait for it (or its pool has waiters, which connections.leak reports), else at \
            `age`.",
    ignores: "Sessions of Muster, a young transaction that nobody waits for, and the leader of a parallel dump while nobody waits for it.",
    advice: "Ask the owner; terminate the session (a cancel does nothing to an idle one); give the role an idle_in_transaction_session_timeout.",
    needs: &["activity"],
    keys: &[
        KeyInfo {
            key: "blocking",
            default: "10s",
            about: "age when it blocks somebody",
        },
        KeyInfo {
            key: "age",
            default: "5m",
            about: "age when it blocks nobody",
        },
    ],
    specimen: || vec![sample::blocked(1, 11_000, false)],
    lookalike: || vec![sample::busy(1, "idle in transaction", 60_000)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (blocking, age) = (c.span(INFO.kind, "blocking"), c.span(INFO.kind, "age"));
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(activity) = server.activity.as_ref().filter(|_| server.answers()) else {
            continue;
        };
        if !activity.value.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "the state of other roles' sessions is not seen",
            );
            continue;
        }
        let sessions = &activity.value.sessions;
        let Some(graph) = c.graph(server) else { continue };
        let idle =
            |s: &&Session| s.is_client() && s.idle_in_transaction() && !s.application.starts_with("muster/");
        for s in sessions.iter().filter(idle) {
            let Some(since) = s.state_change else { continue };
            let waiters = graph.behind(s.pid);
            // The leader of a parallel dump idles in its transaction from beginning to end.
            if waiters == 0 && Work::of(s).long_by_design() {
                continue;
            }
            let old = c.now().since(since);
            if old < if waiters > 0 { blocking } else { age } {
                continue;
            }
            let owner = s.owner();
            let severity = if waiters > 0 {
                Severity::Critical
            } else {
                Severity::Warning
            };
            let blocks = if waiters > 0 {
                format!("; {} for it", wait(waiters))
            } else {
                String::new()
            };
            let mut f = finding(
                INFO.kind,
                severity,
                &server.address,
                Subject::new("session", s.pid),
                since,
                format!(
                    "session {} of {owner} idles in its transaction for {}{blocks}",
                    s.pid,
                    old.human()
                ),
            );
            f.incident = waiters > 0;
            f.evidence = evidence(
                json!({"pid": s.pid, "owner": owner, "age_ms": old.millis(), "waiters": waiters, "query": s.query}),
            );
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{blocked_by, judged, kinds, server, session, snapshot, with_sessions};

    #[test]
    fn ten_seconds_when_it_blocks_and_five_minutes_when_not() {
        let found = |age_ms, blocks: bool| {
            let mut s = snapshot();
            s.servers = vec![server("a")];
            let mut all = vec![session(1, "idle in transaction", age_ms)];
            if blocks {
                all.push(blocked_by(2, &[1], 100));
            }
            s.servers[0].activity.as_mut().expect("activity").value.sessions = all;
            kinds(&judged(&s)).contains(&"locks.idle_in_transaction")
        };
        assert!(found(11_000, true) && !found(9000, true));
        assert!(found(301_000, false) && !found(299_000, false));
    }

    #[test]
    fn the_leader_of_a_parallel_dump_idles_by_design_until_somebody_waits_for_it() {
        let found = |blocks: bool| {
            let mut leader = session(1, "idle in transaction", 3_600_000);
            leader.application = "pg_dump".into();
            let mut all = vec![leader];
            if blocks {
                all.push(blocked_by(2, &[1], 100));
            }
            let j = judged(&with_sessions(all));
            j.findings
                .iter()
                .find(|f| f.kind == "locks.idle_in_transaction")
                .map(|f| f.summary.clone())
        };
        assert_eq!(found(false), None);
        let said = found(true).expect("found");
        assert!(said.ends_with("1 session waits for it"), "{said}");
    }
}
