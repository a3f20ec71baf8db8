//! `locks.orphaned_prepared`: prepared transactions that nobody decides.

use std::collections::BTreeMap;

use muster_model::snapshot::{Prepared, Role};
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::{amount, wait};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.orphaned_prepared",
    title: "A prepared transaction is left undecided",
    about: "A transaction was prepared for a two-phase commit and is neither committed nor rolled back since `warning`, or \
            since `blocking` while others wait for it. It has no session: it keeps its locks and holds vacuum back until \
            somebody decides, through restarts too.",
    ignores: "Prepared transactions that are decided within seconds, as a working coordinator does. Standbys: they replay the \
              decision.",
    advice: "Ask the coordinator what it decided, then COMMIT PREPARED or ROLLBACK PREPARED in its database, as its owner or a \
             superuser. Never guess: the other half may be committed elsewhere. Where nobody uses them, set \
             max_prepared_transactions to 0.",
    needs: &["prepared", "activity"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "60s",
            about: "age",
        },
        KeyInfo {
            key: "critical",
            default: "10m",
            about: "age: an incident",
        },
        KeyInfo {
            key: "blocking",
            default: "10s",
            about: "age when sessions wait for it: an incident",
        },
    ],
    specimen: || vec![sample::vacuum::prepared(&[Span::from_mins(11)])],
    lookalike: || vec![sample::vacuum::prepared(&[Span::from_secs(5)])],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    let blocking = c.span(INFO.kind, "blocking");
    let now = c.now();
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        if server.role() == Some(Role::Standby) {
            continue;
        }
        let Some(prepared) = c.part(INFO.kind, server, &server.prepared, "prepared transactions") else {
            continue;
        };
        // Who blocks is told for whole sessions: a prepared transaction goes by pid 0.
        let waiters = c.graph(server).map_or(0, |g| g.behind(0));
        let least = if waiters > 0 {
            blocking.min(warning)
        } else {
            warning
        };
        let mut groups: BTreeMap<String, Vec<&Prepared>> = BTreeMap::new();
        for p in prepared.iter().filter(|p| now.since(p.prepared) >= least) {
            groups.entry(p.belongs()).or_default().push(p);
        }
        for (belongs, group) in groups {
            let Some(oldest) = group.iter().min_by_key(|p| p.prepared) else {
                continue;
            };
            let age = now.since(oldest.prepared);
            let severe = age >= critical || (waiters > 0 && age >= blocking);
            let severity = if severe {
                Severity::Critical
            } else {
                Severity::Warning
            };
            let which = if group.len() == 1 {
                format!("prepared transaction `{}` of {}", oldest.gid, oldest.owner)
            } else {
                format!(
                    "{} prepared transactions of {}, the oldest `{}`,",
                    group.len(),
                    oldest.owner,
                    oldest.gid
                )
            };
            let verb = if group.len() == 1 { "is" } else { "are" };
            let waiting = if waiters > 0 {
                format!("; {} for a prepared transaction", wait(waiters))
            } else {
                String::new()
            };
            let mut f = finding(
                INFO.kind,
                severity,
                &server.address,
                Subject::new("prepared", &belongs),
                oldest.prepared,
                format!(
                    "{which} in database {} {verb} undecided for {}, {} transaction ids behind{waiting}",
                    oldest.database,
                    age.human(),
                    amount(oldest.xids)
                ),
            );
            f.incident = severe;
            f.evidence = evidence(json!({
                "pid": 0, "owner": oldest.owner, "database": oldest.database, "age_ms": age.millis(),
                "xids": oldest.xids, "waiters": waiters, "count": group.len(),
                "gids": group.iter().take(20).map(|p| p.gid.clone()).collect::<Vec<_>>(),
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Role;
    use muster_model::{Severity, Span};

    use super::super::sample::vacuum::prepared;
    use super::super::sample::{blocked_by, judged, kinds, with_sessions};
    use crate::correlate;

    #[test]
    fn a_minute_warns_ten_are_an_incident_and_one_owner_is_one_finding() {
        assert_eq!(kinds(&judged(&prepared(&[Span::from_millis(59_999)]))), [""; 0]);
        let one = judged(&prepared(&[Span::from_secs(60)]));
        assert_eq!(
            (one.findings[0].severity, one.findings[0].incident),
            (Severity::Warning, false)
        );
        assert!(
            one.findings[0].summary.contains("`order-0`"),
            "{}",
            one.findings[0].summary
        );
        let two = judged(&prepared(&[Span::from_secs(90), Span::from_secs(600)]));
        assert_eq!(two.findings.len(), 1);
        assert!(two.findings[0].incident);
        assert!(
            two.findings[0].summary.contains("2 prepared") && two.findings[0].summary.contains("order-1"),
            "{}",
            two.findings[0].summary
        );
    }

    #[test]
    fn one_that_others_wait_for_is_an_incident_at_ten_seconds_and_explains_the_chain() {
        let mut s = with_sessions((1..=5).map(|p| blocked_by(p, &[0], 11_000)).collect());
        s.servers[0].prepared = prepared(&[Span::from_secs(12)]).servers[0].prepared.clone();
        let told = correlate(&s, &judged(&s).findings);
        assert_eq!(told.roots.len(), 1, "{told:?}");
        assert_eq!(told.roots[0].cause.kind, "locks.orphaned_prepared");
        assert_eq!(told.roots[0].symptoms[0].kind, "locks.blocking_chain");
        assert!(told.roots[0].cause.incident);
        // A chain with a session at its root has nothing to do with it.
        let mut other = with_sessions((2..=6).map(|p| blocked_by(p, &[1], 11_000)).collect());
        other.servers[0].prepared = prepared(&[Span::from_secs(70)]).servers[0].prepared.clone();
        assert_eq!(correlate(&other, &judged(&other).findings).roots.len(), 2);
    }

    #[test]
    fn standbys_are_left_alone_and_what_was_not_read_is_unknown() {
        let mut s = prepared(&[Span::from_mins(11)]);
        s.servers[0].identity.as_mut().expect("identity").value.role = Role::Standby;
        assert_eq!(kinds(&judged(&s)), [""; 0]);
        let mut s = prepared(&[]);
        s.servers[0].prepared = None;
        assert!(
            judged(&s)
                .unknown
                .iter()
                .any(|u| u.kind == "locks.orphaned_prepared")
        );
    }
}
