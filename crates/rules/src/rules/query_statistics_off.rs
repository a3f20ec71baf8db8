//! `query.statistics_off`: nobody counts statements, or what is counted is forgotten.

use muster_model::snapshot::{ServerView, Statements, StatementsOff};
use muster_model::{Finding, Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::statements::{f, percent};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.statistics_off",
    title: "Statements are not counted",
    about: "pg_stat_statements is not loaded, not created, switched off or too old, and the finding says which step is missing; \
            without it nobody can say which statement is slow. As information: it forgets statements because there are too \
            many, is nearly full, or its texts have become large.",
    ignores: "A server that cannot be read: that is muster.blind's business.",
    advice: "Both steps: add pg_stat_statements to shared_preload_libraries and restart the server (standbys first), then CREATE \
             EXTENSION pg_stat_statements in one database.",
    needs: &["statements"],
    keys: &[
        KeyInfo {
            key: "full",
            default: "90",
            about: "per cent of pg_stat_statements.max, as information",
        },
        KeyInfo {
            key: "texts",
            default: "250000000",
            about: "bytes of texts, as information",
        },
    ],
    specimen: || {
        vec![sample::statements::uncounted(StatementsOff::NotPreloaded {
            created_in: None,
        })]
    },
    lookalike: || vec![sample::healthy()],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (full, texts) = (c.number(INFO.kind, "full"), c.number(INFO.kind, "texts"));
    for server in &c.snapshot.servers {
        let Some(read) = c.part(
            INFO.kind,
            server,
            &server.statements,
            "statistics about statements",
        ) else {
            continue;
        };
        // With all slots taken, say, no database lets us in: whether the extension is in one of them is not known then.
        if let Some(StatementsOff::NotCreated {
            looked_into: 0,
            refused,
        }) = &read.off
        {
            let why = format!("none of {refused} databases could be looked into for pg_stat_statements");
            c.lacks(INFO.kind, &server.address, why);
            continue;
        }
        let mut found = Vec::new();
        if let Some(off) = &read.off {
            found.push(is_off(server, off, c.now()));
        } else {
            found.extend(forgetful(server, read, full, c.now()));
            found.extend(large(server, read, texts, c.now()));
        }
        for mut f in found {
            let held: Span = c.held(&f.key());
            f.since = c.now().minus(held);
            c.findings.push(f);
        }
    }
}

fn is_off(server: &ServerView, off: &StatementsOff, now: muster_model::Time) -> Finding {
    let (what, steps) = match off {
        StatementsOff::NotPreloaded { created_in: None } => (
            "pg_stat_statements is not in shared_preload_libraries, and in no database that was looked into".to_owned(),
            "add it to shared_preload_libraries, restart the server (standbys first), then CREATE EXTENSION pg_stat_statements"
                .to_owned(),
        ),
        StatementsOff::NotPreloaded {
            created_in: Some(database),
        } => (
            format!("pg_stat_statements is created in {database}, but the running server has not loaded it"),
            "add it to shared_preload_libraries and restart the server (standbys first); the extension is there already"
                .to_owned(),
        ),
        StatementsOff::NotCreated { looked_into, refused } => (
            format!(
                "pg_stat_statements is loaded, but created in none of {looked_into} databases{}",
                match refused {
                    0 => String::new(),
                    n => format!(" ({n} could not be looked into)"),
                }
            ),
            "CREATE EXTENSION pg_stat_statements in the database that Muster logs in to; no restart is needed".to_owned(),
        ),
        StatementsOff::NotCounting { setting, value } => (
            format!("pg_stat_statements is there, but counts nothing: {setting} is {value}"),
            format!(
                "set {setting} to {} and reload",
                if setting == "compute_query_id" { "auto" } else { "top" }
            ),
        ),
        StatementsOff::Outdated { version, database } => (
            format!("pg_stat_statements in {database} is version {version}, too old to be read"),
            format!("ALTER EXTENSION pg_stat_statements UPDATE in database {database}"),
        ),
    };
    let mut found = finding(
        INFO.kind,
        Severity::Warning,
        &server.address,
        Subject::new("server", &server.name),
        now,
        format!("statements of {} are not counted: {what}", server.address),
    );
    found.evidence = evidence(json!({"off": off, "steps": steps}));
    found
}

fn forgetful(server: &ServerView, read: &Statements, full: f64, now: muster_model::Time) -> Option<Finding> {
    let max = read.max.filter(|m| *m > 0)?;
    let share = percent(f(read.entries), f(max));
    let forgotten = read.window.as_ref().map_or(0, |w| w.forgotten);
    if share < full && read.evictions_lately == 0 {
        return None;
    }
    let lost = match read.evictions_lately {
        0 => String::new(),
        n => format!(
            "; the least used were forgotten {n} times in the last five minutes, and what they did since is in no number"
        ),
    };
    let mut found = finding(
        INFO.kind,
        Severity::Info,
        &server.address,
        Subject::new("setting", "pg_stat_statements.max"),
        now,
        format!(
            "pg_stat_statements of {} remembers {} of at most {max} statements ({share:.0} %){lost}",
            server.address, read.entries
        ),
    );
    found.evidence = evidence(json!({
        "entries": read.entries, "max": max, "percent": share, "evictions": read.evictions,
        "evictions_lately": read.evictions_lately, "forgotten_in_the_window": forgotten,
        "steps": "raise pg_stat_statements.max (restart), or find what makes so many different statements",
    }));
    Some(found)
}

fn large(server: &ServerView, read: &Statements, texts: f64, now: muster_model::Time) -> Option<Finding> {
    let bytes = read.text_bytes.filter(|b| f(*b) > texts)?;
    let mut found = finding(
        INFO.kind,
        Severity::Info,
        &server.address,
        Subject::new("statistics", "texts"),
        now,
        format!(
            "the texts in pg_stat_statements of {} are {:.0} MB: each look at a text reads all of them",
            server.address,
            f(bytes) / 1e6
        ),
    );
    found.evidence = evidence(json!({
        "bytes": bytes, "entries": read.entries,
        "steps": "look for statements of megabytes (long IN lists, VALUES lists) and send them as parameters",
    }));
    Some(found)
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::StatementsOff;

    use super::super::sample::{healthy, judged, kinds, statements};

    #[test]
    fn where_no_database_lets_us_in_it_is_unknown() {
        let s = statements::uncounted(StatementsOff::NotCreated {
            looked_into: 0,
            refused: 2,
        });
        let j = judged(&s);
        assert!(!kinds(&j).contains(&"query.statistics_off"));
        assert!(
            j.unknown
                .iter()
                .any(|u| u.kind == "query.statistics_off" && u.why.contains("none of 2 databases"))
        );
    }

    #[test]
    fn each_missing_step_is_named() {
        for (why, says, step) in [
            (
                StatementsOff::NotPreloaded { created_in: None },
                "not in shared_preload_libraries",
                "then CREATE EXTENSION",
            ),
            (
                StatementsOff::NotPreloaded {
                    created_in: Some("app".into()),
                },
                "created in app, but the running server has not loaded it",
                "is there already",
            ),
            (
                StatementsOff::NotCreated {
                    looked_into: 3,
                    refused: 1,
                },
                "created in none of 3 databases (1 could not be looked into)",
                "no restart",
            ),
            (
                StatementsOff::NotCounting {
                    setting: "compute_query_id".into(),
                    value: "off".into(),
                },
                "compute_query_id is off",
                "to auto and reload",
            ),
            (
                StatementsOff::Outdated {
                    version: "1.7".into(),
                    database: "app".into(),
                },
                "version 1.7",
                "UPDATE in database app",
            ),
        ] {
            let j = judged(&statements::uncounted(why));
            assert_eq!(kinds(&j), ["query.statistics_off"], "once");
            let f = &j.findings[0];
            assert!(f.severity == Severity::Warning && !f.incident);
            assert!(f.summary.contains(says), "{}", f.summary);
            let steps = f.evidence["steps"].as_str().expect("steps");
            assert!(steps.contains(step), "{steps}");
            let lacking: Vec<&str> = j.unknown.iter().map(|u| u.kind.as_str()).collect();
            assert!(
                lacking.contains(&"query.slow") && lacking.contains(&"query.regression"),
                "{lacking:?}"
            );
        }
    }

    #[test]
    fn what_is_full_forgets_or_is_large_is_information() {
        assert_eq!(kinds(&judged(&statements::full(4499, 0))), [""; 0]);
        for s in [statements::full(4500, 0), statements::full(100, 1)] {
            let j = judged(&s);
            assert_eq!(kinds(&j), ["query.statistics_off"]);
            assert_eq!(j.findings[0].severity, Severity::Info);
        }
        let mut s = healthy();
        for (bytes, many) in [(250_000_000, 0), (250_000_001, 1)] {
            if let Some(p) = &mut s.servers[0].statements {
                p.value.text_bytes = Some(bytes);
            }
            assert_eq!(judged(&s).findings.len(), many);
        }
    }

    #[test]
    fn what_was_not_read_is_unknown_and_not_off() {
        let mut s = healthy();
        s.servers[0].statements = None;
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == "query.statistics_off"));
    }
}
