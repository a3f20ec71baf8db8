//! `connections.leak`: sessions idle in an open transaction hold a pool, or most slots of a server.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::{Severity, Subject, Time, pool_verdict};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::pools::troubled;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "connections.leak",
    title: "Connections leaked in open transactions",
    about: "Clients wait for a pool whose connections sit idle in a transaction (80 % of the pool, for more than 2 s each; or 20 % with \
            those that run long statements, when these are fewer); \
            or, without a pooler, one owner's sessions so hold the share `share` of the usable slots.",
    ignores: "Sessions that idle between transactions, and short transactions that keep a pool busy.",
    advice: "Find the owner's code path that opens a transaction and does not end it; end the leaked sessions by identity; give the role an idle_in_transaction_session_timeout.",
    needs: &["pooler", "activity"],
    keys: &[
        KeyInfo {
            key: "share",
            default: "80",
            about: "per cent of the usable slots, without a pooler",
        },
        KeyInfo {
            key: "age",
            default: "10s",
            about: "idle in transaction for at least this long, without a pooler",
        },
    ],
    specimen: || vec![sample::pooled(3, 6000, "idle in transaction", 20_000)],
    lookalike: || vec![sample::pooled(0, 0, "idle in transaction", 20_000)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for t in troubled(c, snapshot)
        .iter()
        .filter(|t| t.verdict.word == pool_verdict::LEAK)
    {
        let leaked = t.sessions.iter().filter(|s| s.idle_in_transaction());
        let owners: BTreeSet<String> = leaked.clone().map(|s| s.owner()).collect();
        let since = leaked.filter_map(|s| s.state_change).fold(t.since, Time::min);
        let owners: Vec<String> = owners.into_iter().collect();
        let mut f = finding(
            INFO.kind,
            t.severity,
            &t.pooler.address,
            t.subject(),
            since,
            format!("{} (owner: {})", t.verdict.summary, owners.join(", ")),
        );
        f.incident = t.incident;
        let mut seen = t.evidence(snapshot.taken_at);
        seen["owners"] = json!(owners);
        f.evidence = evidence(seen);
        f.ruled_out.clone_from(&t.verdict.ruled_out);
        c.findings.push(f);
    }
    direct(c);
}

fn direct(c: &mut Context<'_>) {
    let (share, age) = (c.number(INFO.kind, "share"), c.span(INFO.kind, "age"));
    let now = c.now();
    for server in &c.snapshot.servers {
        let Some(activity) = server.activity.as_ref().filter(|_| server.answers()) else {
            continue;
        };
        let a = &activity.value;
        if !a.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "the state of other roles' sessions is not seen",
            );
            continue;
        }
        let mut owners: BTreeMap<String, Vec<Time>> = BTreeMap::new();
        for s in a
            .sessions
            .iter()
            .filter(|s| s.is_client() && s.idle_in_transaction())
        {
            if let Some(t) = s.state_change.filter(|t| now.since(*t) >= age) {
                owners.entry(s.owner()).or_default().push(t);
            }
        }
        let usable = f64::from(a.max_connections.saturating_sub(a.reserved).max(1));
        for (owner, ages) in owners {
            let count = u32::try_from(ages.len()).unwrap_or(u32::MAX);
            if f64::from(count) * 100.0 / usable < share {
                continue;
            }
            let since = ages.iter().copied().fold(now, Time::min);
            let summary =
                format!("{count} sessions of {owner} sit idle in a transaction and hold most of the slots");
            let subject = Subject::new("owner", &owner);
            let mut f = finding(
                INFO.kind,
                Severity::Critical,
                &server.address,
                subject,
                since,
                summary,
            );
            f.incident = true;
            f.evidence = evidence(json!({"owner": owner, "sessions": count, "usable": usable}));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{judged, kinds, pooled, server, session, snapshot};

    #[test]
    fn a_leak_is_found_with_its_owner_and_its_onset() {
        let j = judged(&pooled(3, 6000, "idle in transaction", 20_000));
        let leak = j
            .findings
            .iter()
            .find(|f| f.kind == "connections.leak")
            .expect("found");
        assert!(leak.incident && leak.summary.contains("app/notes"));
        assert_eq!(leak.since.millis(), 1_000_000 - 20_000);
        assert!(!leak.ruled_out.is_empty());
        assert!(!kinds(&judged(&pooled(0, 0, "idle in transaction", 20_000))).contains(&"connections.leak"));
    }

    #[test]
    fn without_a_pooler_the_slots_count() {
        let mut s = snapshot();
        s.servers = vec![server("a")];
        let mut with = |n: i32| {
            s.servers[0].activity.as_mut().expect("activity").value.sessions = (0..n)
                .map(|i| session(i, "idle in transaction", 20_000))
                .collect();
            kinds(&judged(&s)).contains(&"connections.leak")
        };
        assert!(with(80) && !with(40));
        s.servers[0].activity.as_mut().expect("activity").value.sees_all = false;
        let blind = judged(&s);
        assert!(!kinds(&blind).contains(&"connections.leak"));
        assert!(blind.unknown.iter().any(|u| u.kind == "connections.leak"));
    }
}
