//! `query.n_plus_one`: a hint that a program asks row by row.

use muster_model::Severity;
use muster_model::snapshot::Usual;
use serde_json::json;

use super::{KeyInfo, RATES, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::statements::{as_json, called, f, ms, percent, subject, tell, window};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.n_plus_one",
    title: "A statement is called row by row",
    about: "A short statement that returns about one row is called many times as often as usual, and everything else is not: \
            the pattern of a loop that asks for each row by itself. A hint for the people who wrote the program, never an \
            incident.",
    ignores: "More traffic: when the other statements grew as well, it is the ratio to them that counts. Statements that were \
              not known before.",
    advice: "Find the loop by its text, and fetch the rows with one statement (a join, or = ANY of the keys).",
    needs: &["statements"],
    keys: &[
        KeyInfo {
            key: "times",
            default: "10",
            about: "times its usual calls a second, and times the growth of the rest",
        },
        KeyInfo {
            key: "mean",
            default: "2ms",
            about: "a statement that takes longer is no such one",
        },
        KeyInfo {
            key: "rate",
            default: "10",
            about: "calls a second below which nobody is told",
        },
        KeyInfo {
            key: "watched",
            default: "5m",
            about: "what is usual is known after so much time",
        },
    ],
    specimen: || vec![sample::statements::called_more(1200, 1.0)],
    lookalike: || vec![sample::statements::called_more(1200, 20.0)],
};

/// Rows a call that are about one.
const ABOUT_ONE: std::ops::RangeInclusive<f64> = 0.5..=1.5;

pub(super) fn rule(c: &mut Context<'_>) {
    let (times, least) = (c.number(INFO.kind, "times"), c.number(INFO.kind, "rate"));
    let short = c.span(INFO.kind, "mean").secs_f64() * 1000.0;
    let watched = c.span(INFO.kind, "watched");
    let enough = c.number(RATES.0, "calls");
    for server in &c.snapshot.servers {
        let Some(w) = window(c, INFO.kind, server) else {
            continue;
        };
        let seconds = w.over.secs_f64().max(0.001);
        for s in &w.top {
            let Some(usual) = s.usual.filter(|u| u.over >= watched && u.calls >= enough) else {
                continue;
            };
            let rate = f(s.work.calls) / seconds;
            let ratio = rate / usual.calls_per_second.max(1e-6);
            if f(s.work.calls) < enough
                || rate < least
                || s.work.mean_ms() >= short
                || !ABOUT_ONE.contains(&s.work.rows_per_call())
            {
                continue;
            }
            let rest_now = f(w.total.calls.saturating_sub(s.work.calls)) / seconds;
            let rest = grown(rest_now, w.usual.as_ref(), &usual);
            if ratio < times || ratio / rest.max(1.0) < times {
                continue;
            }
            let held = c.held(&format!("{}|{}|{}", INFO.kind, server.address, subject(s)));
            let mut found = finding(
                INFO.kind,
                Severity::Info,
                &server.address,
                subject(s),
                c.now().minus(held),
                format!(
                    "{} in {} is called {rate:.0} times a second and usually {:.1}, {} and about one row each: does a program \
                     ask row by row?",
                    called(s),
                    s.database,
                    usual.calls_per_second,
                    ms(s.work.mean_ms())
                ),
            );
            let mut seen = evidence(json!({
                "calls_per_second": rate, "usual_calls_per_second": usual.calls_per_second, "times": ratio,
                "others_times": rest, "percent_of_calls": percent(f(s.work.calls), f(w.total.calls)),
                "within_ms": w.over.millis(),
            }));
            seen.insert("statement".to_owned(), as_json(s));
            found.evidence = seen;
            found.ruled_out = vec![format!("more traffic: the other statements grew {rest:.1} times")];
            tell(c, w, found);
        }
    }
}

/// How many times as often as usual everything else is called; once when nobody knows.
fn grown(rest_now: f64, all: Option<&Usual>, own: &Usual) -> f64 {
    let usual = all.map_or(0.0, |u| u.calls_per_second - own.calls_per_second);
    if usual > 0.0 { rest_now / usual } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::{judged, kinds, statements};

    #[test]
    fn ten_times_as_often_alone_is_a_hint() {
        assert_eq!(
            kinds(&judged(&statements::called_more(590, 1.0))),
            [""; 0],
            "below ten a second"
        );
        let hint = judged(&statements::called_more(601, 1.0));
        assert_eq!(kinds(&hint), ["query.n_plus_one"]);
        let f = &hint.findings[0];
        assert!(f.severity == Severity::Info && !f.incident);
        assert!(
            f.summary.contains("10 times a second and usually 1.0"),
            "{}",
            f.summary
        );
    }

    #[test]
    fn a_busy_morning_is_none() {
        assert_eq!(kinds(&judged(&statements::called_more(1200, 2.5))), [""; 0]);
        assert_eq!(
            kinds(&judged(&statements::called_more(1200, 1.9))),
            ["query.n_plus_one"]
        );
    }

    #[test]
    fn long_statements_and_many_rows_are_none() {
        for spoil in [0, 1] {
            let mut s = statements::called_more(1200, 1.0);
            let window = s.servers[0]
                .statements
                .as_mut()
                .and_then(|p| p.value.window.as_mut());
            let work = &mut window.expect("a window").top[0].work;
            match spoil {
                0 => work.ms = 2.0 * 1200.0,
                _ => work.rows = 40 * 1200,
            }
            assert_eq!(kinds(&judged(&s)), [""; 0], "{spoil}");
        }
    }
}
