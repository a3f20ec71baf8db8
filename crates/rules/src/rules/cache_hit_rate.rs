//! `cache.hit_rate`: too few lookups find their key.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{caches, cold, long_enough, percent};
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "cache.hit_rate",
    title: "Few lookups find their key",
    about: "keyspace_hits against keyspace_misses of the last minute. Redis counts every lookup of a key, also those of locks and \
            limiters, so the share of a Redis with several uses is a mixture.",
    ignores: "A cache that started, was cleared or whose counters were reset in the last ten minutes, and fewer lookups than \
              `rates.calls` in the minute.",
    advice: "Look for keys that expire too soon, evictions, a changed key format after a deploy, or keys that are asked for and \
             never set; warm the cache.",
    needs: &["cache"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "70",
            about: "per cent of lookups; below it",
        },
        KeyInfo {
            key: "critical",
            default: "50",
            about: "per cent of lookups; below it",
        },
        KeyInfo {
            key: "for",
            default: "60s",
            about: "the window",
        },
    ],
    specimen: || vec![sample::hits(30)],
    lookalike: || {
        let mut cleared = sample::hits(30);
        if let Some(stats) = &mut cleared.caches[0].stats {
            stats.value.cleared_at = Some(sample::ago(120));
        }
        vec![cleared]
    },
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    let (window, calls) = (c.span(INFO.kind, "for"), c.number("rates", "calls"));
    for (cache, stats) in caches(c, INFO.kind) {
        if cold(c, stats.cold_since()) {
            continue;
        }
        let counted = &stats.counted;
        let (Some(hits), Some(misses)) = (counted.in_a_minute(|n| n.hits), counted.in_a_minute(|n| n.misses))
        else {
            continue;
        };
        let lookups = hits.by + misses.by;
        let short = !long_enough(hits.over, window);
        #[allow(clippy::cast_precision_loss)]
        let few = (lookups as f64) < calls;
        let rate = percent(hits.by, lookups);
        if few || rate >= warning || (short && c.mode == Mode::Watch) {
            continue;
        }
        let severity = if rate < critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let onset = c.onset(&format!("{}|{}", INFO.kind, cache.address), hits.over);
        let mut f = finding(
            INFO.kind,
            severity,
            &cache.address,
            Subject::new("cache", &cache.name),
            onset,
            format!(
                "{rate:.0} % of {lookups} lookups in the last {} found their key in {}",
                hits.over.human(),
                cache.address
            ),
        );
        f.pending = short;
        f.evidence = evidence(json!({
            "hits": hits.by, "misses": misses.by, "percent": rate, "within_ms": hits.over.millis(),
            "keys": stats.keys, "evicted": counted.in_a_minute(|n| n.evicted).map(|g| g.by),
            "expired": counted.in_a_minute(|n| n.expired).map(|g| g.by),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Time};

    use super::super::sample::beside::{ago, cache, hits};
    use super::super::sample::{judged, kinds};

    #[test]
    fn below_seventy_warns_below_fifty_is_critical() {
        assert_eq!(kinds(&judged(&hits(70))), [""; 0], "seventy is good");
        for (rate, severity) in [
            (69, Severity::Warning),
            (50, Severity::Warning),
            (49, Severity::Critical),
        ] {
            let j = judged(&hits(rate));
            assert_eq!(kinds(&j), ["cache.hit_rate"], "{rate}");
            assert_eq!(j.findings[0].severity, severity, "{rate}");
        }
    }

    #[test]
    fn a_cold_cache_few_lookups_and_a_short_look_say_nothing() {
        let spoiled = |spoil: &dyn Fn(&mut muster_model::snapshot::CacheStats)| {
            let mut s = hits(10);
            if let Some(stats) = &mut s.caches[0].stats {
                spoil(&mut stats.value);
            }
            kinds(&judged(&s)).len()
        };
        assert_eq!(spoiled(&|_| {}), 1);
        assert_eq!(spoiled(&|s| s.started_at = ago(599)), 0);
        assert_eq!(spoiled(&|s| s.cleared_at = Some(ago(599))), 0);
        assert_eq!(spoiled(&|s| s.cleared_at = Some(ago(601))), 1);
        assert_eq!(spoiled(&|s| s.counted.minute = None), 0, "reset");
        assert_eq!(
            spoiled(&|s| if let Some(b) = &mut s.counted.minute {
                b.at = ago(30);
            }),
            0
        );
        assert_eq!(
            spoiled(&|s| {
                let before = s.counted.minute.as_ref().map_or(0, |b| b.value.misses);
                s.counted.now.hits -= 10;
                s.counted.now.misses = before + 49;
            }),
            0,
            "49 lookups"
        );
    }

    #[test]
    fn what_was_not_read_is_unknown() {
        let mut s = cache(|_| {});
        s.caches[0].stats = None;
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == "cache.hit_rate"));
        let mut old = hits(10);
        if let Some(stats) = &mut old.caches[0].stats {
            stats.taken_at = Time::from_millis(0);
        }
        let j = judged(&old);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == "cache.hit_rate"));
    }
}
