//! `app.error_rate`: an application answers its users, or its health route, with errors.

use muster_model::snapshot::{AppHealth, AppView};
use muster_model::{Finding, Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{apps, long_enough, percent, said_by_log};
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "app.error_rate",
    title: "An application answers with errors",
    about: "By the application's own counters (`requests` of its health JSON): answers of 500 and above against all of the last \
            minute. Where it counts nothing, the health route itself is all there is to see: several answers of 500 and above in a \
            row. The evidence names the method; the second is the weaker one.",
    ignores: "A minute with fewer requests than `rates.calls`, the first ten minutes after a restart that was seen, and one bad \
              answer of the health route.",
    advice: "Look at what else is found: errors of an application are mostly somebody else's symptom. Else its log.",
    needs: &["app"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "2",
            about: "per cent of requests in the last minute",
        },
        KeyInfo {
            key: "critical",
            default: "5",
            about: "per cent of requests in the last minute: an incident",
        },
        KeyInfo {
            key: "failures",
            default: "3",
            about: "bad answers of the health route in a row, where nothing is counted",
        },
        KeyInfo {
            key: "critical_for",
            default: "30s",
            about: "how long the health route must have failed to be an incident",
        },
        KeyInfo {
            key: "for",
            default: "60s",
            about: "the window of the counters",
        },
    ],
    specimen: || vec![counting(1000, 60)],
    lookalike: || vec![counting(40, 30)],
};

/// An application that answered so many requests in the last minute, so many of them with errors.
fn counting(total: u64, errors: u64) -> muster_model::Snapshot {
    use muster_model::snapshot::AppRequests;
    sample::app(|health| {
        let before = AppRequests {
            total: 5000,
            errors: 10,
        };
        let after = AppRequests {
            total: 5000 + total,
            errors: 10 + errors,
        };
        health.requests = Some(sample::counted(before, after));
    })
}

pub(super) fn rule(c: &mut Context<'_>) {
    for (app, health) in apps(c, INFO.kind) {
        // An application that answers too few requests to judge, or none, may still say that it is ill.
        let found = by_counters(c, app, health).or_else(|| by_the_route(c, app, health));
        let said = said_by_log(c, &app.address);
        let found = found.map(|mut f| {
            f.evidence.extend(said.map(|v| ("log".to_owned(), v)));
            f
        });
        c.findings.extend(found);
    }
}

fn by_counters(c: &mut Context<'_>, app: &AppView, health: &AppHealth) -> Option<Finding> {
    let counted = health.requests.as_ref()?;
    let (total, errors) = (
        counted.in_a_minute(|n| n.total)?,
        counted.in_a_minute(|n| n.errors)?,
    );
    let warm_up = c.span("rates", "warm_up");
    #[allow(clippy::cast_precision_loss)]
    let few = (total.by as f64) < c.number("rates", "calls");
    if few || health.restarted_at.is_some_and(|t| c.now().since(t) < warm_up) {
        return None;
    }
    let short = !long_enough(total.over, c.span(INFO.kind, "for"));
    let share = percent(errors.by, total.by);
    if share < c.number(INFO.kind, "warning") || (short && c.mode == Mode::Watch) {
        return None;
    }
    let severe = share >= c.number(INFO.kind, "critical");
    let onset = c.onset(&format!("{}|{}", INFO.kind, app.address), total.over);
    let mut f = found(
        app,
        severe,
        onset,
        format!(
            "{} answered {} of {} requests of the last {} with errors ({share:.1} %), by its own count",
            app.address,
            errors.by,
            total.by,
            total.over.human()
        ),
    );
    f.pending = short;
    f.incident = severe && !short;
    f.evidence = evidence(json!({
        "method": "counters", "requests": total.by, "errors": errors.by, "percent": share,
        "within_ms": total.over.millis(), "said": health.said,
    }));
    Some(f)
}

fn by_the_route(c: &Context<'_>, app: &AppView, health: &AppHealth) -> Option<Finding> {
    let since = health.failing_since?;
    if f64::from(health.failures) < c.number(INFO.kind, "failures") {
        return None;
    }
    let age = c.now().since(since);
    let severe = age >= c.span(INFO.kind, "critical_for");
    let word = health
        .said
        .as_deref()
        .map_or_else(String::new, |w| format!(" and says `{w}`"));
    let mut f = found(
        app,
        severe,
        since,
        format!(
            "the health route of {} has answered {} for {} ({} times in a row){word}; how its users fare is not counted",
            app.address,
            health.status,
            age.human(),
            health.failures
        ),
    );
    f.incident = severe;
    f.evidence = evidence(json!({
        "method": "health_route", "status": health.status, "failures": health.failures, "for_ms": age.millis(),
        "said": health.said, "latency_ms": health.latency_ms,
    }));
    Some(f)
}

fn found(app: &AppView, severe: bool, since: muster_model::Time, summary: String) -> Finding {
    let severity = if severe {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let subject = Subject::new("app", &app.name);
    finding(INFO.kind, severity, &app.address, subject, since, summary)
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::{ago, app};
    use super::super::sample::{judged, kinds, looks};
    use super::counting;

    #[test]
    fn two_per_cent_warn_and_five_are_an_incident() {
        let of = |total: u64, errors: u64| {
            let j = judged(&counting(total, errors));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        assert_eq!(of(1000, 19), None);
        assert_eq!(of(1000, 20), Some((Severity::Warning, false)));
        assert_eq!(of(1000, 50), Some((Severity::Critical, true)));
        assert_eq!(of(49, 49), None, "too few to say");
        let mut restarted = counting(1000, 500);
        if let Some(health) = &mut restarted.apps[0].health {
            health.value.restarted_at = Some(ago(300));
        }
        assert_eq!(kinds(&judged(&restarted)), [""; 0]);
    }

    #[test]
    fn without_counters_the_health_route_in_a_row_is_all_there_is() {
        let of = |failures: u32, seconds: i64| {
            let j = judged(&app(|h| {
                h.status = 503;
                h.failures = failures;
                h.failing_since = Some(ago(seconds));
            }));
            let said = j.findings.first().cloned();
            said.map(|f| (f.severity, f.evidence["method"].as_str() == Some("health_route")))
        };
        assert_eq!(of(2, 40), None);
        assert_eq!(of(3, 4), Some((Severity::Warning, true)));
        assert_eq!(of(16, 30), Some((Severity::Critical, true)));
    }

    #[test]
    fn an_ill_health_route_counts_beside_counters_that_say_nothing() {
        let mut s = counting(10, 0);
        if let Some(health) = &mut s.apps[0].health {
            health.value.status = 503;
            health.value.failures = 16;
            health.value.failing_since = Some(ago(30));
        }
        let f = judged(&s).findings.pop().expect("found");
        assert_eq!(f.evidence["method"].as_str(), Some("health_route"));
    }

    #[test]
    fn the_window_moves_on_and_the_onset_stays() {
        let since = |seconds: usize| {
            let j = looks(std::iter::repeat_n(counting(1000, 60), seconds + 1));
            j.findings[0].since
        };
        assert_eq!(since(0), since(30));
        assert_eq!(
            since(0),
            super::super::sample::now().minus(muster_model::Span::from_secs(60))
        );
    }

    #[test]
    fn an_application_that_was_not_read_is_unknown() {
        let mut s = app(|_| {});
        s.apps[0].health = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "app.error_rate"));
    }
}
