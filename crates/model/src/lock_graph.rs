//! Who waits for whom: roots, chains, the cheapest lever. Pure; shared by the rules that report it and the probe that
//! plans on it, so that both say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::snapshot::{LockWait, Session};
use crate::time::Time;

/// A blocker that does not wait itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// Process id; 0 stands for a prepared transaction.
    pub pid: i32,
    /// Its session, when it is seen.
    pub session: Option<Session>,
    /// Everybody who waits for it, directly or through others.
    pub waiters: BTreeSet<i32>,
}

/// A waiting statement that wants a table for itself, and those who queue behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ddl {
    /// Process id.
    pub pid: i32,
    /// The table.
    pub relation: Option<String>,
    /// Who waits for it.
    pub behind: BTreeSet<i32>,
}

/// The graph of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockGraph {
    /// Roots, the one with most waiters first.
    pub roots: Vec<Root>,
    /// Edges: waiter -> those who block it.
    pub edges: BTreeMap<i32, Vec<i32>>,
    /// Since when the longest waiter waits.
    pub oldest: Option<Time>,
    /// Longest chain from a waiter to a root.
    pub depth: usize,
    /// A DDL that waits and blocks others.
    pub ddl: Option<Ddl>,
}

/// What would free the waiters most cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lever {
    /// `cancel_waiting_ddl`, `terminate_idle_holder`, `cancel_running_holder` or `none`.
    pub kind: &'static str,
    /// The session to end.
    pub pid: Option<i32>,
    /// How many sessions that frees.
    pub frees: usize,
    /// Why only a person may do it, with the command; empty when Muster may.
    pub person: String,
}

/// Builds the graph. Sessions that block each other in a circle are left to the server's deadlock detector.
#[must_use]
pub fn build(sessions: &[Session], waits: &[LockWait]) -> LockGraph {
    let edges: BTreeMap<i32, Vec<i32>> = sessions
        .iter()
        .filter(|s| !s.blocked_by.is_empty())
        .map(|s| (s.pid, s.blocked_by.clone()))
        .collect();
    let mut waiters_of: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
    let mut depth = 0;
    for waiter in edges.keys() {
        let mut seen = BTreeSet::from([*waiter]);
        let mut level = vec![*waiter];
        let mut steps = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for pid in level {
                for blocker in edges.get(&pid).into_iter().flatten() {
                    if seen.insert(*blocker) {
                        waiters_of.entry(*blocker).or_default().insert(*waiter);
                        next.push(*blocker);
                    }
                }
            }
            if !next.is_empty() {
                steps += 1;
            }
            level = next;
        }
        depth = depth.max(steps);
    }
    let mut roots: Vec<Root> = waiters_of
        .iter()
        .filter(|(pid, _)| !edges.contains_key(pid))
        .map(|(pid, waiters)| Root {
            pid: *pid,
            session: sessions.iter().find(|s| s.pid == *pid).cloned(),
            waiters: waiters.clone(),
        })
        .collect();
    roots.sort_by_key(|r| (std::cmp::Reverse(r.waiters.len()), r.pid));
    let since = |pid: i32| {
        let own = waits.iter().find(|w| w.pid == pid).and_then(|w| w.since);
        own.or_else(|| sessions.iter().find(|s| s.pid == pid).and_then(|s| s.query_start))
    };
    let oldest = edges.keys().filter_map(|p| since(*p)).min();
    // Only in the biggest tree: cancelling a DDL elsewhere would leave the trouble as it is.
    let biggest = roots.first().map(|r| r.waiters.clone()).unwrap_or_default();
    let ddl = waits
        .iter()
        .filter(|w| w.mode == "AccessExclusiveLock" && w.locktype == "relation" && biggest.contains(&w.pid))
        .filter_map(|w| {
            let behind = waiters_of.get(&w.pid)?.clone();
            Some(Ddl {
                pid: w.pid,
                relation: w.relation.clone(),
                behind,
            })
        })
        .max_by_key(|d| d.behind.len());
    LockGraph {
        roots,
        edges,
        oldest,
        depth,
        ddl,
    }
}

impl LockGraph {
    /// How many wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.edges.len()
    }

    /// The cheapest lever for the biggest tree.
    #[must_use]
    pub fn lever(&self, sessions: &[Session]) -> Lever {
        let none = Lever {
            kind: "none",
            pid: None,
            frees: 0,
            person: String::new(),
        };
        if let Some(ddl) = &self.ddl {
            let session = sessions.iter().find(|s| s.pid == ddl.pid);
            return Lever {
                kind: "cancel_waiting_ddl",
                pid: Some(ddl.pid),
                frees: ddl.behind.len(),
                person: session
                    .map(|s| person(s, "pg_cancel_backend"))
                    .unwrap_or_default(),
            };
        }
        let Some(root) = self.roots.first() else {
            return none;
        };
        let frees = root.waiters.len();
        if root.pid == 0 {
            let person =
                "a prepared transaction is at the root: its coordinator decides; look at pg_prepared_xacts, \
                          then COMMIT PREPARED or ROLLBACK PREPARED"
                    .to_owned();
            return Lever {
                kind: "none",
                pid: None,
                frees,
                person,
            };
        }
        let Some(session) = &root.session else {
            return Lever {
                person: format!("the blocker {} cannot be seen by this role", root.pid),
                frees,
                ..none
            };
        };
        let idle = session.idle_in_transaction();
        if !idle && session.state.as_deref() != Some("active") {
            return Lever {
                kind: "none",
                pid: None,
                frees,
                person: format!(
                    "session {} holds its lock outside a transaction (an advisory lock of the session): ask its owner, or \
                     end it by hand: {}",
                    root.pid,
                    person(session, "pg_terminate_backend")
                ),
            };
        }
        let (kind, function) = if idle {
            ("terminate_idle_holder", "pg_terminate_backend")
        } else {
            ("cancel_running_holder", "pg_cancel_backend")
        };
        Lever {
            kind,
            pid: Some(root.pid),
            frees,
            person: person(session, function),
        }
    }

    /// As data for a drawing: nodes and edges.
    #[must_use]
    pub fn tree(&self, sessions: &[Session], waits: &[LockWait], now: Time) -> Value {
        let mut pids: BTreeSet<i32> = self.edges.keys().copied().collect();
        pids.extend(self.edges.values().flatten());
        let nodes: Vec<Value> = pids
            .iter()
            .map(|pid| {
                let session = sessions.iter().find(|s| s.pid == *pid);
                let wait = waits.iter().find(|w| w.pid == *pid);
                let label = session.map_or_else(
                    || {
                        if *pid == 0 {
                            "prepared transaction".to_owned()
                        } else {
                            "not seen".to_owned()
                        }
                    },
                    |s| format!("{} / {}", s.user.as_deref().unwrap_or("?"), s.application),
                );
                let since = session.and_then(|s| {
                    if self.edges.contains_key(pid) {
                        s.query_start
                    } else {
                        s.state_change.or(s.xact_start)
                    }
                });
                json!({
                    "pid": pid,
                    "label": label,
                    "state": session.and_then(|s| s.state.clone()).unwrap_or_default(),
                    "age_ms": since.map_or(0, |t| now.since(t).millis()),
                    "mode": wait.map(|w| w.mode.clone()),
                    "waiting": self.edges.contains_key(pid),
                })
            })
            .collect();
        let edges: Vec<Value> = self
            .edges
            .iter()
            .flat_map(|(from, blockers)| blockers.iter().map(move |to| json!({"from": from, "to": to})))
            .collect();
        json!({"nodes": nodes, "edges": edges})
    }
}

/// Why only a person may end this session.
fn person(session: &Session, function: &str) -> String {
    let command = format!("SELECT pg_catalog.{function}({});", session.pid);
    let why = if session.superuser {
        "a superuser's session"
    } else if session.backend_type == "walsender" {
        "a walsender"
    } else if session
        .query
        .as_deref()
        .is_some_and(|q| q.contains("to prevent wraparound"))
    {
        "a vacuum that prevents wraparound"
    } else if session.backend_type == "autovacuum worker" {
        "an autovacuum worker, which yields by itself"
    } else if session.is_client() {
        return String::new();
    } else {
        "no client's session"
    };
    format!(
        "{why} is at the root ({}): a person decides; {command}",
        session.pid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::server::sample::session;

    fn blocked(pid: i32, by: &[i32]) -> Session {
        let mut s = session(pid);
        s.wait_type = Some("Lock".into());
        s.blocked_by = by.to_vec();
        s
    }

    #[test]
    fn the_root_of_a_chain_is_the_one_that_does_not_wait() {
        let mut holder = session(1);
        holder.state = Some("idle in transaction".into());
        let all = [holder, blocked(2, &[1]), blocked(3, &[2]), blocked(4, &[2, 3])];
        let graph = build(&all, &[]);
        assert_eq!(graph.roots.len(), 1);
        assert_eq!(
            (graph.roots[0].pid, graph.roots[0].waiters.len(), graph.waiters()),
            (1, 3, 3)
        );
        let lever = graph.lever(&all);
        assert_eq!(
            (lever.kind, lever.pid, lever.frees),
            ("terminate_idle_holder", Some(1), 3)
        );
        assert_eq!(lever.person, "");
    }

    #[test]
    fn a_waiting_ddl_is_the_cheapest_lever() {
        let all = [session(1), blocked(2, &[1]), blocked(3, &[2]), blocked(4, &[2])];
        let wait = LockWait {
            pid: 2,
            locktype: "relation".into(),
            mode: "AccessExclusiveLock".into(),
            relation: Some("public.t".into()),
            since: None,
            blocked_by: vec![1],
        };
        let lever = build(&all, &[wait]).lever(&all);
        assert_eq!(
            (lever.kind, lever.pid, lever.frees),
            ("cancel_waiting_ddl", Some(2), 2)
        );
    }

    #[test]
    fn a_circle_has_no_root_and_some_roots_are_for_people() {
        let circle = [blocked(1, &[2]), blocked(2, &[1])];
        assert_eq!(build(&circle, &[]).lever(&circle).kind, "none");
        let mut boss = session(1);
        boss.superuser = true;
        let all = [boss, blocked(2, &[1])];
        assert!(build(&all, &[]).lever(&all).person.contains("superuser"));
        let prepared = [blocked(2, &[0])];
        assert!(build(&prepared, &[]).lever(&prepared).person.contains("prepared"));
    }
}
