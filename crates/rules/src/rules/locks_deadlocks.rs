//! `locks.deadlocks`: the server broke deadlocks in the last five minutes.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts;
use crate::judge::Context;
use crate::size::several;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.deadlocks",
    title: "Deadlocks",
    about: "The server's own count of deadlocks that it broke grew in the last five minutes, by database. Each one ended a \
            transaction of some client with SQLSTATE 40P01. Where the server's log is read: who waited for whom, by shape.",
    ignores: "A reset of the statistics, and deadlocks of before: a count that stands still.",
    advice: "Lock rows in one order everywhere, take FOR NO KEY UPDATE where the key does not change, and retry on 40P01. \
             Nobody is to be ended: the server has broken the deadlock already.",
    needs: &["traffic"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1",
            about: "deadlocks in five minutes",
        },
        KeyInfo {
            key: "critical",
            default: "5",
            about: "deadlocks in five minutes: an incident",
        },
    ],
    specimen: || vec![sample::deadlocks(3)],
    lookalike: || vec![sample::deadlocks(0)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for server in &c.snapshot.servers {
        let Some(traffic) = c.part(INFO.kind, server, &server.traffic, "counters of its databases") else {
            continue;
        };
        for t in traffic {
            // Not warmed up first: a deadlock is one whenever it is.
            let Some(grown) = t.counted.in_five_minutes(|n| n.deadlocks) else {
                continue;
            };
            let many = f64::from(u32::try_from(grown.by).unwrap_or(u32::MAX));
            if many < warning {
                continue;
            }
            let severe = many >= critical;
            let onset = c.onset(
                &format!("{}|{}|{}", INFO.kind, server.address, t.database),
                grown.over,
            );
            let mut f = finding(
                INFO.kind,
                if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &server.address,
                Subject::new("database", &t.database),
                onset,
                format!(
                    "{} in database {} in the last {}",
                    several(grown.by, "deadlock"),
                    t.database,
                    grown.over.human()
                ),
            );
            f.incident = severe;
            f.evidence = evidence(json!({
                "database": t.database, "deadlocks": grown.by, "within_ms": grown.over.millis(),
                "since_reset": t.counted.now.deadlocks,
            }));
            if let Some((text, shapes)) = hosts::deadlocks(server, &t.database) {
                f.summary += &format!("; {text}");
                f.evidence.insert("shapes".to_owned(), shapes);
            }
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::{DeadlockShape, DeadlockWait, HostView, Part, ServerLog};

    use super::super::sample::{deadlocks, judged, kinds};

    #[test]
    fn one_warns_five_are_an_incident_and_old_ones_are_nothing() {
        assert_eq!(kinds(&judged(&deadlocks(0))), [""; 0]);
        let one = judged(&deadlocks(1));
        assert_eq!(
            (kinds(&one), one.findings[0].incident),
            (vec!["locks.deadlocks"], false)
        );
        let five = judged(&deadlocks(5));
        assert!(five.findings[0].incident && five.findings[0].severity == Severity::Critical);
    }

    #[test]
    fn the_log_tells_who_waited_for_whom() {
        let mut s = deadlocks(2);
        let wait = |sql: &str| DeadlockWait {
            mode: "ShareLock".into(),
            on: "transaction".into(),
            statement: Some(sql.into()),
        };
        let shape = |database: &str, five_minutes| DeadlockShape {
            database: Some(database.into()),
            cycle: vec![wait("update a"), wait("update b")],
            relations: vec!["notes".into()],
            five_minutes,
            ever: 9,
            processes: vec![7, 8],
            last: s.taken_at,
        };
        let log = ServerLog {
            deadlocks: vec![shape("other", 5), shape("app", 2)],
            ..ServerLog::default()
        };
        s.servers[0].host = Some(HostView {
            log: Some(Part {
                taken_at: s.taken_at,
                value: log,
            }),
            ..HostView::default()
        });
        let f = judged(&s)
            .findings
            .into_iter()
            .find(|f| f.kind == "locks.deadlocks")
            .expect("found");
        assert!(
            f.summary.ends_with("in notes: `update a` and `update b`"),
            "{}",
            f.summary
        );
        assert_eq!(f.evidence["shapes"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn counters_that_were_not_read_are_unknown() {
        let mut s = deadlocks(5);
        s.servers[0].traffic = None;
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == "locks.deadlocks"));
    }
}
