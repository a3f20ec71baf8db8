//! `data.corruption`: pages, files or rows are not what was written.

use muster_model::snapshot::{LogClass, LogEvent};
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts::log;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "data.corruption",
    title: "Data is damaged",
    about: "Within the last hour the server found a page whose checksum is wrong (pg_stat_database), or its log says that a page, file or row \
            cannot be read as it was written: XX001, XX002, `invalid page in block`, `could not read block`, `missing chunk`. Relation and \
            block are named where the log names them.",
    ignores: "Checksum failures of long ago that nobody met again, temporary files, and words of users that sound like it.",
    advice: "Stop and take a copy of the files before anything else. Then: an index is rebuilt; a table is compared with a standby, which \
             often has the good page; else restore. Never zero_damaged_pages, never pg_resetwal.",
    needs: &["traffic", "log"],
    keys: &[KeyInfo {
        key: "within",
        default: "1h",
        about: "so long a failure is spoken of",
    }],
    specimen: || {
        vec![sample::counting(
            muster_model::snapshot::DatabaseCounters::default(),
            |c| c.checksum_failures = 1,
        )]
    },
    lookalike: || {
        let old = muster_model::snapshot::DatabaseCounters {
            checksum_failures: 7,
            ..Default::default()
        };
        vec![sample::counting(old, |c| c.commits += 5)]
    },
};

/// What is damaged, as the log names it.
fn place(e: &LogEvent) -> Option<String> {
    let name = |key: &str| e.named.get(key);
    let block = name("block").map(|b| format!(" block {b}")).unwrap_or_default();
    if let Some(index) = name("index") {
        return Some(format!("index {index}{block}"));
    }
    let what = name("relation").or_else(|| name("file"))?;
    let database = e
        .database
        .as_ref()
        .map(|d| format!(" of database {d}"))
        .unwrap_or_default();
    Some(format!("{what}{block}{database}"))
}

pub(super) fn rule(c: &mut Context<'_>) {
    let within = c.span(INFO.kind, "within");
    let now = c.now();
    for server in &c.snapshot.servers {
        let traffic = c.part(INFO.kind, server, &server.traffic, "counters of its databases");
        let log = log(c, INFO.kind, server);
        // Not warmed up first: a wrong page is one whenever it is.
        let failed: Vec<_> = traffic
            .into_iter()
            .flatten()
            .filter_map(|t| {
                let grown = t
                    .counted
                    .in_five_minutes(|n| n.checksum_failures)
                    .map_or(0, |g| g.by);
                let last = t.last_checksum_failure.filter(|at| now.since(*at) <= within);
                let first = last.or_else(|| (grown > 0).then_some(t.counted.at))?;
                Some((t, grown, first))
            })
            .collect();
        let events: Vec<&LogEvent> = log
            .into_iter()
            .flat_map(|l| l.within(&[LogClass::Corruption], now, within))
            .filter(|e| e.dated)
            .collect();
        let times = failed
            .iter()
            .map(|(_, _, at)| *at)
            .chain(events.iter().map(|e| e.at));
        let Some(since) = times.min() else {
            continue;
        };
        let mut places: Vec<String> = events.iter().filter_map(|e| place(e)).collect();
        places.sort();
        places.dedup();
        let mut text = match (failed.first(), events.last()) {
            (Some((t, _, _)), _) => {
                let name = if t.database.is_empty() {
                    "shared relations"
                } else {
                    &t.database
                };
                format!(
                    "{} pages with a wrong checksum in {name}",
                    t.counted.now.checksum_failures
                )
            }
            (None, Some(e)) => format!("the server's log says: {}", e.message),
            (None, None) => continue,
        };
        if !places.is_empty() {
            let more = places.len().saturating_sub(3);
            let named = places[..places.len().min(3)].join(", ");
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            text += &format!("; damaged: {named}{rest}");
        }
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &server.address,
            Subject::new("server", &server.name),
            since,
            text,
        );
        f.incident = true;
        let databases = failed.iter().map(|(t, grown, _)| {
            json!({"database": t.database, "checksum_failures": t.counted.now.checksum_failures, "in_five_minutes": grown,
                   "last": t.last_checksum_failure})
        });
        f.evidence = evidence(json!({
            "databases": databases.collect::<Vec<_>>(), "places": places,
            "log": events.iter().rev().take(10).map(|e| json!({"at": e.at, "message": e.message, "named": e.named, "sqlstate": e.sqlstate})).collect::<Vec<_>>(),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{DatabaseCounters, LogClass, LogLevel};
    use muster_model::{Severity, Span};

    use super::super::sample::host::{event, hosted, says};
    use super::super::sample::{counting, judged, kinds, now};

    #[test]
    fn a_counter_that_grows_or_a_failure_of_this_hour_is_an_incident() {
        let j = judged(&counting(DatabaseCounters::default(), |c| {
            c.checksum_failures = 2;
        }));
        let f = &j.findings[0];
        assert_eq!(
            (f.kind.as_str(), f.severity, f.incident),
            ("data.corruption", Severity::Critical, true)
        );
        assert!(
            f.summary.starts_with("2 pages with a wrong checksum in app"),
            "{}",
            f.summary
        );
        let old = DatabaseCounters {
            checksum_failures: 7,
            ..DatabaseCounters::default()
        };
        let aged = |minutes| {
            let mut s = counting(old, |_| ());
            if let Some(t) = &mut s.servers[0].traffic {
                t.value[0].last_checksum_failure = Some(now().minus(Span::from_mins(minutes)));
            }
            kinds(&judged(&s)).len()
        };
        assert_eq!((aged(59), aged(61)), (1, 0));
    }

    #[test]
    fn the_log_names_relation_and_block() {
        let names = [("block", "12"), ("relation", "base/5/16397")];
        let text = "invalid page in block 12 of relation base/5/16397";
        let s = hosted(|h| {
            says(
                h,
                vec![event(100, LogClass::Corruption, LogLevel::Error, text, &names)],
            );
        });
        let j = judged(&s);
        assert!(
            j.findings[0].summary.ends_with("damaged: base/5/16397 block 12"),
            "{}",
            j.findings[0].summary
        );
        let old = hosted(|h| {
            says(
                h,
                vec![event(3700, LogClass::Corruption, LogLevel::Error, text, &names)],
            );
        });
        assert_eq!(kinds(&judged(&old)), [""; 0]);
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        let mut s = hosted(|h| h.log = None);
        s.servers[0].traffic = None;
        let j = judged(&s);
        assert_eq!(
            j.unknown.iter().filter(|u| u.kind == "data.corruption").count(),
            2
        );
    }
}
