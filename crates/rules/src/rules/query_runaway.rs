//! `query.runaway`: a client's statement runs for long.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::work::Work;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.runaway",
    title: "A statement runs and does not end",
    about: "A client's session is active with one statement for longer than `warning`.",
    ignores: "Dumps and backups, walsenders, autovacuum (also to prevent wraparound), index builds and maintenance, Muster's \
              own sessions: long by design. A statement that waits for a lock: its chain is named. The last statement of a \
              session that is not active does not run.",
    advice: "Look at its plan and at what it waits for; cancel it, and let its owner know. Give the role a statement_timeout.",
    needs: &["activity"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "5m",
            about: "for how long the statement runs",
        },
        KeyInfo {
            key: "critical",
            default: "30m",
            about: "for how long the statement runs: an incident",
        },
    ],
    specimen: || {
        let report = sample::vacuum::at_work(9, "report", "SELECT * FROM orders, lines", 400_000);
        vec![sample::with_sessions(vec![report])]
    },
    lookalike: || vec![sample::with_sessions(sample::vacuum::long_by_design())],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    let now = c.now();
    for server in &c.snapshot.servers {
        let Some(activity) = c.part(INFO.kind, server, &server.activity, "its sessions") else {
            continue;
        };
        if !activity.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "the statements of other roles' sessions are not seen",
            );
            continue;
        }
        for s in &activity.sessions {
            let Some(began) = s.query_start.filter(|_| s.state.as_deref() == Some("active")) else {
                continue;
            };
            let age = now.since(began);
            if age < warning || Work::of(s).long_by_design() || s.wait_type.as_deref() == Some("Lock") {
                continue;
            }
            let severe = age >= critical;
            let waits = match (&s.wait_type, s.wait_event.as_deref()) {
                (Some(_), Some("ClientRead" | "ClientWrite")) => ", it waits for its client".to_owned(),
                (Some(kind), Some(event)) => format!(", it waits for {kind} {event}"),
                _ => String::new(),
            };
            let severity = if severe {
                Severity::Critical
            } else {
                Severity::Warning
            };
            let mut f = finding(
                INFO.kind,
                severity,
                &server.address,
                Subject::new("session", s.pid),
                began,
                format!(
                    "session {} of {} runs one statement for {}{waits}",
                    s.pid,
                    s.owner(),
                    age.human()
                ),
            );
            f.incident = severe;
            f.ruled_out = Work::ruled_out(
                activity
                    .sessions
                    .iter()
                    .filter(|s| s.query_start.is_some_and(|t| now.since(t) >= warning)),
            );
            f.evidence = evidence(json!({
                "pid": s.pid, "owner": s.owner(), "database": s.database, "age_ms": age.millis(),
                "wait_type": s.wait_type, "wait_event": s.wait_event, "client": s.client, "query": s.query,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::vacuum::{at_work, long_by_design};
    use super::super::sample::{blocked_by, judged, kinds, session, with_sessions};

    #[test]
    fn five_minutes_warn_and_thirty_are_an_incident() {
        let found = |age_ms| {
            let mut s = at_work(1, "report", "SELECT ?", age_ms);
            s.xact_start = None;
            let j = judged(&with_sessions(vec![s]));
            let said = j
                .findings
                .iter()
                .map(|f| (f.kind.clone(), f.severity, f.incident));
            said.collect::<Vec<_>>()
        };
        let runaway = |severity, incident| vec![("query.runaway".to_owned(), severity, incident)];
        assert_eq!(found(299_999), []);
        assert_eq!(found(300_000), runaway(Severity::Warning, false));
        assert_eq!(found(1_799_999), runaway(Severity::Warning, false));
        assert_eq!(found(1_800_000), runaway(Severity::Critical, true));
    }

    #[test]
    fn what_is_long_by_design_or_does_not_run_or_waits_for_a_lock_is_left_alone() {
        let mut all = long_by_design();
        for s in &mut all {
            s.xact_start = None;
        }
        all.push(session(20, "idle", 9_000_000));
        all.push(blocked_by(21, &[1], 9_000_000));
        for s in &mut all {
            s.xact_start = None;
        }
        let j = judged(&with_sessions(all));
        assert!(!kinds(&j).contains(&"query.runaway"), "{:?}", kinds(&j));
    }

    #[test]
    fn statements_that_are_not_seen_are_unknown() {
        let mut s = with_sessions(vec![]);
        s.servers[0].activity.as_mut().expect("activity").value.sees_all = false;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "query.runaway"));
    }
}
