//! One cause for many findings; the same answer for the same input; no panic on anything.

use muster_model::snapshot::{Reach, Rung, ServerView};
use muster_model::{Finding, IncidentSeverity, Record, Severity, Snapshot, Subject, Time};
use muster_rules::{Mode, RuleState, correlate, defaults, judge};
use proptest::prelude::*;

fn finding(kind: &str, target: &str) -> Finding {
    Finding {
        kind: kind.into(),
        severity: Severity::Critical,
        target: target.into(),
        subject: Subject::new("x", target),
        summary: kind.into(),
        since: Time::from_millis(0),
        evidence: Record::new(),
        remedy: None,
        cause: false,
        pending: false,
        incident: true,
        ruled_out: vec![],
    }
}

fn told(kinds: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    let snapshot = Snapshot::new("shop", Time::from_millis(0));
    let all: Vec<Finding> = kinds.iter().map(|(k, t)| finding(k, t)).collect();
    correlate(&snapshot, &all)
        .roots
        .into_iter()
        .map(|r| (r.cause.kind, r.symptoms.into_iter().map(|s| s.kind).collect()))
        .collect()
}

#[test]
fn a_leak_explains_the_pool_and_a_lock_tree_explains_a_slow_pool() {
    assert_eq!(
        told(&[
            ("pool.exhausted", "shop/bouncer"),
            ("connections.leak", "shop/bouncer")
        ]),
        [("connections.leak".to_owned(), vec!["pool.exhausted".to_owned()])]
    );
    let all = [
        ("pool.exhausted", "shop/bouncer"),
        ("pool.slow_server", "shop/bouncer"),
        ("locks.blocking_chain", "shop/a"),
        ("locks.idle_in_transaction", "shop/a"),
    ];
    let story = told(&all);
    assert_eq!(story.len(), 1, "{story:?}");
    assert_eq!(
        (story[0].0.as_str(), story[0].1.len()),
        ("locks.blocking_chain", 3)
    );
}

#[test]
fn independent_roots_stay_two() {
    let story = told(&[
        ("replication.broken", "shop/b"),
        ("connections.leak", "shop/bouncer"),
    ]);
    assert_eq!(story.len(), 2, "{story:?}");
}

#[test]
fn a_dead_primary_is_p0_and_explains_its_broken_standbys() {
    let mut snapshot = Snapshot::new("shop", Time::from_millis(10_000));
    let mut a = ServerView::unread("a", "shop/a", "h:1");
    let since = Time::from_millis(0);
    a.reach = Reach::Down {
        rung: Rung::Tcp,
        reason: "refused".into(),
        misses: 5,
        since,
    };
    snapshot.servers.push(a);
    let (_, judged) = judge(&RuleState::default(), &snapshot, &defaults(), Mode::Watch);
    let told = correlate(&snapshot, &judged.findings);
    assert_eq!(told.roots[0].cause.kind, "server.down");
    assert_eq!(
        told.roots[0].severity,
        IncidentSeverity::P1,
        "its role was never read: it may be a standby"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_answer(
        at in 0i64..1_000_000_000,
        misses in 0u32..9,
        since in 0i64..1_000_000_000,
        picks in proptest::collection::vec((0usize..14, 0usize..3), 0..12),
    ) {
        const KINDS: [&str; 14] = ["pool.exhausted", "connections.leak", "locks.blocking_chain", "server.down",
            "replication.broken", "locks.ddl_queue", "locks.hot_row", "locks.orphaned_prepared", "locks.idle_in_transaction",
            "transactions.long", "vacuum.xmin_holder", "vacuum.starved", "vacuum.freeze_pressure", "vacuum.wraparound_stop"];
        const TARGETS: [&str; 3] = ["shop/a", "shop/b", "shop/bouncer"];
        let mut snapshot = Snapshot::new("shop", Time::from_millis(at));
        let mut a = ServerView::unread("a", "shop/a", "h:1");
        let since = Time::from_millis(since);
        a.reach = Reach::Down { rung: Rung::Dns, reason: "x".into(), misses, since };
        snapshot.servers.push(a);
        let once = judge(&RuleState::default(), &snapshot, &defaults(), Mode::Check);
        prop_assert_eq!(&once, &judge(&RuleState::default(), &snapshot, &defaults(), Mode::Check));
        let all: Vec<Finding> = picks.iter().map(|(k, t)| finding(KINDS[*k], TARGETS[*t])).collect();
        let told = correlate(&snapshot, &all);
        prop_assert_eq!(&told, &correlate(&snapshot, &all));
        for f in &all {
            prop_assert!(told.all().iter().any(|g| g.key() == f.key()), "{} is lost", f.kind);
        }
    }
}
