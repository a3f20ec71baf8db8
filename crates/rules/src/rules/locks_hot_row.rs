//! `locks.hot_row`: many sessions queue for the same row, each for its turn.
//!
//! What tells it from a chain: the root. A chain has one holder that stays; a hot row has another one at every look, new
//! waiters come as fast as old ones get their turn, and ending any session frees nobody for long. How long somebody has
//! waited is told by the age of the statement: the wait itself begins anew with every holder.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::snapshot::{ServerView, Session};
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "locks.hot_row",
    title: "Many sessions queue for one row",
    about: "At least `waiters` sessions wait for a row (lock types tuple and transactionid), no session has held it for \
            longer than `steady`, that has gone on for `for`, and at least half of those who wait came since: each gets its \
            turn, and the queue stays.",
    ignores: "A chain whose root stays (locks.blocking_chain). A queue that drains after its holder has gone: nobody new \
              comes. Waits for whole tables.",
    advice: "No session is to be ended. Make the transaction that updates the row shorter and the update its last statement; \
             split the counter over several rows, or gather the changes and write them in one go; SKIP LOCKED for job queues.",
    needs: &["activity", "locks"],
    keys: &[
        KeyInfo {
            key: "waiters",
            default: "5",
            about: "so many wait for a row",
        },
        KeyInfo {
            key: "warning",
            default: "1s",
            about: "longest wait: the age of a statement that waits",
        },
        KeyInfo {
            key: "critical",
            default: "10s",
            about: "longest wait: an incident",
        },
        KeyInfo {
            key: "steady",
            default: "3s",
            about: "a session that holds the row for so long is the root of a chain",
        },
        KeyInfo {
            key: "for",
            default: "6s",
            about: "for so long the holder changes",
        },
    ],
    specimen: || pictures(9, 8, Span::from_secs(4)),
    lookalike: || {
        let chain = sample::vacuum::row_chain(8, Span::from_secs(4));
        let moved = (0..9).map(|i| sample::vacuum::moved(chain.clone(), i));
        sample::over_time(moved)
    },
};

/// A queue for a row, as rules see it.
pub(super) struct Queue {
    /// Those who held it at this look.
    pub(super) roots: BTreeSet<i32>,
    waiters: usize,
    relation: Option<String>,
    owner: String,
    statement: Option<String>,
    oldest: Span,
    lasts: Span,
}

pub(super) fn rule(c: &mut Context<'_>) {
    let critical = c.span(INFO.kind, "critical");
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        if c.part(INFO.kind, server, &server.activity, "its sessions")
            .is_none()
            || c.part(INFO.kind, server, &server.locks, "who waits for which lock")
                .is_none()
        {
            continue;
        }
        if server.activity.as_ref().is_some_and(|a| !a.value.sees_all) {
            c.lacks(
                INFO.kind,
                &server.address,
                "who waits for a lock: the state of other roles' sessions is not seen",
            );
        }
        let Some(queue) = queue(c, server) else { continue };
        let incident = queue.oldest >= critical;
        let severity = if incident {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let row = match (&queue.relation, &queue.statement) {
            (Some(table), _) => format!("a row of {table}"),
            (None, Some(statement)) => {
                format!("one row ({})", statement.chars().take(80).collect::<String>())
            }
            (None, None) => "one row".to_owned(),
        };
        let mut f = finding(
            INFO.kind,
            severity,
            &server.address,
            // The table is not told at every look; who queues is.
            Subject::new("owner", &queue.owner),
            c.now().minus(queue.lasts),
            format!(
                "{} sessions queue for {row} and get it one after the other, the longest waits {}; another session holds it at \
                 every look, so ending one frees nobody for long",
                queue.waiters,
                queue.oldest.human()
            ),
        );
        f.incident = incident;
        f.ruled_out = vec![format!(
            "a chain: in {} no session held the row for {}",
            queue.lasts.human(),
            c.span(INFO.kind, "steady").human()
        )];
        f.evidence = evidence(json!({
            "pid": queue.roots.first(), "roots": queue.roots, "waiters": queue.waiters, "relation": queue.relation,
            "owner": queue.owner, "statement": queue.statement, "oldest_wait_ms": queue.oldest.millis(), "lasts_ms": queue.lasts.millis(),
        }));
        c.findings.push(f);
    }
}

/// The queue for a row on a server, once it is told from a chain and from a queue that drains.
pub(super) fn queue<'a>(c: &mut Context<'a>, server: &'a ServerView) -> Option<Queue> {
    let (many, warning) = (c.number(INFO.kind, "waiters"), c.span(INFO.kind, "warning"));
    let (steady, lasting) = (c.span(INFO.kind, "steady"), c.span(INFO.kind, "for"));
    let now = c.now();
    let activity = server.activity.as_ref().filter(|_| server.answers())?;
    let waits = &server.locks.as_ref()?.value.waits;
    let rows: BTreeMap<i32, _> = waits
        .iter()
        .filter(|w| matches!(w.locktype.as_str(), "tuple" | "transactionid"))
        .map(|w| (w.pid, w))
        .collect();
    let graph = c.graph(server)?;
    let mut roots = BTreeSet::new();
    let (mut turns, mut chained) = (BTreeSet::new(), BTreeSet::new());
    for root in graph.roots() {
        let behind: BTreeSet<i32> = root
            .waiters
            .iter()
            .filter(|p| rows.contains_key(p))
            .copied()
            .collect();
        if behind.is_empty() {
            continue;
        }
        // The same session in another transaction is another holder.
        let began = root.session.and_then(|s| s.xact_start);
        let turn = began.map_or(0, muster_model::Time::micros);
        let held = c.held(&format!(
            "{} {} root {}@{turn}",
            INFO.kind, server.address, root.pid
        ));
        if held < steady {
            roots.insert(root.pid);
            turns.extend(behind);
        } else {
            chained.extend(behind);
        }
    }
    let turns: Vec<i32> = turns.difference(&chained).copied().collect();
    if turns.is_empty() {
        return None;
    }
    let lasts = c.held(&format!("{} {} changes", INFO.kind, server.address));
    let began = now.minus(lasts);
    let sessions: Vec<&Session> = activity
        .value
        .sessions
        .iter()
        .filter(|s| turns.contains(&s.pid))
        .collect();
    let since: Vec<_> = sessions
        .iter()
        .map(|s| s.query_start.or(rows[&s.pid].since).unwrap_or(now))
        .collect();
    let came = since.iter().filter(|t| **t >= began).count();
    let oldest = since.iter().min().map_or(Span::ZERO, |t| now.since(*t));
    let crowded = f64::from(u32::try_from(turns.len()).unwrap_or(u32::MAX)) >= many;
    if !crowded || lasts < lasting || oldest < warning || came * 2 < turns.len() {
        return None;
    }
    Some(Queue {
        roots,
        waiters: turns.len(),
        relation: most(turns.iter().filter_map(|p| rows[p].relation.clone())),
        owner: most(sessions.iter().map(|s| s.owner())).unwrap_or_default(),
        statement: most(sessions.iter().filter_map(|s| s.query.clone())),
        oldest,
        lasts,
    })
}

/// What is named most often.
fn most(names: impl Iterator<Item = String>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, n)| *n).map(|(name, _)| name)
}

/// A hot row, seen every second: another holder at every look, and waiters as long as ever.
fn pictures(seconds: i32, waiters: i32, oldest: Span) -> Vec<muster_model::Snapshot> {
    let looks = (0..seconds).map(|i| {
        let look = sample::vacuum::row_queue(10 + i, waiters, oldest);
        sample::vacuum::moved(look, u64::from(i.unsigned_abs()))
    });
    sample::over_time(looks)
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot, Span};

    use super::super::sample::looks;
    use super::super::sample::vacuum::{moved, row_chain, row_queue};
    use crate::correlate;
    use crate::judge::Judgement;

    /// Looks a second apart at a row whose holder stays for so many of them.
    fn hot(looks: u32, stays: u32, waiters: i32, oldest: Span) -> Vec<Snapshot> {
        (0..looks)
            .map(|i| {
                let root = 10 + i32::try_from(i / stays).expect("small");
                moved(row_queue(root, waiters, oldest), u64::from(i))
            })
            .collect()
    }

    fn said(j: &Judgement) -> Option<(Severity, bool)> {
        let f = j.findings.iter().find(|f| f.kind == "locks.hot_row")?;
        Some((f.severity, f.incident))
    }

    fn chain(j: &Judgement) -> Option<bool> {
        let f = j.findings.iter().find(|f| f.kind == "locks.blocking_chain")?;
        Some(f.incident)
    }

    #[test]
    fn a_queue_whose_holder_changes_is_a_hot_row_and_the_chain_is_its_symptom() {
        let pictures = hot(7, 1, 8, Span::from_secs(4));
        let j = looks(pictures.clone());
        assert_eq!(said(&j), Some((Severity::Warning, false)));
        assert_eq!(chain(&j), Some(false), "no incident of a chain");
        let told = correlate(&pictures[6], &j.findings);
        assert_eq!(told.roots.len(), 1, "{told:?}");
        assert_eq!(told.roots[0].cause.kind, "locks.hot_row");
        assert!(!told.roots[0].opens);
        let f = &told.roots[0].cause;
        assert!(
            f.summary
                .starts_with("8 sessions queue for a row of public.counters"),
            "{}",
            f.summary
        );
        // Long waits are an incident: of the row, and of nothing else.
        let j = looks(hot(7, 1, 8, Span::from_secs(12)));
        assert_eq!(
            (said(&j), chain(&j)),
            (Some((Severity::Critical, true)), Some(false))
        );
        // Holders that keep it for some seconds each.
        let j = looks(hot(9, 3, 8, Span::from_secs(4)));
        assert_eq!(
            (said(&j), chain(&j)),
            (Some((Severity::Warning, false)), Some(false))
        );
    }

    #[test]
    fn at_the_edges_it_is_silent() {
        let found = |looked, stays, waiters, oldest_ms| {
            said(&looks(hot(looked, stays, waiters, Span::from_millis(oldest_ms))))
        };
        assert!(found(7, 1, 8, 4000).is_some());
        assert_eq!(found(6, 1, 8, 4000), None, "not yet for 6 s");
        assert_eq!(found(12, 4, 8, 4000), None, "each holds it for long");
        assert_eq!(found(9, 1, 4, 4000), None, "four wait");
        assert_eq!(found(9, 1, 8, 900), None, "short waits");
    }

    #[test]
    fn a_chain_and_a_queue_that_drains_are_no_hot_row() {
        let j = looks((0..9).map(|i| moved(row_chain(8, Span::from_secs(9)), i)));
        assert_eq!((said(&j), chain(&j)), (None, Some(true)));
        // Its holder is gone; the waiters get their turn, and nobody new comes.
        let drains = (0..14).map(|i| row_queue(10 + i, 20 - i, Span::from_secs(60)));
        let drains = drains.map(|mut s| {
            let sessions = &mut s.servers[0].activity.as_mut().expect("activity").value.sessions;
            for waiter in sessions.iter_mut().skip(1) {
                waiter.query_start = waiter.query_start.map(|t| t.minus(Span::from_secs(60)));
            }
            s
        });
        assert_eq!(said(&looks(drains)), None);
    }

    #[test]
    fn locks_that_were_not_read_are_unknown() {
        let mut s = row_queue(1, 1, Span::from_secs(1));
        s.servers[0].locks = None;
        let j = looks([s]);
        assert!(j.unknown.iter().any(|u| u.kind == "locks.hot_row"));
    }
}
