//! Who waits for whom: trees, their roots, the cheapest lever. Pure; shared by the rules that report it and the probe that
//! plans on it, so that both say the same.
//!
//! Built from the blockers to those who wait, each edge once for all roots that the same sessions wait for: in a queue for a
//! row everybody waits for all before it, and at that moment nobody has time to walk it from every waiter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::snapshot::{LockWait, Session};
use crate::time::Time;

/// Sessions of one tree in a drawing; evidence is kept for long and sent to browsers.
const DRAWN: usize = 200;
/// Waits of one tree in a drawing; with more of them each session is drawn with the one towards its root.
const DRAWN_WAITS: usize = 400;

/// A blocker that does not wait itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Root<'a> {
    /// Process id; 0 stands for a prepared transaction.
    pub pid: i32,
    /// Its session, when it is seen.
    pub session: Option<&'a Session>,
    /// Everybody who waits for it, directly or through others.
    pub waiters: Arc<BTreeSet<i32>>,
}

/// A waiting statement that wants a table for itself, and those who queue behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ddl<'a> {
    /// Process id.
    pub pid: i32,
    /// The table.
    pub relation: Option<&'a str>,
    /// Who waits for it.
    pub behind: BTreeSet<i32>,
}

/// Sessions that have to do with each other: some hold, the others wait for one or several of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree<'a> {
    /// The root with most waiters.
    pub root: Root<'a>,
    /// The other roots, the one with most waiters first: several readers may hold up one writer.
    pub others: Vec<Root<'a>>,
    /// Everybody who waits.
    pub waiters: BTreeSet<i32>,
    /// Since when the longest waiter waits.
    pub oldest: Option<Time>,
    /// Longest chain from a waiter to a root.
    pub depth: usize,
    /// A DDL that waits, and that at least half of the waiters stand behind.
    pub ddl: Option<Ddl<'a>>,
}

/// The graph of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockGraph<'a> {
    /// Trees, the one with most waiters first. Sessions that only block each other in a circle are in none.
    pub trees: Vec<Tree<'a>>,
    /// Since when the longest waiter waits.
    pub oldest: Option<Time>,
    /// Edges: waiter -> those who block it.
    edges: BTreeMap<i32, &'a [i32]>,
    sessions: BTreeMap<i32, &'a Session>,
    waits: BTreeMap<i32, &'a LockWait>,
    /// Edges that were walked to build it.
    walked: usize,
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
pub fn build<'a>(sessions: &'a [Session], waits: &'a [LockWait]) -> LockGraph<'a> {
    let mut graph = LockGraph::default();
    for s in sessions {
        graph.sessions.entry(s.pid).or_insert(s);
        if !s.blocked_by.is_empty() {
            graph.edges.insert(s.pid, &s.blocked_by);
        }
    }
    for w in waits {
        graph.waits.entry(w.pid).or_insert(w);
    }
    graph.oldest = graph.edges.keys().filter_map(|p| graph.since(*p)).min();
    // Blocker -> those who wait for it directly.
    let mut behind: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (waiter, blockers) in &graph.edges {
        for blocker in *blockers {
            let list = behind.entry(*blocker).or_default();
            if blocker != waiter && list.last() != Some(waiter) {
                list.push(*waiter);
            }
        }
    }
    let mut roots = Vec::new();
    // Those that the same sessions wait for have the same tree below them: readers before a DDL, by the hundred.
    let mut known: BTreeMap<&[i32], (Arc<BTreeSet<i32>>, usize)> = BTreeMap::new();
    for (pid, direct) in behind.iter().filter(|(pid, _)| !graph.edges.contains_key(pid)) {
        let (waiters, depth) = known
            .entry(direct)
            .or_insert_with(|| {
                let (waiters, depth) = below(*pid, &behind, &mut graph.walked);
                (Arc::new(waiters), depth)
            })
            .clone();
        let root = Root {
            pid: *pid,
            session: graph.sessions.get(pid).copied(),
            waiters,
        };
        roots.push((root, depth));
    }
    roots.sort_by_key(|(r, _)| (std::cmp::Reverse(r.waiters.len()), r.pid));
    graph.trees = trees(roots, &graph);
    for at in 0..graph.trees.len() {
        graph.trees[at].ddl = ddl(&graph.trees[at].waiters, waits, &behind, &mut graph.walked);
    }
    graph
}

/// Everybody behind a session, and how far the farthest of them is.
fn below(from: i32, behind: &BTreeMap<i32, Vec<i32>>, walked: &mut usize) -> (BTreeSet<i32>, usize) {
    let mut seen = BTreeSet::from([from]);
    let mut open = VecDeque::from([(from, 0)]);
    let mut deepest = 0;
    while let Some((pid, depth)) = open.pop_front() {
        deepest = deepest.max(depth);
        for waiter in behind.get(&pid).into_iter().flatten() {
            *walked += 1;
            if seen.insert(*waiter) {
                open.push_back((*waiter, depth + 1));
            }
        }
    }
    seen.remove(&from);
    (seen, deepest)
}

/// Puts roots together that have waiters in common. They come with the biggest first.
fn trees<'a>(roots: Vec<(Root<'a>, usize)>, graph: &LockGraph<'a>) -> Vec<Tree<'a>> {
    let mut parts: Vec<Option<Tree<'a>>> = Vec::new();
    // Waiter -> its tree; a tree that was put into another points there.
    let mut tree_of: BTreeMap<i32, usize> = BTreeMap::new();
    let mut moved: Vec<usize> = Vec::new();
    let end = |moved: &[usize], mut at: usize| {
        while moved[at] != at {
            at = moved[at];
        }
        at
    };
    let mut last: Option<(Arc<BTreeSet<i32>>, usize)> = None;
    for (root, depth) in roots {
        if let Some((waiters, at)) = &last
            && Arc::ptr_eq(waiters, &root.waiters)
        {
            let at = end(&moved, *at);
            if let Some(tree) = &mut parts[at] {
                tree.others.push(root);
            }
            continue;
        }
        let mut met: BTreeSet<usize> = BTreeSet::new();
        for waiter in root.waiters.iter() {
            if let Some(at) = tree_of.get(waiter) {
                met.insert(end(&moved, *at));
            }
        }
        let at = match met.first() {
            Some(at) => *at,
            None => {
                moved.push(parts.len());
                parts.push(None);
                parts.len() - 1
            }
        };
        tree_of.extend(root.waiters.iter().map(|w| (*w, at)));
        last = Some((Arc::clone(&root.waiters), at));
        match &mut parts[at] {
            Some(tree) => {
                tree.waiters.extend(root.waiters.iter());
                tree.depth = tree.depth.max(depth);
                tree.others.push(root);
            }
            empty => {
                *empty = Some(Tree {
                    waiters: (*root.waiters).clone(),
                    root,
                    others: Vec::new(),
                    oldest: None,
                    depth,
                    ddl: None,
                });
            }
        }
        for other in met.into_iter().filter(|o| *o != at) {
            moved[other] = at;
            if let (Some(from), Some(tree)) = (parts[other].take(), &mut parts[at]) {
                tree.waiters.extend(from.waiters);
                tree.depth = tree.depth.max(from.depth);
                tree.others.push(from.root);
                tree.others.extend(from.others);
            }
        }
    }
    let mut out: Vec<Tree<'a>> = parts.into_iter().flatten().collect();
    for tree in &mut out {
        tree.oldest = tree.waiters.iter().filter_map(|p| graph.since(*p)).min();
        tree.others
            .sort_by_key(|r| (std::cmp::Reverse(r.waiters.len()), r.pid));
    }
    out.sort_by_key(|t| (std::cmp::Reverse(t.waiters.len()), t.root.pid));
    out
}

/// The DDL that at least half of those who wait stand behind: to cancel one that holds up a few leaves the trouble as it is.
fn ddl<'a>(
    waiters: &BTreeSet<i32>,
    waits: &'a [LockWait],
    behind: &BTreeMap<i32, Vec<i32>>,
    walked: &mut usize,
) -> Option<Ddl<'a>> {
    let direct = |pid: i32| behind.get(&pid).map_or(0, Vec::len);
    let mut wanted: Vec<&LockWait> = waits
        .iter()
        .filter(|w| w.mode == "AccessExclusiveLock" && w.locktype == "relation" && waiters.contains(&w.pid))
        .filter(|w| direct(w.pid) > 0)
        .collect();
    wanted.sort_by_key(|w| (std::cmp::Reverse(direct(w.pid)), w.pid));
    let mut covered = BTreeSet::new();
    let mut best: Option<Ddl<'a>> = None;
    for w in wanted {
        // One that waits behind another DDL has fewer behind it than that.
        if !covered.insert(w.pid) {
            continue;
        }
        let (those, _) = below(w.pid, behind, walked);
        covered.extend(&those);
        if best.as_ref().is_none_or(|b| those.len() > b.behind.len()) {
            best = Some(Ddl {
                pid: w.pid,
                relation: w.relation.as_deref(),
                behind: those,
            });
        }
    }
    best.filter(|d| d.behind.len() * 2 >= waiters.len())
}

impl<'a> LockGraph<'a> {
    /// How many wait.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.edges.len()
    }

    /// All roots, the one with most waiters of the biggest tree first.
    pub fn roots(&self) -> impl Iterator<Item = &Root<'a>> {
        self.trees
            .iter()
            .flat_map(|t| std::iter::once(&t.root).chain(&t.others))
    }

    /// How many wait for a session that does not wait itself, directly or through others.
    #[must_use]
    pub fn behind(&self, pid: i32) -> usize {
        self.roots().find(|r| r.pid == pid).map_or(0, |r| r.waiters.len())
    }

    /// A session by its process id.
    #[must_use]
    pub fn session(&self, pid: i32) -> Option<&'a Session> {
        self.sessions.get(&pid).copied()
    }

    /// The wait of a session.
    #[must_use]
    pub fn wait(&self, pid: i32) -> Option<&'a LockWait> {
        self.waits.get(&pid).copied()
    }

    /// Since when a session waits: by its lock, else by its statement.
    fn since(&self, pid: i32) -> Option<Time> {
        let own = self.wait(pid).and_then(|w| w.since);
        own.or_else(|| self.session(pid).and_then(|s| s.query_start))
    }

    /// The cheapest lever for a tree; for no tree there is none.
    #[must_use]
    pub fn lever(&self, tree: Option<&Tree<'a>>) -> Lever {
        let none = Lever {
            kind: "none",
            pid: None,
            frees: 0,
            person: String::new(),
        };
        let Some(tree) = tree else { return none };
        if let Some(ddl) = &tree.ddl {
            return Lever {
                kind: "cancel_waiting_ddl",
                pid: Some(ddl.pid),
                frees: ddl.behind.len(),
                person: self
                    .session(ddl.pid)
                    .map(|s| person(s, "pg_cancel_backend"))
                    .unwrap_or_default(),
            };
        }
        let root = &tree.root;
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
        let Some(session) = root.session else {
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

    /// A tree as data for a drawing: nodes from the roots on, and edges; how many of each are left out.
    #[must_use]
    pub fn drawing(&self, tree: &Tree<'a>, now: Time) -> Value {
        let mut below: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for waiter in &tree.waiters {
            for blocker in self.edges.get(waiter).copied().into_iter().flatten() {
                below.entry(*blocker).or_default().push(*waiter);
            }
        }
        // Each with the one that it is reached from: the nearest to a root of those that it waits for.
        let roots = std::iter::once(&tree.root).chain(&tree.others);
        let mut order: Vec<(i32, Option<i32>)> = roots.map(|r| (r.pid, None)).take(DRAWN / 2).collect();
        let mut seen: BTreeSet<i32> = order.iter().map(|(pid, _)| *pid).collect();
        let mut at = 0;
        while at < order.len() && order.len() < DRAWN {
            let from = order[at].0;
            for waiter in below.get(&from).into_iter().flatten() {
                if order.len() < DRAWN && seen.insert(*waiter) {
                    order.push((*waiter, Some(from)));
                }
            }
            at += 1;
        }
        let nodes: Vec<Value> = order.iter().map(|(pid, _)| self.node(*pid, now)).collect();
        let all: usize = tree
            .waiters
            .iter()
            .filter_map(|w| self.edges.get(w))
            .map(|b| b.len())
            .sum();
        let between = |pid: i32| {
            let blockers = self.edges.get(&pid).copied().into_iter().flatten();
            blockers.filter(|b| seen.contains(b)).map(move |b| (pid, *b))
        };
        let mut edges: Vec<(i32, i32)> = order
            .iter()
            .filter(|(_, from)| from.is_some())
            .flat_map(|(pid, _)| between(*pid).take(DRAWN_WAITS + 1))
            .take(DRAWN_WAITS + 1)
            .collect();
        if edges.len() > DRAWN_WAITS {
            edges = order
                .iter()
                .filter_map(|(pid, from)| Some((*pid, (*from)?)))
                .collect();
        }
        let (left_out, waits_left_out) = (
            tree.waiters.len() + 1 + tree.others.len() - nodes.len(),
            all - edges.len(),
        );
        let edges: Vec<Value> = edges
            .into_iter()
            .map(|(from, to)| json!({"from": from, "to": to}))
            .collect();
        json!({"nodes": nodes, "edges": edges, "left_out": left_out, "edges_left_out": waits_left_out})
    }

    fn node(&self, pid: i32, now: Time) -> Value {
        let session = self.session(pid);
        let waiting = self.edges.contains_key(&pid);
        let label = match session {
            Some(s) => format!("{} / {}", s.user.as_deref().unwrap_or("?"), s.application),
            None if pid == 0 => "prepared transaction".to_owned(),
            None => "not seen".to_owned(),
        };
        let since = session.and_then(|s| {
            if waiting {
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
            "mode": self.wait(pid).map(|w| w.mode.clone()),
            "waiting": waiting,
        })
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
        assert_eq!(graph.trees.len(), 1);
        let tree = &graph.trees[0];
        assert_eq!(
            (
                tree.root.pid,
                tree.root.waiters.len(),
                graph.waiters(),
                tree.depth
            ),
            (1, 3, 3, 2)
        );
        let lever = graph.lever(graph.trees.first());
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
        let waits = [wait];
        let graph = build(&all, &waits);
        let lever = graph.lever(graph.trees.first());
        assert_eq!(
            (lever.kind, lever.pid, lever.frees),
            ("cancel_waiting_ddl", Some(2), 2)
        );
    }

    #[test]
    fn a_circle_has_no_root_and_some_roots_are_for_people() {
        let circle = [blocked(1, &[2]), blocked(2, &[1])];
        let lever = |all: &[Session]| {
            let graph = build(all, &[]);
            graph.lever(graph.trees.first())
        };
        assert_eq!(lever(&circle).kind, "none");
        let mut boss = session(1);
        boss.superuser = true;
        let all = [boss, blocked(2, &[1])];
        assert!(lever(&all).person.contains("superuser"));
        let prepared = [blocked(2, &[0])];
        assert!(lever(&prepared).person.contains("prepared"));
    }

    fn wants(pid: i32) -> LockWait {
        LockWait {
            pid,
            locktype: "relation".into(),
            mode: "AccessExclusiveLock".into(),
            relation: Some("public.t".into()),
            since: None,
            blocked_by: vec![],
        }
    }

    #[test]
    fn a_queue_of_five_hundred_is_walked_once_and_drawn_in_part() {
        // Everybody waits for the holder and for all before it, and the head of the queue has many readers before it.
        let mut all: Vec<Session> = (1..=100).map(session).collect();
        for pid in 101..=600 {
            let before: Vec<i32> = (1..pid).collect();
            all.push(blocked(pid, &before));
        }
        let edges: usize = all.iter().map(|s| s.blocked_by.len()).sum();
        let waits: Vec<LockWait> = (101..=600).map(wants).collect();
        let graph = build(&all, &waits);
        assert_eq!((graph.trees.len(), graph.waiters()), (1, 500));
        let tree = &graph.trees[0];
        assert_eq!((tree.root.waiters.len(), tree.others.len()), (500, 99));
        // Once for all roots, once for the first DDL.
        assert!(graph.walked <= 2 * edges, "{} of {edges}", graph.walked);
        assert_eq!(
            tree.ddl.as_ref().map(|d| (d.pid, d.behind.len())),
            Some((101, 499))
        );
        let drawn = graph.drawing(tree, Time::from_millis(0));
        let len = |key: &str| drawn[key].as_array().map_or(0, Vec::len);
        assert_eq!((len("nodes"), &drawn["left_out"]), (200, &json!(400)));
        assert!(len("edges") <= 400, "{}", len("edges"));
        assert_eq!(drawn["edges_left_out"], json!(edges - len("edges")));
    }

    #[test]
    fn a_small_tree_is_drawn_whole() {
        let all = [session(1), blocked(2, &[1]), blocked(3, &[2, 1])];
        let graph = build(&all, &[]);
        let drawn = graph.drawing(&graph.trees[0], Time::from_millis(3000));
        assert_eq!(drawn["nodes"][0]["pid"], 1);
        assert_eq!(drawn["nodes"][1]["age_ms"], 1000);
        assert_eq!(
            drawn["edges"],
            json!([{"from": 2, "to": 1}, {"from": 3, "to": 2}, {"from": 3, "to": 1}])
        );
        assert_eq!(
            (&drawn["left_out"], &drawn["edges_left_out"]),
            (&json!(0), &json!(0))
        );
    }

    #[test]
    fn trees_that_share_nobody_are_told_apart() {
        let mut all = vec![session(1), session(2), session(3)];
        all.extend([blocked(10, &[1]), blocked(11, &[10]), blocked(12, &[1])]);
        // One waiter of two holders makes them one tree.
        all.extend([blocked(20, &[2]), blocked(21, &[2, 3])]);
        all[4].query_start = Some(Time::from_millis(5));
        all[7].query_start = Some(Time::from_millis(9));
        let graph = build(&all, &[]);
        let seen: Vec<(i32, usize, usize)> = graph
            .trees
            .iter()
            .map(|t| (t.root.pid, t.waiters.len(), t.others.len()))
            .collect();
        assert_eq!(seen, [(1, 3, 0), (2, 2, 1)]);
        assert_eq!(graph.trees[1].others[0].pid, 3);
        let levers: Vec<usize> = graph.trees.iter().map(|t| graph.lever(Some(t)).frees).collect();
        assert_eq!(levers, [3, 2]);
        assert_eq!((graph.behind(3), graph.behind(10)), (1, 0));
    }

    #[test]
    fn a_ddl_that_few_stand_behind_is_not_the_lever() {
        let mut all = vec![session(1), blocked(2, &[1]), blocked(3, &[2])];
        all.extend((4..8).map(|p| blocked(p, &[1])));
        let waits = [wants(2)];
        let graph = build(&all, &waits);
        let lever = graph.lever(graph.trees.first());
        assert_eq!((lever.kind, lever.frees), ("cancel_running_holder", 6));
        // Half of them do.
        all.truncate(4);
        all.push(blocked(9, &[2]));
        let graph = build(&all, &waits);
        assert_eq!(graph.lever(graph.trees.first()).kind, "cancel_waiting_ddl");
    }
}
