//! `cache.persistence`: what a Redis holds is not saved, and it may refuse writes for it.

use muster_model::snapshot::CachePersistence;
use muster_model::{Severity, Span, Subject, Time};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::caches;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "cache.persistence",
    title: "What a cache holds is not saved",
    about: "The last snapshot or the last append failed, or the last snapshot is old although snapshots are configured and there \
            are changes. After a failed snapshot Redis refuses writes unless stop-writes-on-bgsave-error is off; after a failed \
            append always.",
    ignores: "A Redis that is told to save nothing (`save \"\"`, no append-only file): it is a cache. An old snapshot without a \
              change since.",
    advice: "Look at the disk below `dir` (full, permissions) and at the log of Redis, then BGSAVE. Turning \
             stop-writes-on-bgsave-error off lets writes through and loses them at the next restart.",
    needs: &["cache"],
    keys: &[KeyInfo {
        key: "age",
        default: "24h",
        about: "age of the last snapshot, where there should be one",
    }],
    specimen: || vec![sample::cache(|s| s.persistence.snapshot_ok = false)],
    lookalike: || {
        vec![sample::cache(|s| {
            s.persistence.saves = Some(false);
            s.persistence.saved_at = Some(sample::ago(400_000));
        })]
    },
};

/// What is wrong, how bad it is, and whether writes are refused for it.
fn verdict(p: &CachePersistence, now: Time, age: Span) -> Option<(Severity, bool, String)> {
    if p.append_only && !p.append_ok {
        let what = "the last write to its append-only file failed: it refuses writes";
        return Some((Severity::Critical, true, what.to_owned()));
    }
    let old = p.saved_at.map(|t| now.since(t));
    let last = old.map_or_else(String::new, |a| {
        format!("; the last good one is {} old", a.human())
    });
    if !p.snapshot_ok {
        let refuses = p.saves == Some(true) && p.refuses_writes == Some(true);
        let then = if refuses { ": it refuses writes" } else { "" };
        let severe = refuses || old.is_some_and(|a| a >= age);
        let severity = if severe {
            Severity::Critical
        } else {
            Severity::Warning
        };
        return Some((severity, refuses, format!("the last snapshot failed{then}{last}")));
    }
    if p.append_only && !p.rewrite_ok {
        let what = "the last rewrite of its append-only file failed: the file grows";
        return Some((Severity::Warning, false, what.to_owned()));
    }
    if p.saves == Some(true) && p.unsaved > 0 && old.is_some_and(|a| a >= age) {
        let what = format!("{} changes are not in a snapshot{last}", p.unsaved);
        return Some((Severity::Warning, false, what));
    }
    None
}

pub(super) fn rule(c: &mut Context<'_>) {
    let age = c.span(INFO.kind, "age");
    for (cache, stats) in caches(c, INFO.kind) {
        let p = &stats.persistence;
        let Some((severity, refuses, what)) = verdict(p, c.now(), age) else {
            let old = p.saved_at.is_some_and(|t| c.now().since(t) >= age);
            if p.saves.is_none() && p.unsaved > 0 && old {
                c.lacks(
                    INFO.kind,
                    &cache.address,
                    "whether it should save may not be read",
                );
            }
            continue;
        };
        let held = c.held(&format!("{}|{}", INFO.kind, cache.address));
        let mut f = finding(
            INFO.kind,
            severity,
            &cache.address,
            Subject::new("cache", &cache.name),
            c.now().minus(held),
            format!("{}: {what}", cache.address),
        );
        f.incident = refuses;
        f.evidence = evidence(json!({
            "snapshot_ok": p.snapshot_ok, "saved_at": p.saved_at, "unsaved": p.unsaved, "saves": p.saves,
            "append_only": p.append_only, "append_ok": p.append_ok, "rewrite_ok": p.rewrite_ok, "refuses_writes": refuses,
            "refused": stats.counted.in_a_minute(|n| n.misconfigured).map(|g| g.by),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::CachePersistence;

    use super::super::sample::beside::{ago, cache};
    use super::super::sample::judged;

    fn said(spoil: impl Fn(&mut CachePersistence)) -> Option<(Severity, bool)> {
        let j = judged(&cache(|s| spoil(&mut s.persistence)));
        j.findings.first().map(|f| (f.severity, f.incident))
    }

    #[test]
    fn a_failure_is_said_and_refused_writes_are_an_incident() {
        assert_eq!(said(|_| {}), None);
        assert_eq!(said(|p| p.snapshot_ok = false), Some((Severity::Critical, true)));
        let lets_through = |p: &mut CachePersistence| {
            p.snapshot_ok = false;
            p.refuses_writes = Some(false);
        };
        assert_eq!(said(lets_through), Some((Severity::Warning, false)));
        let not_known = |p: &mut CachePersistence| {
            p.snapshot_ok = false;
            p.saves = None;
        };
        assert_eq!(said(not_known), Some((Severity::Warning, false)), "not claimed");
        let append = |p: &mut CachePersistence| {
            p.append_only = true;
            p.append_ok = false;
        };
        assert_eq!(said(append), Some((Severity::Critical, true)));
    }

    #[test]
    fn an_old_snapshot_counts_only_where_there_should_be_a_new_one() {
        let old = |saves: Option<bool>, unsaved: u64, seconds: i64| {
            said(|p| {
                p.saves = saves;
                p.unsaved = unsaved;
                p.saved_at = Some(ago(seconds));
            })
        };
        assert_eq!(old(Some(true), 5, 86_400), Some((Severity::Warning, false)));
        assert_eq!(old(Some(true), 5, 86_399), None);
        assert_eq!(old(Some(true), 0, 90_000), None);
        assert_eq!(old(Some(false), 5, 90_000), None, "it is a cache");
        let unknown = judged(&cache(|s| {
            s.persistence.saves = None;
            s.persistence.saved_at = Some(ago(90_000));
        }));
        assert!(unknown.findings.is_empty());
        assert!(unknown.unknown.iter().any(|u| u.kind == "cache.persistence"));
    }
}
