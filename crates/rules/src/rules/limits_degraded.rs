//! `limits.degraded`: a rate limiter decides without its store.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "limits.degraded",
    title: "A rate limiter works without its store",
    about: "The limiter says that it decides by its policy for a lost store: each instance counts on its own, or lets everybody \
            through, or nobody.",
    ignores: "A moment without the store.",
    advice: "Bring the store back: cache.unreachable names what fails. Until then every instance grants the whole limit.",
    needs: &["cache"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "10s",
            about: "how long it must have lasted",
        },
        KeyInfo {
            key: "critical",
            default: "60s",
            about: "how long it must have lasted",
        },
    ],
    specimen: || vec![since(30)],
    lookalike: || vec![since(5)],
};

/// A limiter without its store since so many seconds.
fn since(seconds: i64) -> muster_model::Snapshot {
    sample::limiter(|l| l.degraded_since = Some(sample::ago(seconds)))
}

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    let snapshot = c.snapshot;
    for cache in &snapshot.caches {
        let Some(since) = cache.limiter.as_ref().and_then(|l| l.degraded_since) else {
            continue;
        };
        let age = c.now().since(since);
        if age < warning {
            continue;
        }
        let severity = if age >= critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let mut f = finding(
            INFO.kind,
            severity,
            &cache.address,
            Subject::new("limiter", &cache.name),
            since,
            format!(
                "the rate limiter has decided without its store {} for {}: limits are not those that were agreed on",
                cache.address,
                age.human()
            ),
        );
        f.evidence = evidence(json!({"for_ms": age.millis()}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::cache;
    use super::super::sample::judged;
    use super::since;

    #[test]
    fn ten_seconds_warn_a_minute_is_critical_and_no_limiter_is_silence() {
        let of = |seconds: i64| judged(&since(seconds)).findings.first().map(|f| f.severity);
        assert_eq!(of(9), None);
        assert_eq!(of(10), Some(Severity::Warning));
        assert_eq!(of(60), Some(Severity::Critical));
        assert!(judged(&cache(|_| {})).unknown.is_empty());
    }
}
