//! `locks.blocking_chain`: sessions wait for a lock that another holds.

use muster_model::snapshot::{LockWait, Session};
use muster_model::{Severity, Span, Subject, lock_graph};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Mode};

/// Of both kinds of lock trees: with and without a DDL in the middle.
pub(super) const KEYS: &[KeyInfo] = &[
    KeyInfo {
        key: "warning",
        default: "1s",
        about: "longest wait, and how long the same session must be its root before it is an incident",
    },
    KeyInfo {
        key: "critical",
        default: "10s",
        about: "longest wait: an incident",
    },
    KeyInfo {
        key: "waiters",
        default: "5",
        about: "this many waiters make an incident",
    },
];

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.blocking_chain",
    title: "Sessions block each other",
    about: "The tree of who waits for whom, by its root. A finding at `warning`; an incident at `waiters` waiters or at \
            `critical`, once one session has been the root for `warning`: a queue that drains has another root at every \
            look. A queue behind a DDL is locks.ddl_queue instead.",
    ignores: "Waits below `warning`; a queue that drains, whose root changes at every look. A row that everybody wants is \
              locks.hot_row: then this is no incident.",
    advice: "End or cancel the root of the tree, the cheapest lever that the finding names; a waiter that blocks nobody is never the target.",
    needs: &["activity", "locks"],
    keys: KEYS,
    specimen: || sample::seconds(&sample::blocked(6, 3000, false), 3),
    lookalike: || vec![sample::blocked(1, 500, false)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    tree(c, false);
}

/// Chains with (`ddl`) or without a DDL in the middle.
pub(super) fn tree(c: &mut Context<'_>, ddl: bool) {
    let kind = if ddl {
        super::locks_ddl_queue::INFO.kind
    } else {
        INFO.kind
    };
    let (warning, critical, many) = (
        c.span(kind, "warning"),
        c.span(kind, "critical"),
        c.number(kind, "waiters"),
    );
    let now = c.now();
    for server in &c.snapshot.servers {
        let Some(activity) = server.activity.as_ref().filter(|_| server.answers()) else {
            continue;
        };
        let sessions = &activity.value.sessions;
        let waits = server
            .locks
            .as_ref()
            .map(|l| l.value.waits.clone())
            .unwrap_or_default();
        let graph = lock_graph::build(sessions, &waits);
        let Some(root) = graph.roots.first() else { continue };
        if graph.ddl.is_some() != ddl {
            continue;
        }
        let oldest = graph.oldest.map_or(Span::ZERO, |t| now.since(t));
        let waiters = u32::try_from(graph.waiters()).unwrap_or(u32::MAX);
        // A queue that drains, or a hot row, has another root at every look: ending one of them cures nothing.
        let lasting = if turned(sessions, &waits, root, warning) {
            c.span(super::locks_hot_row::INFO.kind, "steady").max(warning)
        } else {
            warning
        };
        let steady =
            c.held(&format!("{kind} {} {}", server.address, root.pid)) >= lasting || c.mode == Mode::Check;
        if oldest < warning {
            continue;
        }
        let crowded = f64::from(waiters) >= many;
        // A row that everybody wants has a name of its own, and no session that it would help to end.
        let hot = super::locks_hot_row::queue(c, server).is_some_and(|q| q.roots.contains(&root.pid));
        let incident = if hot {
            false
        } else if steady {
            crowded || oldest >= critical
        } else {
            oldest >= critical && c.held(&format!("{kind} {} unsteady", server.address)) >= critical
        };
        let lever = graph.lever(sessions);
        let holder = root.session.as_ref().map_or_else(
            || {
                if root.pid == 0 {
                    "a prepared transaction".to_owned()
                } else {
                    format!("session {}", root.pid)
                }
            },
            |s| {
                let state = s.state.clone().unwrap_or_else(|| s.backend_type.clone());
                format!("session {} of {}, {state}", root.pid, s.owner())
            },
        );
        let (subject, summary) = match &graph.ddl {
            Some(d) => (
                owner(sessions.iter().find(|s| s.pid == d.pid)),
                format!(
                    "{} sessions queue behind a DDL on {} (session {}) that waits for {holder}; cancelling the DDL frees {}",
                    d.behind.len(),
                    d.relation.as_deref().unwrap_or("a table"),
                    d.pid,
                    lever.frees
                ),
            ),
            None => (
                owner(root.session.as_ref()),
                format!(
                    "{waiters} sessions wait for {holder}, the longest for {}; {} frees {}",
                    oldest.human(),
                    lever.kind.replace('_', " "),
                    lever.frees
                ),
            ),
        };
        let severity = if incident {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let since = graph.oldest.unwrap_or(now);
        let mut f = finding(kind, severity, &server.address, subject, since, summary);
        f.incident = incident;
        f.evidence = evidence(json!({
            "waiters": waiters,
            "depth": graph.depth,
            "oldest_wait_ms": oldest.millis(),
            "root": root.pid,
            "root_state": root.session.as_ref().and_then(|s| s.state.clone()),
            "lever": lever.kind,
            "frees": lever.frees,
            "person": lever.person,
            "tree": graph.tree(sessions, &waits, now),
        }));
        c.findings.push(f);
    }
}

/// Whether most of those behind a root wait anew since their statement began: then they have seen another holder go.
fn turned(sessions: &[Session], waits: &[LockWait], root: &lock_graph::Root, by: Span) -> bool {
    let anew = root.waiters.iter().filter(|pid| {
        let began = sessions
            .iter()
            .find(|s| s.pid == **pid)
            .and_then(|s| s.query_start);
        let since = waits.iter().find(|w| w.pid == **pid).and_then(|w| w.since);
        began.zip(since).is_some_and(|(b, s)| s.since(b) >= by)
    });
    anew.count() * 2 > root.waiters.len()
}

/// Who holds the lock, in words that survive a reconnect: a relapse is the same trouble.
fn owner(session: Option<&Session>) -> Subject {
    Subject::new(
        "owner",
        session.map_or_else(|| "prepared transaction".to_owned(), Session::owner),
    )
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::LockWait;
    use muster_model::{Snapshot, Span};

    use super::super::sample::{blocked_by, judged, looks, server, session, snapshot};
    use crate::judge::Judgement;

    /// So many wait for one session since so long.
    fn picture(root: i32, waiters: i32, wait_ms: i64) -> Snapshot {
        let mut s = snapshot();
        s.servers = vec![server("a")];
        let mut all = vec![session(root, "idle in transaction", 3000)];
        all.extend((20..20 + waiters).map(|p| blocked_by(p, &[root], wait_ms)));
        s.servers[0].activity.as_mut().expect("activity").value.sessions = all;
        s
    }

    fn incident(j: Judgement) -> Option<bool> {
        let chain = |f: &muster_model::Finding| f.kind == "locks.blocking_chain";
        j.findings.into_iter().find(chain).map(|f| f.incident)
    }

    #[test]
    fn one_second_is_a_finding_and_five_waiters_are_an_incident() {
        let found = |waiters, wait_ms| {
            let s = picture(1, waiters, wait_ms);
            incident(looks([s.clone(), s]))
        };
        assert_eq!(incident(judged(&picture(1, 4, 900))), None);
        assert_eq!(found(4, 100), Some(false));
        assert_eq!(found(5, 100), Some(true));
        assert_eq!(found(1, 10_000), Some(true));
    }

    #[test]
    fn a_queue_that_drains_is_no_incident_of_its_next_root() {
        // Its waiters have waited long, but not for this one.
        assert_eq!(incident(judged(&picture(2, 12, 60_000))), Some(false));
        let drains = (1..=9).map(|root| picture(root, 12, 60_000));
        assert_eq!(incident(looks(drains)), Some(false));
        // Those who wait have seen another holder go: this one is the root of a chain only after a while.
        let turned = |n: usize| {
            let mut s = picture(2, 12, 60_000);
            let waits = (20..32).map(|pid| LockWait {
                pid,
                locktype: "transactionid".into(),
                mode: "ShareLock".into(),
                relation: None,
                since: Some(s.taken_at.minus(Span::from_secs(2))),
                blocked_by: vec![2],
            });
            s.servers[0].locks.as_mut().expect("locks").value.waits = waits.collect();
            incident(looks(std::iter::repeat_n(s, n + 1)))
        };
        assert_eq!((turned(2), turned(3)), (Some(false), Some(true)));
        // For ever changing is a trouble of its own.
        let hot = (1..=12).map(|root| picture(root, 7, 60_000));
        assert_eq!(incident(looks(hot)), Some(true));
    }
}
