//! `cache.memory`: a Redis that cannot make room by itself gets full.

use muster_model::snapshot::{CacheStats, CacheView};
use muster_model::{Finding, Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{bytes, caches, percent};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "cache.memory",
    title: "A cache gets full and cannot make room",
    about: "Memory in use against maxmemory, under a policy that throws nothing out: `noeviction`, or `volatile-…` while no key \
            expires. When it is full, Redis refuses writes (OOM). Without a maxmemory the size itself is judged: such a Redis \
            grows until the host has no more.",
    ignores: "A full cache under a policy that makes room: that is how it is meant to be; cache.evictions and cache.hit_rate \
              watch it. Buffers of replicas and of the append-only file, which do not count against maxmemory.",
    advice: "Give keys a time to live, raise maxmemory within the host's memory, or choose a policy that makes room where the \
             data may be lost.",
    needs: &["cache"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "75",
            about: "per cent of maxmemory",
        },
        KeyInfo {
            key: "critical",
            default: "90",
            about: "per cent of maxmemory: an incident",
        },
        KeyInfo {
            key: "warning_mb",
            default: "100",
            about: "MB, where no maxmemory is set",
        },
        KeyInfo {
            key: "critical_mb",
            default: "500",
            about: "MB, where no maxmemory is set",
        },
    ],
    specimen: || vec![sample::full(95, "noeviction")],
    lookalike: || vec![sample::full(99, "allkeys-lru")],
};

pub(super) fn rule(c: &mut Context<'_>) {
    for (cache, stats) in caches(c, INFO.kind) {
        let found = if stats.memory.max == 0 {
            unlimited(c, cache, stats)
        } else {
            limited(c, cache, stats)
        };
        c.findings.extend(found);
    }
}

fn limited(c: &mut Context<'_>, cache: &CacheView, stats: &CacheStats) -> Option<Finding> {
    let memory = &stats.memory;
    let used = percent(memory.used, memory.max);
    if memory.makes_room(stats.expiring) || used < c.number(INFO.kind, "warning") {
        return None;
    }
    let severe = used >= c.number(INFO.kind, "critical");
    let why = if memory.policy.starts_with("volatile") {
        "and no key expires"
    } else {
        "which throws nothing out"
    };
    let refused = stats.counted.in_a_minute(|n| n.out_of_memory).map_or(0, |g| g.by);
    let then = if refused > 0 {
        format!("it refused {refused} writes in the last minute")
    } else {
        "when it is full it refuses writes".to_owned()
    };
    let mut f = found(
        c,
        cache,
        stats,
        severe,
        format!(
            "{} holds {} of {} ({used:.0} %) under the policy {}, {why}: {then}",
            cache.address,
            bytes(memory.used),
            bytes(memory.max),
            memory.policy
        ),
    );
    f.incident = severe;
    f.ruled_out = vec!["cache.evictions: nothing can be thrown out".into()];
    Some(f)
}

fn unlimited(c: &mut Context<'_>, cache: &CacheView, stats: &CacheStats) -> Option<Finding> {
    #[allow(clippy::cast_precision_loss)]
    let mb = stats.memory.used as f64 / f64::from(1 << 20);
    if mb < c.number(INFO.kind, "warning_mb") {
        return None;
    }
    // Nobody has to get up for it: how much the host has left is not said here.
    let severe = mb >= c.number(INFO.kind, "critical_mb");
    let summary = format!(
        "{} holds {} and has no maxmemory: nothing keeps it from taking all the host has",
        cache.address,
        bytes(stats.memory.used)
    );
    Some(found(c, cache, stats, severe, summary))
}

fn found(
    c: &mut Context<'_>,
    cache: &CacheView,
    stats: &CacheStats,
    severe: bool,
    summary: String,
) -> Finding {
    let held = c.held(&format!("{}|{}", INFO.kind, cache.address));
    let severity = if severe {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let subject = Subject::new("cache", &cache.name);
    let since = c.now().minus(held);
    let mut f = finding(INFO.kind, severity, &cache.address, subject, since, summary);
    let m = &stats.memory;
    f.evidence = evidence(json!({
        "used": m.used, "max": m.max, "policy": m.policy, "resident": m.resident, "fragmentation": m.fragmentation,
        "keys": stats.keys, "expiring": stats.expiring,
        "refused": stats.counted.in_a_minute(|n| n.out_of_memory).map(|g| g.by),
    }));
    f
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::{cache, full};
    use super::super::sample::{judged, kinds};

    #[test]
    fn fullness_counts_only_where_nothing_makes_room() {
        for policy in ["allkeys-lru", "allkeys-random", "volatile-lru"] {
            assert_eq!(kinds(&judged(&full(100, policy))), [""; 0], "{policy}");
        }
        assert_eq!(kinds(&judged(&full(74, "noeviction"))), [""; 0]);
        let warns = judged(&full(76, "noeviction"));
        assert_eq!(
            (
                kinds(&warns),
                warns.findings[0].severity,
                warns.findings[0].incident
            ),
            (vec!["cache.memory"], Severity::Warning, false)
        );
        let full = judged(&full(91, "noeviction"));
        assert!(full.findings[0].incident && full.findings[0].severity == Severity::Critical);
        let volatile = cache(|s| {
            s.memory.used = s.memory.max;
            s.memory.policy = "volatile-lru".into();
            s.expiring = 0;
        });
        let j = judged(&volatile);
        assert!(
            j.findings[0].summary.contains("no key expires"),
            "{}",
            j.findings[0].summary
        );
    }

    #[test]
    fn without_a_limit_the_size_is_judged() {
        let of = |mb: u64| {
            let j = judged(&cache(|s| {
                s.memory.max = 0;
                s.memory.used = mb << 20;
            }));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        assert_eq!(of(99), None);
        assert_eq!(of(100), Some((Severity::Warning, false)));
        assert_eq!(of(500), Some((Severity::Critical, false)));
    }

    #[test]
    fn refused_writes_are_said() {
        let mut s = full(100, "noeviction");
        if let Some(stats) = &mut s.caches[0].stats {
            stats.value.counted.now.out_of_memory = 7;
        }
        let said = &judged(&s).findings[0].summary;
        assert!(said.contains("refused 7 writes"), "{said}");
        s.caches[0].stats = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "cache.memory"));
    }
}
