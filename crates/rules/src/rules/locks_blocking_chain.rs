//! `locks.blocking_chain`: sessions wait for a lock that another holds.

use std::cmp::Reverse;

use muster_model::lock_graph::{Lever, LockGraph, Root, Tree};
use muster_model::snapshot::{ServerView, Session};
use muster_model::{Finding, Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::wait;
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

/// A tree of one of the two kinds, as it is told.
struct Told {
    subject: Subject,
    severity: Severity,
    found: Finding,
    waiters: usize,
    root: i32,
}

/// Chains with (`ddl`) or without a DDL in the middle.
pub(super) fn tree(c: &mut Context<'_>, ddl: bool) {
    let kind = if ddl {
        super::locks_ddl_queue::INFO.kind
    } else {
        INFO.kind
    };
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(activity) = server.activity.as_ref().filter(|_| server.answers()) else {
            continue;
        };
        if !activity.value.sees_all {
            c.lacks(
                kind,
                &server.address,
                "who waits for a lock: the state of other roles' sessions is not seen",
            );
        }
        let Some(graph) = c.graph(server) else { continue };
        // Each tree has its own holder, and to end one frees nobody of another.
        let mut told: Vec<Told> = Vec::new();
        for tree in graph.trees.iter().filter(|t| t.ddl.is_some() == ddl) {
            told.extend(judge(c, kind, server, &graph, tree));
        }
        // One owner is one finding: the worst of its trees, and how many others there are.
        told.sort_by_key(|t| (Reverse(t.severity), Reverse(t.waiters), t.root));
        let mut owners: Vec<Told> = Vec::new();
        let mut more: Vec<(usize, usize)> = Vec::new();
        for t in told {
            match owners.iter().position(|o| o.subject == t.subject) {
                Some(at) => {
                    more[at].0 += 1;
                    more[at].1 += t.waiters;
                }
                None => {
                    owners.push(t);
                    more.push((0, 0));
                }
            }
        }
        for (mut t, (trees, waiters)) in owners.into_iter().zip(more) {
            if trees > 0 {
                let others = if trees == 1 {
                    "another holder"
                } else {
                    "other holders"
                };
                t.found
                    .summary
                    .push_str(&format!("; {} for {others} of the same owner", wait(waiters)));
            }
            t.found.evidence.insert("other_trees".into(), json!(trees));
            c.findings.push(t.found);
        }
    }
}

fn judge<'a>(
    c: &mut Context<'a>,
    kind: &str,
    server: &'a ServerView,
    graph: &LockGraph<'a>,
    tree: &Tree<'a>,
) -> Option<Told> {
    let (warning, critical, many) = (
        c.span(kind, "warning"),
        c.span(kind, "critical"),
        c.number(kind, "waiters"),
    );
    let now = c.now();
    let root = &tree.root;
    let oldest = tree.oldest.map_or(Span::ZERO, |t| now.since(t));
    let waiters = tree.waiters.len();
    // A queue that drains, or a hot row, has another root at every look: ending one of them cures nothing.
    let lasting = if turned(graph, root, warning) {
        c.span(super::locks_hot_row::INFO.kind, "steady").max(warning)
    } else {
        warning
    };
    let steady =
        c.held(&format!("{kind} {} {}", server.address, root.pid)) >= lasting || c.mode == Mode::Check;
    if oldest < warning {
        return None;
    }
    let crowded = f64::from(u32::try_from(waiters).unwrap_or(u32::MAX)) >= many;
    // A row that everybody wants has a name of its own, and no session that it would help to end.
    let hot = super::locks_hot_row::queue(c, server).is_some_and(|q| q.roots.contains(&root.pid));
    let incident = if hot {
        false
    } else if steady {
        crowded || oldest >= critical
    } else {
        oldest >= critical && c.held(&format!("{kind} {} unsteady", server.address)) >= critical
    };
    let lever = graph.lever(Some(tree));
    let holder = match root.session {
        Some(s) => {
            let state = s.state.as_deref().unwrap_or(&s.backend_type);
            format!("session {} of {}, {state}", root.pid, s.owner())
        }
        None if root.pid == 0 => "a prepared transaction".to_owned(),
        None => format!("session {}", root.pid),
    };
    let (subject, summary) = match &tree.ddl {
        Some(d) => {
            let queue = if d.behind.len() == 1 {
                "1 session queues".to_owned()
            } else {
                format!("{} sessions queue", d.behind.len())
            };
            let text = format!(
                "{queue} behind a DDL on {} (session {}) that waits for {holder}; cancelling the DDL frees {}",
                d.relation.unwrap_or("a table"),
                d.pid,
                lever.frees
            );
            (owner(graph.session(d.pid)), text)
        }
        None => {
            let text = format!(
                "{} for {holder}, the longest for {}; {}",
                wait(root.waiters.len()),
                oldest.human(),
                said(&lever)
            );
            (owner(root.session), text)
        }
    };
    let severity = if incident {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let since = tree.oldest.unwrap_or(now);
    let mut f = finding(kind, severity, &server.address, subject.clone(), since, summary);
    f.incident = incident;
    f.evidence = evidence(json!({
        "waiters": waiters,
        "depth": tree.depth,
        "oldest_wait_ms": oldest.millis(),
        "root": root.pid,
        "roots": std::iter::once(root).chain(&tree.others).map(|r| r.pid).take(100).collect::<Vec<_>>(),
        "root_state": root.session.and_then(|s| s.state.clone()),
        "lever": lever.kind,
        "frees": lever.frees,
        "person": lever.person,
        "tree": graph.drawing(tree, now),
    }));
    Some(Told {
        subject,
        severity,
        found: f,
        waiters,
        root: root.pid,
    })
}

/// What frees them, in words.
fn said(lever: &Lever) -> String {
    if !lever.person.is_empty() {
        return lever.person.clone();
    }
    let what = match lever.kind {
        "terminate_idle_holder" => "ending it",
        "cancel_running_holder" => "cancelling its statement",
        "cancel_waiting_ddl" => "cancelling the DDL",
        _ => return "nothing that Muster may do frees them".to_owned(),
    };
    format!("{what} frees {}", lever.frees)
}

/// Whether most of those behind a root wait anew since their statement began: then they have seen another holder go.
fn turned(graph: &LockGraph<'_>, root: &Root<'_>, by: Span) -> bool {
    let anew = root.waiters.iter().filter(|pid| {
        let began = graph.session(**pid).and_then(|s| s.query_start);
        let since = graph.wait(**pid).and_then(|w| w.since);
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

    use super::super::sample::{blocked_by, judged, looks, server, session, snapshot, with_sessions};
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

    /// One tree for each holder: its owner, its waiters and how long they wait.
    fn trees(each: &[(i32, &str, i32, i64)]) -> Snapshot {
        let mut all = Vec::new();
        for (root, owner, waiters, wait_ms) in each {
            let mut holder = session(*root, "idle in transaction", 3000);
            holder.application = (*owner).into();
            all.push(holder);
            all.extend((1..=*waiters).map(|i| blocked_by(root * 100 + i, &[*root], *wait_ms)));
        }
        with_sessions(all)
    }

    #[test]
    fn each_tree_is_told_with_its_own_waiters_and_an_owner_once() {
        let said = |each: &[(i32, &str, i32, i64)]| -> Vec<(String, bool, String)> {
            let s = trees(each);
            let found = looks([s.clone(), s]).findings.into_iter();
            let chains = found.filter(|f| f.kind == "locks.blocking_chain");
            chains.map(|f| (f.subject.0, f.incident, f.summary)).collect()
        };
        let told = said(&[
            (1, "notes", 4, 2000),
            (2, "report", 3, 11_000),
            (3, "young", 9, -500),
        ]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!((told[0].0.as_str(), told[0].1), ("owner:app/report", true));
        assert!(
            told[0].2.starts_with("3 sessions wait for session 2")
                && told[0].2.ends_with("ending it frees 3"),
            "{told:?}"
        );
        // Seven wait for two holders, but nobody for a second of each that holds up five.
        assert_eq!((told[1].0.as_str(), told[1].1), ("owner:app/notes", false));
        assert!(told[1].2.starts_with("4 sessions wait for session 1"), "{told:?}");
        let same = said(&[(1, "notes", 6, 2000), (2, "notes", 1, 2000)]);
        assert_eq!(same.len(), 1);
        assert!(
            same[0]
                .2
                .ends_with("; 1 session waits for another holder of the same owner"),
            "{same:?}"
        );
    }

    #[test]
    fn a_lever_for_a_person_is_told_and_nothing_is_said_to_free_anybody() {
        let mut s = with_sessions((1..=6).map(|p| blocked_by(p, &[0], 2000)).collect());
        let j = judged(&s);
        let text = &j.findings[0].summary;
        assert!(
            text.contains("COMMIT PREPARED") && !text.contains("none frees"),
            "{text}"
        );
        // Without pg_monitor nobody is seen to wait: that is no healthy server.
        let activity = &mut s.servers[0].activity.as_mut().expect("activity").value;
        activity.sees_all = false;
        activity.sessions.clear();
        let unknown = judged(&s).unknown;
        for kind in ["locks.blocking_chain", "locks.ddl_queue", "locks.hot_row"] {
            assert!(unknown.iter().any(|u| u.kind == kind), "{kind}");
        }
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
