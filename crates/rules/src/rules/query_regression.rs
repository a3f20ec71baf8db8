//! `query.regression`: a statement takes a multiple of what it took in the hour before.

use muster_model::Severity;
use muster_model::snapshot::{Statement, Usual};
use serde_json::json;

use super::{KeyInfo, RATES, RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::statements::{as_json, called, f, ms, percent, subject, tell, window};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.regression",
    title: "A statement became slower",
    about: "A statement's mean in the last minute against its own mean of about the hour before (by its text, so that a table \
            made anew does not hide it), when it also takes a large share of the time of all statements. The mean of the hour \
            learns slowly: a regression stays one for more than an hour.",
    ignores: "Statements that return or change as many more rows a call as they take longer, means below a floor, statements \
              with too few calls now or before, the first minutes of watching.",
    advice: "Compare rows and blocks a call before and after: more blocks for as many rows is another plan. Look at \
             statistics (ANALYZE), dropped indexes, what was deployed; at equal blocks look at waits, locks and the disk.",
    needs: &["statements"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "2",
            about: "times its usual mean",
        },
        KeyInfo {
            key: "critical",
            default: "5",
            about: "times its usual mean: an incident",
        },
        KeyInfo {
            key: "warning_share",
            default: "5",
            about: "per cent of the time of all statements that it must take",
        },
        KeyInfo {
            key: "critical_share",
            default: "20",
            about: "per cent of the time of all statements that it must take",
        },
        KeyInfo {
            key: "floor",
            default: "5ms",
            about: "a mean below this is not judged",
        },
        KeyInfo {
            key: "watched",
            default: "5m",
            about: "what is usual is known after so much time",
        },
    ],
    specimen: || vec![sample::statements::regressed(40.0)],
    lookalike: || vec![sample::statements::more_rows()],
};

struct Limits {
    ratio: f64,
    share: f64,
}

pub(super) fn rule(c: &mut Context<'_>) {
    let limits = |c: &Context<'_>, level: &str| Limits {
        ratio: c.number(INFO.kind, level),
        share: c.number(INFO.kind, &format!("{level}_share")),
    };
    let (warning, critical) = (limits(c, "warning"), limits(c, "critical"));
    let floor = c.span(INFO.kind, "floor").secs_f64() * 1000.0;
    let watched = c.span(INFO.kind, "watched");
    let enough = c.number(RATES.0, "calls");
    for server in &c.snapshot.servers {
        let Some(w) = window(c, INFO.kind, server) else {
            continue;
        };
        for s in &w.top {
            let Some(usual) = s.usual.filter(|u| u.over >= watched && u.calls >= enough) else {
                continue;
            };
            let mean = s.work.mean_ms();
            if f(s.work.calls) < enough || mean < floor || usual.mean_ms <= 0.0 {
                continue;
            }
            let ratio = mean / usual.mean_ms;
            let share = percent(s.work.ms, w.total.ms);
            let over = |l: &Limits| ratio >= l.ratio && share >= l.share;
            if !over(&warning) || ratio / more_rows(s, &usual) < warning.ratio {
                continue;
            }
            let severe = over(&critical);
            let held = c.held(&format!("{}|{}|{}", INFO.kind, server.address, subject(s)));
            let mut found = finding(
                INFO.kind,
                if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &server.address,
                subject(s),
                c.now().minus(held),
                format!(
                    "{} in {} takes {} a call and usually {} ({ratio:.1} times), {share:.0} % of the time of all statements",
                    called(s),
                    s.database,
                    ms(mean),
                    ms(usual.mean_ms)
                ),
            );
            found.incident = severe;
            let mut seen = evidence(json!({
                "ratio": ratio, "percent_of_time": share, "within_ms": w.over.millis(),
                "blocks_per_call": {"now": s.work.blocks_per_call(), "usual": usual.blocks_per_call},
                "rows_per_call": {"now": s.work.rows_per_call(), "usual": usual.rows_per_call},
                "method": "mean of the window against an exponentially weighted mean of the hour before",
            }));
            seen.insert("statement".to_owned(), as_json(s));
            found.evidence = seen;
            found.ruled_out = vec![format!(
                "more rows: {:.1} a call, usually {:.1}",
                s.work.rows_per_call(),
                usual.rows_per_call
            )];
            tell(c, w, found);
        }
    }
}

/// How many times more rows a call than usual; never less than once.
fn more_rows(s: &Statement, usual: &Usual) -> f64 {
    (s.work.rows_per_call() / usual.rows_per_call.max(1.0)).max(1.0)
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot, Span};

    use super::super::sample::{judged, kinds, statements};

    fn change(s: &mut Snapshot, how: impl Fn(&mut muster_model::snapshot::StatementWindow)) {
        let window = s.servers[0]
            .statements
            .as_mut()
            .and_then(|p| p.value.window.as_mut());
        how(window.expect("a window"));
    }

    #[test]
    fn twice_warns_and_five_times_is_an_incident() {
        assert_eq!(kinds(&judged(&statements::regressed(7.9))), [""; 0]);
        let twice = judged(&statements::regressed(8.0));
        assert_eq!(kinds(&twice), ["query.regression"]);
        assert_eq!(twice.findings[0].severity, Severity::Warning);
        let five = judged(&statements::regressed(20.0));
        let f = &five.findings[0];
        assert!(f.incident && f.severity == Severity::Critical);
        assert!(
            f.summary
                .contains("20 ms a call and usually 4.0 ms (5.0 times), 95 %"),
            "{}",
            f.summary
        );
        assert_eq!(f.evidence["blocks_per_call"]["usual"], 4.0);
        assert!(f.subject.0.starts_with("statement:app/app/q1:"));
    }

    #[test]
    fn a_small_share_is_left_alone() {
        let mut s = statements::regressed(20.0);
        change(&mut s, |w| w.total.ms = 20_000.0 * 100.0 / 19.0);
        let j = judged(&s);
        assert_eq!(j.findings[0].severity, Severity::Warning, "19 % is not 20");
        change(&mut s, |w| w.total.ms = 20_000.0 * 100.0 / 4.0);
        assert_eq!(kinds(&judged(&s)), [""; 0]);
    }

    #[test]
    fn what_is_not_known_for_long_or_is_fast_is_no_regression() {
        for spoil in [0, 1, 2, 3] {
            let mut s = statements::regressed(20.0);
            change(&mut s, |w| {
                let top = &mut w.top[0];
                let usual = top.usual.as_mut().expect("usual");
                match spoil {
                    0 => usual.over = Span::from_secs(299),
                    1 => usual.calls = 49.0,
                    2 => top.work.calls = 49,
                    _ => {
                        usual.mean_ms = 0.5;
                        top.work.ms = 4900.0;
                    }
                }
            });
            assert_eq!(kinds(&judged(&s)), [""; 0], "{spoil}");
        }
    }

    #[test]
    fn more_rows_are_more_work_and_no_regression() {
        assert_eq!(kinds(&judged(&statements::more_rows())), [""; 0]);
        let mut s = statements::more_rows();
        change(&mut s, |w| w.top[0].work.rows /= 4);
        assert_eq!(
            kinds(&judged(&s)),
            ["query.regression"],
            "2.5 times the rows, ten times as long"
        );
    }
}
