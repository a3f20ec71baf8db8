//! `query.temp_spill`: much is written to temporary files.

use muster_model::snapshot::{ServerView, Statement};
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::statements::{as_json, called, f};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.temp_spill",
    title: "Statements spill to disk",
    about: "The server's own count of bytes in temporary files grew by so much within the last minute, by database. Sorts, \
            hashes and materialised rows that exceed work_mem go there; they take disk and time. Statements that wrote \
            temporary blocks are named where statements are counted.",
    ignores: "A growth before the window, a reset of the statistics; what a server has in temporary files now is the disk's \
              business.",
    advice: "Look at the plan of the statement that is named; raise work_mem for its role only, for a while, or give it an index \
             to sort by.",
    needs: &["traffic"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "1000000000",
            about: "bytes within a minute",
        },
        KeyInfo {
            key: "critical",
            default: "10000000000",
            about: "bytes within a minute: an incident",
        },
    ],
    specimen: || vec![sample::statements::spilled(2_000_000_000)],
    lookalike: || vec![sample::statements::spilled(200_000_000)],
};

/// Bytes of a block; another size is possible and rare.
const BLOCK: f64 = 8192.0;

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for server in &c.snapshot.servers {
        let Some(traffic) = c.part(INFO.kind, server, &server.traffic, "counters of its databases") else {
            continue;
        };
        if c.warming(server) {
            continue;
        }
        for t in traffic {
            // What grew within the window, not a rate of it: a file counts when it is closed, all of it at once.
            let Some(grown) = t.counted.in_a_minute(|n| n.temp_bytes) else {
                continue;
            };
            let bytes = f(grown.by);
            if bytes < warning {
                continue;
            }
            let severe = bytes >= critical;
            let held = c.held(&format!("{}|{}|{}", INFO.kind, server.address, t.database));
            let writers = writers(server, &t.database);
            let most = writers.first().map_or_else(String::new, |s| {
                format!(
                    "; most by {} ({})",
                    called(s),
                    size(f(s.work.temp_blocks) * BLOCK)
                )
            });
            let mut found = finding(
                INFO.kind,
                if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &server.address,
                Subject::new("database", &t.database),
                c.now().minus(held),
                format!(
                    "statements in {} wrote {} to temporary files in the last {}{most}",
                    t.database,
                    size(bytes),
                    grown.over.human()
                ),
            );
            found.incident = severe;
            let files = t.counted.in_a_minute(|n| n.temp_files).map(|g| g.by);
            found.evidence = evidence(json!({
                "database": t.database, "bytes": grown.by, "files": files, "within_ms": grown.over.millis(),
                "statements": writers.iter().take(5).map(|s| as_json(s)).collect::<Vec<_>>(),
            }));
            c.findings.push(found);
        }
    }
}

/// Statements that wrote temporary blocks there, the most first; none where statements are not counted.
fn writers<'s>(server: &'s ServerView, database: &str) -> Vec<&'s Statement> {
    let window = server.statements.as_ref().and_then(|p| p.value.window.as_ref());
    let mut writers: Vec<&Statement> = window
        .iter()
        .flat_map(|w| &w.top)
        .filter(|s| s.database == database && s.work.temp_blocks > 0)
        .collect();
    writers.sort_by_key(|s| std::cmp::Reverse(s.work.temp_blocks));
    writers
}

fn size(bytes: f64) -> String {
    if bytes >= 1e9 {
        format!("{:.1} GB", bytes / 1e9)
    } else {
        format!("{:.0} MB", bytes / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::{judged, kinds, now, statements};

    #[test]
    fn a_gigabyte_warns_and_ten_are_an_incident() {
        assert!(!kinds(&judged(&statements::spilled(999_999_999))).contains(&"query.temp_spill"));
        let some = judged(&statements::spilled(1_000_000_000));
        let f = some
            .findings
            .iter()
            .find(|f| f.kind == "query.temp_spill")
            .expect("found");
        assert_eq!(f.severity, Severity::Warning);
        assert!(
            f.summary
                .contains("1.0 GB to temporary files in the last 1m; most by `select * from orders"),
            "{}",
            f.summary
        );
        let much = judged(&statements::spilled(10_000_000_000));
        assert!(much.findings[0].incident && much.findings[0].severity == Severity::Critical);
    }

    #[test]
    fn nobody_is_named_where_nothing_is_counted_and_unread_is_unknown() {
        let mut s = statements::spilled(2_000_000_000);
        s.servers[0].statements = None;
        let j = judged(&s);
        assert!(
            j.findings[0].summary.ends_with("in the last 1m"),
            "{}",
            j.findings[0].summary
        );
        s.servers[0].traffic = None;
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == "query.temp_spill"));
    }

    #[test]
    fn a_server_that_has_just_started_is_left_alone() {
        let mut s = statements::spilled(20_000_000_000);
        if let Some(i) = &mut s.servers[0].identity {
            i.value.started_at = now();
        }
        assert_eq!(kinds(&judged(&s)), [""; 0]);
    }
}
