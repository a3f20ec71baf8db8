//! `cache.clients`: a Redis has nearly no place left for clients, or refuses them.

use muster_model::snapshot::Reach;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{caches, percent};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "cache.clients",
    title: "A cache is full of clients",
    about: "Connected clients against maxclients; and connections that were refused for it in the last minute.",
    ignores: "What was refused before the last minute.",
    advice: "Find who opens so many connections (CLIENT LIST by address), give every process one pool, or raise maxclients.",
    needs: &["cache"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "80",
            about: "per cent of maxclients",
        },
        KeyInfo {
            key: "critical",
            default: "90",
            about: "per cent of maxclients: an incident, and so is one refused client",
        },
    ],
    specimen: || vec![sample::cache(|s| s.clients.connected = 950)],
    lookalike: || vec![sample::cache(|s| s.clients.connected = 700)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for cache in &snapshot.caches {
        let Reach::Full { reason } = &cache.reach else {
            continue;
        };
        let held = c.held(&format!("{}|{}", INFO.kind, cache.address));
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &cache.address,
            Subject::new("cache", &cache.name),
            c.now().minus(held),
            format!("{} lets no more clients in, us included: {reason}", cache.address),
        );
        f.incident = true;
        f.evidence = evidence(json!({"full": true, "reason": reason}));
        c.findings.push(f);
    }
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for (cache, stats) in caches(c, INFO.kind) {
        let clients = stats.clients;
        let refused = stats.counted.in_a_minute(|n| n.rejected).map_or(0, |g| g.by);
        let Some(max) = clients.max.filter(|m| *m > 0) else {
            c.lacks(INFO.kind, &cache.address, "maxclients may not be read");
            continue;
        };
        let used = percent(clients.connected, max);
        if used < warning && refused == 0 {
            continue;
        }
        let severe = used >= critical || refused > 0;
        let held = c.held(&format!("{}|{}", INFO.kind, cache.address));
        let then = if refused > 0 {
            format!("; {refused} were refused in the last minute")
        } else {
            String::new()
        };
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &cache.address,
            Subject::new("cache", &cache.name),
            c.now().minus(held),
            format!(
                "{} of {max} clients are connected to {} ({used:.0} %){then}",
                clients.connected, cache.address
            ),
        );
        f.incident = severe;
        f.evidence = evidence(json!({
            "connected": clients.connected, "max": max, "percent": used, "blocked": clients.blocked, "refused": refused,
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::Reach;

    use super::super::sample::beside::cache;
    use super::super::sample::{judged, kinds};

    #[test]
    fn eighty_warns_ninety_and_a_refusal_are_critical() {
        let of = |connected: u64, refused: u64| {
            let j = judged(&cache(|s| {
                s.clients.connected = connected;
                s.counted.now.rejected += refused;
            }));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        assert_eq!(of(799, 0), None);
        assert_eq!(of(800, 0), Some((Severity::Warning, false)));
        assert_eq!(of(900, 0), Some((Severity::Critical, true)));
        assert_eq!(of(20, 1), Some((Severity::Critical, true)));
    }

    #[test]
    fn a_redis_that_lets_nobody_in_is_full_and_one_without_its_limit_is_unknown() {
        let mut s = cache(|s| s.clients.max = None);
        let j = judged(&s);
        assert!(j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == "cache.clients"));
        s.caches[0].stats = None;
        s.caches[0].reach = Reach::Full {
            reason: "max number of clients reached".into(),
        };
        assert_eq!(kinds(&judged(&s)), ["cache.clients"]);
    }
}
