//! `replication.conflict`: a standby cancels statements because replay needs what they hold.

use muster_model::snapshot::Role;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::size::{number, several};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "replication.conflict",
    title: "A standby cancels statements",
    about: "The standby's own count of statements that it cancelled for its replay grew in the last minute, by database and type. \
            Their clients got SQLSTATE 40001 or a lost connection.",
    ignores: "A single one in a minute, old ones, and a primary: it has none.",
    advice: "Snapshots: hot_standby_feedback = on keeps the rows on the primary (and its bloat); max_standby_streaming_delay lets \
             statements finish (and lag grow). Locks: run DDL and VACUUM FULL when nobody reads here.",
    needs: &["conflicts", "replication"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1",
            about: "more than so many in a minute",
        },
        KeyInfo {
            key: "critical",
            default: "10",
            about: "more than so many in a minute",
        },
    ],
    specimen: || vec![sample::wal::conflicts(5)],
    lookalike: || vec![sample::wal::conflicts(1)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for server in snapshot
        .servers
        .iter()
        .filter(|s| s.role() == Some(Role::Standby))
    {
        let Some(replication) = c.part(INFO.kind, server, &server.replication, "its conflicts") else {
            continue;
        };
        let Some(databases) = &replication.conflicts else {
            c.lacks(INFO.kind, &server.address, "its conflicts: not read");
            continue;
        };
        for d in databases {
            // Not warmed up first: a statement that was cancelled was cancelled.
            let Some(grown) = d
                .counted
                .in_a_minute(|n| n.sum())
                .filter(|g| number(g.by) > warning)
            else {
                continue;
            };
            let before = d
                .counted
                .minute
                .as_ref()
                .map(|b| b.value.by_type())
                .unwrap_or_default();
            let mut types: Vec<(&str, u64)> = d
                .counted
                .now
                .by_type()
                .iter()
                .zip(before)
                .map(|(now, then)| (now.0, now.1.saturating_sub(then.1)))
                .filter(|(_, n)| *n > 0)
                .collect();
            types.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            let most = types.first().map_or("unknown", |t| t.0);
            let onset = c.onset(
                &format!("{}|{}|{}", INFO.kind, server.address, d.database),
                grown.over,
            );
            let mut f = finding(
                INFO.kind,
                if number(grown.by) > critical {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &server.address,
                Subject::new("database", &d.database),
                onset,
                format!(
                    "standby {} cancelled {} in database {} within {} for its replay, most by {most}",
                    server.address,
                    several(grown.by, "statement"),
                    d.database,
                    grown.over.human()
                ),
            );
            f.evidence = evidence(json!({
                "database": d.database, "conflicts": grown.by, "within_ms": grown.over.millis(), "types": types,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::judged;
    use super::super::sample::wal::conflicts;
    use super::INFO;

    fn said(many: u64) -> Option<(Severity, String)> {
        let f = judged(&conflicts(many))
            .findings
            .into_iter()
            .find(|f| f.kind == INFO.kind)?;
        Some((f.severity, f.summary))
    }

    #[test]
    fn more_than_one_warns_and_more_than_ten_is_critical() {
        assert_eq!(said(0), None);
        assert_eq!(said(1), None);
        let (severity, summary) = said(2).expect("found");
        assert_eq!(severity, Severity::Warning);
        assert!(summary.contains("most by snapshot"), "{summary}");
        assert_eq!(said(10).expect("found").0, Severity::Warning);
        assert_eq!(said(11).expect("found").0, Severity::Critical);
    }

    #[test]
    fn conflicts_that_were_not_read_are_unknown_on_a_standby_only() {
        let mut s = conflicts(5);
        s.servers[1]
            .replication
            .as_mut()
            .expect("replication")
            .value
            .conflicts = None;
        let j = judged(&s);
        let lacks: Vec<&str> = j
            .unknown
            .iter()
            .filter(|u| u.kind == INFO.kind)
            .map(|u| u.target.as_str())
            .collect();
        assert_eq!(lacks, ["shop/b"]);
    }
}
