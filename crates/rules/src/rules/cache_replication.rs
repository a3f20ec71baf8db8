//! `cache.replication`: a replica of a Redis has lost its master.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::caches;
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "cache.replication",
    title: "A replica of a cache has lost its master",
    about: "INFO of a replica says that master_link_status is down, by the time that it says itself.",
    ignores: "A link that was down for a moment, and a Redis that is no replica.",
    advice: "Look at the master first. If it is well: masterauth, network, and whether repl-backlog-size is too small, so that \
             every break means a full copy.",
    needs: &["cache"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "10s",
            about: "how long the link must have been down",
        },
        KeyInfo {
            key: "critical",
            default: "60s",
            about: "how long the link must have been down: an incident",
        },
    ],
    specimen: || vec![sample::cache(|s| cut(s, 70))],
    lookalike: || vec![sample::cache(|s| cut(s, 5))],
};

/// A replica whose link is down since so many seconds.
fn cut(stats: &mut muster_model::snapshot::CacheStats, seconds: i64) {
    let r = &mut stats.replication;
    r.replica = true;
    r.master = Some("127.0.0.1:6379".into());
    r.link_up = Some(false);
    r.down_since = Some(sample::ago(seconds));
}

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    for (cache, stats) in caches(c, INFO.kind) {
        let r = &stats.replication;
        if r.link_up != Some(false) {
            continue;
        }
        let held = c.held(&format!("{}|{}", INFO.kind, cache.address));
        let age = r.down_since.map_or(held, |t| c.now().since(t).max(held));
        let pending = age < warning;
        if pending && c.mode == Mode::Watch {
            continue;
        }
        let severe = age >= critical;
        let master = r.master.as_deref().unwrap_or("its master");
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &cache.address,
            Subject::new("cache", &cache.name),
            c.now().minus(age),
            format!(
                "{} has had no link to its master {master} for {}: what it answers gets old",
                cache.address,
                age.human()
            ),
        );
        f.pending = pending;
        f.incident = severe;
        f.evidence = evidence(json!({"master": r.master, "offset": r.offset, "down_ms": age.millis()}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::cache;
    use super::super::sample::{judged, watched};
    use super::cut;

    #[test]
    fn ten_seconds_warn_a_minute_is_an_incident() {
        let of = |seconds: i64| {
            let j = judged(&cache(|s| cut(s, seconds)));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        assert_eq!(of(9), None);
        assert_eq!(of(10), Some((Severity::Warning, false)));
        assert_eq!(of(60), Some((Severity::Critical, true)));
    }

    #[test]
    fn a_link_that_never_was_counts_from_when_it_was_seen() {
        let never = cache(|s| {
            cut(s, 0);
            s.replication.down_since = None;
        });
        assert_eq!(watched(&never, 5), Vec::<String>::new());
        assert_eq!(watched(&never, 12), ["cache.replication"]);
        let mut unread = never;
        unread.caches[0].stats = None;
        assert!(
            judged(&unread)
                .unknown
                .iter()
                .any(|u| u.kind == "cache.replication")
        );
    }
}
