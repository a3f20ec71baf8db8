//! `limits.abuse`: one principal asks far more than its share and than it usually does, and is refused for it.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::percent;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "limits.abuse",
    title: "One principal asks far too much",
    about: "By the limiter's own counts: a principal's share of all requests in the window, against what it usually asks, and how \
            much of it was refused.",
    ignores: "A bulk import that was allowed: much is asked and nearly nothing refused. A principal that always asks that much. \
              A window with fewer requests than `rates.calls`.",
    advice: "Look at its routes and addresses of the last hour, then tighten this principal only, for a limited time.",
    needs: &["cache"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "20",
            about: "per cent of all requests; above it, with `times` its usual rate",
        },
        KeyInfo {
            key: "critical",
            default: "50",
            about: "per cent of all requests; above it",
        },
        KeyInfo {
            key: "times",
            default: "10",
            about: "times its usual rate",
        },
        KeyInfo {
            key: "denied",
            default: "10",
            about: "per cent of its requests that were refused; at least",
        },
    ],
    specimen: || vec![sample::greedy(300, 200)],
    lookalike: || vec![sample::greedy(300, 0)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    let (times, refused) = (c.number(INFO.kind, "times"), c.number(INFO.kind, "denied"));
    let snapshot = c.snapshot;
    for cache in &snapshot.caches {
        // Without a limiter there is nothing to be abused: silence, not ignorance.
        let Some(limiter) = &cache.limiter else { continue };
        #[allow(clippy::cast_precision_loss)]
        if (limiter.asked as f64) < c.number("rates", "calls") {
            continue;
        }
        for p in &limiter.principals {
            let share = percent(p.asked, limiter.asked);
            let denied = percent(p.denied, p.asked);
            #[allow(clippy::cast_precision_loss)]
            let more = p.usual.filter(|u| *u > 0.0).map(|u| p.asked as f64 / u);
            let severe = share > critical;
            let unusual = share > warning && more.is_some_and(|m| m >= times);
            if denied < refused || !(severe || unusual) {
                continue;
            }
            let usual = more.map_or_else(String::new, |m| format!(", {m:.0} times what it usually asks"));
            let mut f = finding(
                INFO.kind,
                if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &cache.address,
                Subject::new("principal", &p.name),
                c.now().minus(limiter.window),
                format!(
                    "principal {} of tier {} made {} of {} requests in the last {} ({share:.0} %{usual}); {denied:.0} % of \
                     them were refused",
                    p.name,
                    p.tier,
                    p.asked,
                    limiter.asked,
                    limiter.window.human()
                ),
            );
            f.evidence = evidence(json!({
                "principal": p.name, "tier": p.tier, "asked": p.asked, "denied": p.denied, "of": limiter.asked,
                "share_percent": share, "denied_percent": denied, "times_usual": more,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::{cache, greedy, limiter};
    use super::super::sample::judged;

    #[test]
    fn share_habit_and_refusals_together_make_it() {
        let of = |asked: u64, denied: u64| {
            judged(&greedy(asked, denied))
                .findings
                .first()
                .map(|f| f.severity)
        };
        assert_eq!(of(200, 200), None, "a fifth is not above a fifth");
        assert_eq!(of(201, 201), Some(Severity::Warning));
        assert_eq!(of(501, 501), Some(Severity::Critical));
        assert_eq!(of(400, 39), None, "a bulk import that was allowed");
        assert_eq!(of(400, 40), Some(Severity::Warning));
        let always = limiter(|l| {
            l.principals[0].asked = 400;
            l.principals[0].denied = 100;
            l.principals[0].usual = Some(390.0);
        });
        assert!(judged(&always).findings.is_empty());
    }

    #[test]
    fn without_a_limiter_there_is_nothing_to_say_and_nothing_unknown() {
        let j = judged(&cache(|_| {}));
        assert!(j.findings.is_empty() && j.unknown.is_empty(), "{:?}", j.unknown);
        let few = limiter(|l| {
            l.asked = 49;
            l.principals[0].asked = 49;
            l.principals[0].denied = 49;
        });
        assert!(judged(&few).findings.is_empty());
    }
}
