//! `query.slow`: too large a share of the calls is of statements that are slow on the average.

use muster_model::snapshot::{ServerView, Session, Statement};
use muster_model::{Severity, Span, Subject, Time};
use serde_json::{Value, json};

use super::{KeyInfo, RATES, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::statements::{as_json, called, f, maintenance, ms, percent, tell, window};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.slow",
    title: "Slow statements",
    about: "The share of calls in the last minute that were of statements whose mean in that minute is slow, together with \
            statements that have been running for longer than the minute. A server that only counts calls and time cannot say \
            how many calls were slow one by one, and no percentile at all: a mean is compared, and the finding says so.",
    ignores: "Maintenance and dumps (COPY, VACUUM, CREATE INDEX, …), statements that functions call (their caller is counted), \
              our own statements, fewer calls than a share needs.",
    advice: "Look at the statement with the most time: its plan, its indexes, its waits. `muster query explain` shows them.",
    needs: &["statements", "activity"],
    keys: &[
        KeyInfo {
            key: "slow",
            default: "100ms",
            about: "mean time of a call from which a statement is slow",
        },
        KeyInfo {
            key: "very_slow",
            default: "1s",
            about: "mean time of a call from which it is very slow; said, not judged by itself",
        },
        KeyInfo {
            key: "warning",
            default: "5",
            about: "per cent of the calls",
        },
        KeyInfo {
            key: "critical",
            default: "10",
            about: "per cent of the calls: an incident",
        },
    ],
    specimen: || vec![sample::statements::slow(150)],
    lookalike: || vec![sample::statements::dump()],
};

/// What runs for longer than this is slow without having ended.
const STILL: Span = Span::from_secs(60);

const METHOD: &str = "share of calls of statements whose mean in the window is slow (pg_stat_statements has no durations of \
                      single calls), and of statements that run for longer than the window";

pub(super) fn rule(c: &mut Context<'_>) {
    let (slow, very) = (c.span(INFO.kind, "slow"), c.span(INFO.kind, "very_slow"));
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    let enough = c.number(RATES.0, "calls");
    for server in &c.snapshot.servers {
        let Some(w) = window(c, INFO.kind, server) else {
            continue;
        };
        let counts = |s: &&Statement| s.toplevel && !maintenance(s.text.as_deref());
        let aside: u64 = w
            .top
            .iter()
            .filter(|s| s.toplevel && maintenance(s.text.as_deref()))
            .map(|s| s.work.calls)
            .sum();
        let running = still_running(server, c.now(), w.over.max(STILL));
        let calls = f(w.total.calls.saturating_sub(aside)) + f(running.len() as u64);
        let of = |least: Span| -> Vec<&Statement> {
            let least = least.secs_f64() * 1000.0;
            let slow = |s: &&Statement| s.work.mean_ms() >= least;
            w.top.iter().filter(counts).filter(slow).collect()
        };
        let worst = of(slow);
        let slow_calls = f(worst.iter().map(|s| s.work.calls).sum()) + f(running.len() as u64);
        let share = percent(slow_calls, calls);
        if calls < enough || share < warning {
            continue;
        }
        let severe = share >= critical;
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        let oldest = running.iter().filter_map(|s| s.query_start).min();
        let since = c.now().minus(held);
        let limit = ms(slow.secs_f64() * 1000.0);
        let most = match worst.first() {
            Some(s) => format!(
                "; most time takes {} in {} (mean {}, {} calls)",
                called(s),
                s.database,
                ms(s.work.mean_ms()),
                s.work.calls
            ),
            None => String::new(),
        };
        let still = match running.len() {
            0 => String::new(),
            n => format!("; {n} statements run for more than {}", w.over.max(STILL).human()),
        };
        let mut found = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("server", &server.name),
            oldest.map_or(since, |t| t.min(since)),
            format!(
                "{share:.0} % of {calls:.0} calls in the last {} were of statements that take {limit} or more on the \
                 average{most}{still}",
                w.over.human()
            ),
        );
        found.incident = severe;
        let waits: Vec<Value> = server
            .waits
            .iter()
            .flat_map(|p| p.value.by.iter().take(3))
            .map(|w| json!({"wait": w.wait_type, "event": w.event, "seen": w.seen}))
            .collect();
        // What is not among the top took less time than each of them: so many of its calls can be slow at most.
        let unseen = (w.rest.ms / (slow.secs_f64() * 1000.0).max(1.0)).floor();
        found.evidence = evidence(json!({
            "method": METHOD, "percent": share, "calls": calls, "slow_calls": slow_calls,
            "very_slow_calls": of(very).iter().map(|s| s.work.calls).sum::<u64>(),
            "within_ms": w.over.millis(), "mean_ms": w.total.mean_ms(), "not_looked_at_at_most": unseen.min(f(w.rest.calls)),
            "forgotten": w.forgotten, "statements": worst.iter().take(10).map(|s| as_json(s)).collect::<Vec<_>>(),
            "running": running.iter().take(10).map(|s| json!({"pid": s.pid, "database": s.database, "query": s.query,
                "age_ms": s.query_start.map(|t| c.now().since(t).millis())})).collect::<Vec<_>>(),
            "waits": waits,
        }));
        found.ruled_out = ruled_out(server);
        tell(c, w, found);
    }
}

/// Statements of clients that have been running for longer than the window: no counter knows them yet.
fn still_running(server: &ServerView, now: Time, over: Span) -> Vec<&Session> {
    let runs = |s: &&Session| {
        s.is_client()
            && s.state.as_deref() == Some("active")
            && !s.application.starts_with("muster/")
            && !maintenance(s.query.as_deref())
            && s.query_start.is_some_and(|t| now.since(t) > over)
    };
    let sessions = server.activity.iter().flat_map(|a| &a.value.sessions);
    sessions.filter(runs).collect()
}

fn ruled_out(server: &ServerView) -> Vec<String> {
    let waiting = server.locks.as_ref().map(|l| l.value.waits.len());
    match waiting {
        Some(0) => vec!["waiting for locks: nobody waits for one now".to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::{judged, kinds, statements};

    #[test]
    fn five_per_cent_warn_and_ten_are_an_incident() {
        assert_eq!(kinds(&judged(&statements::slow(49))), [""; 0]);
        let some = judged(&statements::slow(50));
        assert_eq!(kinds(&some), ["query.slow"]);
        assert!(some.findings[0].severity == Severity::Warning && !some.findings[0].incident);
        let many = judged(&statements::slow(100));
        let f = &many.findings[0];
        assert!(f.incident && f.severity == Severity::Critical);
        assert!(f.summary.contains("10 % of 1000 calls"), "{}", f.summary);
        assert!(
            f.summary.contains("orders") && f.summary.contains("250 ms"),
            "{}",
            f.summary
        );
        assert!(f.evidence["method"].as_str().is_some_and(|m| m.contains("mean")));
        let text = serde_json::to_string(f).expect("json");
        assert!(!text.contains("p95"), "no percentile is made up: {text}");
    }

    #[test]
    fn few_calls_and_a_start_say_nothing() {
        let few = statements::called(vec![statements::statement("select 1", 49, 500.0)]);
        assert_eq!(kinds(&judged(&few)), [""; 0]);
        let mut started = statements::slow(500);
        if let Some(i) = &mut started.servers[0].identity {
            i.value.started_at = super::super::sample::now();
        }
        let j = judged(&started);
        assert!(j.findings.is_empty() && j.unknown.iter().all(|u| u.kind != "query.slow"));
    }

    #[test]
    fn what_has_not_ended_yet_is_part_of_the_picture() {
        let quiet = statements::called(vec![statements::statement("select 1", 60, 1.0)]);
        assert_eq!(kinds(&judged(&quiet)), [""; 0]);
        let young = statements::running(quiet.clone(), 20, 30_000);
        assert_eq!(kinds(&judged(&young)), [""; 0], "it may still end in time");
        let stuck = judged(&statements::running(quiet, 20, 90_000));
        let f = &stuck.findings[0];
        assert!(
            f.kind == "query.slow" && f.summary.contains("20 statements run"),
            "{}",
            f.summary
        );
        assert_eq!(
            f.since.millis(),
            1_000_000 - 90_000,
            "since the first of them began"
        );
    }

    #[test]
    fn what_is_not_counted_or_hidden_is_unknown() {
        for spoil in [0, 1, 2] {
            let mut s = statements::slow(500);
            let part = &mut s.servers[0].statements;
            match (spoil, part.as_mut()) {
                (1, Some(p)) => p.value.hidden = 3,
                (2, Some(p)) => {
                    p.value.off =
                        Some(muster_model::snapshot::StatementsOff::NotPreloaded { created_in: None });
                }
                _ => *part = None,
            }
            let j = judged(&s);
            assert!(j.findings.iter().all(|f| f.kind != "query.slow"));
            assert!(j.unknown.iter().any(|u| u.kind == "query.slow"), "{spoil}");
        }
    }
}
