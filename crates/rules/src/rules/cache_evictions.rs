//! `cache.evictions`: a Redis throws keys out before their time, and goes on with it.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{bytes, caches, cold};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "cache.evictions",
    title: "A cache throws keys out",
    about: "evicted_keys grows from look to look without a rest of more than 10 s: what is cached does not fit into maxmemory.",
    ignores: "A burst that is over, what was evicted before, and a cache that started or was cleared in the last ten minutes.",
    advice: "Look at the hit rate: if it is good, this is how the cache is meant to be. Else raise maxmemory, cache less, or \
             shorten times to live.",
    needs: &["cache"],
    keys: &[KeyInfo {
        key: "for",
        default: "60s",
        about: "how long it must have gone on",
    }],
    specimen: || vec![sample::cache(|s| s.evicting_since = Some(sample::ago(70)))],
    lookalike: || vec![sample::cache(|s| s.evicting_since = Some(sample::ago(20)))],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let lasting = c.span(INFO.kind, "for");
    for (cache, stats) in caches(c, INFO.kind) {
        let Some(since) = stats.evicting_since.filter(|t| c.now().since(*t) >= lasting) else {
            continue;
        };
        if cold(c, stats.cold_since()) {
            continue;
        }
        let grown = stats.counted.in_a_minute(|n| n.evicted);
        let rate = grown.map_or(0.0, |g| g.per_second());
        let mut f = finding(
            INFO.kind,
            Severity::Warning,
            &cache.address,
            Subject::new("cache", &cache.name),
            since,
            format!(
                "{} has thrown keys out for {}, {rate:.1} a second in the last minute: what is cached does not fit into {}",
                cache.address,
                c.now().since(since).human(),
                bytes(stats.memory.max)
            ),
        );
        f.evidence = evidence(json!({
            "evicted": grown.map(|g| g.by), "per_second": rate, "policy": stats.memory.policy,
            "used": stats.memory.used, "max": stats.memory.max, "keys": stats.keys, "expiring": stats.expiring,
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::beside::{ago, cache};
    use super::super::sample::{judged, kinds};

    #[test]
    fn a_minute_of_it_warns_and_a_burst_does_not() {
        let of = |seconds: i64| kinds(&judged(&cache(|s| s.evicting_since = Some(ago(seconds))))).len();
        assert_eq!((of(59), of(60)), (0, 1));
        let since = judged(&cache(|s| s.evicting_since = Some(ago(90)))).findings[0].since;
        assert_eq!(since, ago(90), "onset by the evidence");
        let cold = cache(|s| {
            s.evicting_since = Some(ago(90));
            s.started_at = ago(300);
        });
        assert_eq!(kinds(&judged(&cold)), [""; 0]);
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        let mut s = cache(|_| {});
        s.caches[0].stats = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "cache.evictions"));
    }
}
