//! `replication.logical_stalled`: a subscription does not work, or nobody consumes a logical slot.

use muster_model::snapshot::{Replication, Role, ServerView, Slot, Subscription};
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Mode};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "replication.logical_stalled",
    title: "Logical replication stands still",
    about: "On the subscriber: an enabled subscription has no apply worker, or its errors grew in the last five minutes. On the \
            publisher: nobody uses a logical slot, there is something to consume, and its consumer confirms nothing.",
    ignores: "A subscription that somebody disabled; a consumer that fetches by calls now and then (its confirmed position moves); \
              copies of slots on a standby; a slot with nothing to consume.",
    advice: "Read the subscriber's log: a row that is there already, a column that is missing, a login that is refused. Then repair \
             the row or skip the one transaction (ALTER SUBSCRIPTION … SKIP), and watch the slot on the publisher: it keeps WAL.",
    needs: &["conflicts", "replication"],
    keys: &[
        KeyInfo {
            key: "worker",
            default: "60s",
            about: "since when a subscription has no worker: critical",
        },
        KeyInfo {
            key: "inactive",
            default: "60s",
            about: "since when a logical slot neither is used nor moves",
        },
        KeyInfo {
            key: "errors",
            default: "1",
            about: "errors of a subscription in five minutes",
        },
    ],
    specimen: || sample::seconds(&sample::wal::logical(100, false), 61),
    lookalike: || sample::seconds(&sample::wal::logical(0, false), 90),
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in snapshot
        .servers
        .iter()
        .filter(|s| s.role() == Some(Role::Primary))
    {
        let Some(replication) = c.part(INFO.kind, server, &server.replication, "its logical replication")
        else {
            continue;
        };
        match &replication.subscriptions {
            Some(all) => all.iter().for_each(|s| subscription(c, server, s)),
            None => c.lacks(INFO.kind, &server.address, "its subscriptions: not read"),
        }
        let logical = |s: &&Slot| s.slot_type == "logical" && !s.temporary && !s.synced;
        for slot in replication.slots.iter().filter(logical) {
            publisher(c, server, replication, slot);
        }
    }
}

fn subscription(c: &mut Context<'_>, server: &ServerView, s: &Subscription) {
    let (absent, many) = (c.span(INFO.kind, "worker"), c.number(INFO.kind, "errors"));
    let gone = (s.workers < s.enabled).then(|| {
        c.held(&format!(
            "{}|{}|subscription {}",
            INFO.kind, server.address, s.name
        ))
    });
    let errors = s
        .errors
        .as_ref()
        .and_then(|e| e.in_five_minutes(|n| n.apply + n.sync))
        .filter(|g| crate::size::number(g.by) >= many && g.by > 0);
    let severe = gone.is_some_and(|g| g >= absent);
    let pending = c.mode == Mode::Check && gone.is_some() && !severe && errors.is_none();
    if !severe && errors.is_none() && !pending {
        return;
    }
    let said = match &errors {
        Some(g) => format!(
            "subscription {} on {} failed {} within {}",
            s.name,
            server.address,
            crate::size::several(g.by, "time"),
            g.over.human()
        ),
        None => format!(
            "subscription {} on {} has no worker for {}",
            s.name,
            server.address,
            gone.unwrap_or(Span::ZERO).human()
        ),
    };
    let held = gone.max(errors.as_ref().map(|g| g.over)).unwrap_or(Span::ZERO);
    let mut f = finding(
        INFO.kind,
        if severe {
            Severity::Critical
        } else {
            Severity::Warning
        },
        &server.address,
        Subject::new("subscription", &s.name),
        c.now().minus(held),
        said,
    );
    f.incident = severe;
    f.pending = pending;
    f.evidence = evidence(json!({
        "subscription": s.name, "enabled": s.enabled, "workers": s.workers, "errors": errors.map(|g| g.by),
        "apply_errors": s.errors.as_ref().map(|e| e.now.apply), "sync_errors": s.errors.as_ref().map(|e| e.now.sync),
    }));
    c.findings.push(f);
}

fn publisher(c: &mut Context<'_>, server: &ServerView, replication: &Replication, slot: &Slot) {
    let (Some(end), Some(confirmed)) = (replication.current, slot.confirmed) else {
        return;
    };
    let behind = end.saturating_sub(confirmed);
    if slot.active || behind == 0 {
        return;
    }
    // The position is part of the condition: when it moves, somebody consumes.
    let held = c.held(&format!(
        "{}|{}|slot {}|{confirmed}",
        INFO.kind, server.address, slot.name
    ));
    // What the server itself knows counts as well, but only when we have seen that nothing moves.
    let long = held >= c.span(INFO.kind, "inactive");
    if !long && c.mode == Mode::Watch {
        return;
    }
    let since = slot.inactive_since.unwrap_or(c.now().minus(held));
    let mut f = finding(
        INFO.kind,
        Severity::Warning,
        &server.address,
        Subject::new("slot", &slot.name),
        since,
        format!(
            "nobody consumes logical slot {} ({} of database {}) on {}: {} behind, unused for {}",
            slot.name,
            slot.plugin.as_deref().unwrap_or("?"),
            slot.database.as_deref().unwrap_or("?"),
            server.address,
            crate::size::bytes(behind),
            c.now().since(since).human()
        ),
    );
    f.pending = !long;
    f.evidence = evidence(json!({
        "slot": slot.name, "database": slot.database, "plugin": slot.plugin, "behind_bytes": behind,
        "inactive_since": slot.inactive_since, "wal_status": slot.wal_status,
    }));
    c.findings.push(f);
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{Before, Counted, SubscriptionErrors};
    use muster_model::{Finding, Severity, Snapshot, Span};

    use super::super::sample::wal::{logical, subscribed};
    use super::super::sample::{looks, now};
    use super::INFO;

    fn after(s: &Snapshot, seconds: usize) -> Option<Finding> {
        let j = looks(std::iter::repeat_n(s.clone(), seconds + 1));
        j.findings.into_iter().find(|f| f.kind == INFO.kind)
    }

    #[test]
    fn a_subscription_without_a_worker_is_critical_after_a_minute() {
        assert_eq!(after(&subscribed(1), 90), None);
        assert_eq!(
            after(&subscribed(0), 59),
            None,
            "a worker that failed starts again in seconds"
        );
        let f = after(&subscribed(0), 60).expect("found");
        assert!(f.incident && f.severity == Severity::Critical, "{f:?}");
        let mut disabled = subscribed(0);
        let r = disabled.servers[0].replication.as_mut().expect("replication");
        r.value.subscriptions.as_mut().expect("read")[0].enabled = 0;
        assert_eq!(after(&disabled, 90), None);
    }

    #[test]
    fn errors_of_a_subscription_warn_though_its_worker_is_there() {
        let mut s = subscribed(1);
        let count = |apply| SubscriptionErrors { apply, sync: 0 };
        let r = s.servers[0].replication.as_mut().expect("replication");
        let mine = &mut r.value.subscriptions.as_mut().expect("read")[0];
        mine.errors = Some(Counted {
            at: now(),
            now: count(12),
            minute: None,
            five_minutes: Some(Before {
                at: now().minus(Span::from_secs(60)),
                value: count(9),
            }),
        });
        let f = after(&s, 0).expect("found");
        assert!(f.summary.contains("failed 3 times within 1m"), "{}", f.summary);
        assert_eq!((f.severity, f.incident), (Severity::Warning, false));
        let r = s.servers[0].replication.as_mut().expect("replication");
        r.value.subscriptions.as_mut().expect("read")[0]
            .errors
            .as_mut()
            .expect("counted")
            .now = count(9);
        assert_eq!(after(&s, 0), None, "old ones");
    }

    #[test]
    fn a_slot_that_nobody_uses_and_that_does_not_move_warns() {
        assert_eq!(after(&logical(100, false), 59), None);
        let f = after(&logical(100, false), 60).expect("found");
        assert!(f.summary.contains("100 MB behind"), "{}", f.summary);
        assert_eq!(after(&logical(100, true), 90), None);
        assert_eq!(after(&logical(0, false), 90), None);
        let polled = (0..90).map(|i| logical(100 - i / 30, false));
        assert!(
            !looks(polled).findings.iter().any(|f| f.kind == INFO.kind),
            "somebody fetches by calls"
        );
    }

    #[test]
    fn subscriptions_that_were_not_read_are_unknown() {
        let mut s = subscribed(0);
        s.servers[0]
            .replication
            .as_mut()
            .expect("replication")
            .value
            .subscriptions = None;
        assert!(looks([s]).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
