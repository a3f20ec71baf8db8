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
fn what_stands_beside_the_servers_has_its_causes_too() {
    for (root, symptom, target) in [
        ("pool.paused", "pool.exhausted", "shop/bouncer"),
        ("pool.login_failing", "pool.exhausted", "shop/bouncer"),
        ("pool.down", "app.error_rate", "shop/notes"),
        ("connections.role_limit", "pool.login_failing", "shop/bouncer"),
        ("cache.unreachable", "limits.degraded", "shop/cache"),
        ("cache.evictions", "cache.hit_rate", "shop/cache"),
    ] {
        let at = if root.starts_with("cache") {
            "shop/cache"
        } else {
            "shop/bouncer"
        };
        assert_eq!(
            told(&[(symptom, target), (root, at)]),
            [(root.to_owned(), vec![symptom.to_owned()])]
        );
    }
    // A slow pool behind a lock reaches the application in two steps.
    let story = told(&[
        ("app.error_rate", "shop/notes"),
        ("pool.exhausted", "shop/bouncer"),
        ("connections.leak", "shop/bouncer"),
    ]);
    assert_eq!(
        (story.len(), story[0].0.as_str(), story[0].1.len()),
        (1, "connections.leak", 2)
    );
    // Another pooler's pause is another story.
    let story = told(&[("pool.exhausted", "shop/other"), ("pool.paused", "shop/bouncer")]);
    assert_eq!(story.len(), 2, "{story:?}");
}

#[test]
fn what_is_only_nearly_full_explains_no_error() {
    let snapshot = Snapshot::new("shop", Time::from_millis(0));
    let roots = |severity: Severity| {
        let mut full = finding("cache.memory", "shop/cache");
        full.severity = severity;
        let all = [full, finding("app.error_rate", "shop/notes")];
        correlate(&snapshot, &all).roots.len()
    };
    assert_eq!((roots(Severity::Critical), roots(Severity::Warning)), (1, 2));
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

fn with(kind: &str, target: &str, evidence: serde_json::Value) -> Finding {
    let mut f = finding(kind, target);
    if let serde_json::Value::Object(map) = evidence {
        f.evidence = map;
    }
    f
}

#[test]
fn a_slot_explains_only_the_standby_that_uses_it() {
    let snapshot = Snapshot::new("shop", Time::from_millis(0));
    let slot = |kind: &str, target: &str, name: &str| with(kind, target, serde_json::json!({"slot": name}));
    let of = |all: Vec<Finding>| -> Vec<(String, usize)> {
        let roots = correlate(&snapshot, &all).roots;
        roots
            .into_iter()
            .map(|r| (r.cause.kind, r.symptoms.len()))
            .collect()
    };
    let lost = slot("replication.slot_lost", "shop/a", "standby_b");
    assert_eq!(
        of(vec![
            lost.clone(),
            slot("replication.broken", "shop/b", "standby_b")
        ]),
        [("replication.slot_lost".to_owned(), 1)]
    );
    assert_eq!(
        of(vec![
            lost.clone(),
            slot("replication.broken", "shop/c", "standby_c")
        ])
        .len(),
        2
    );
    assert_eq!(
        of(vec![
            slot("replication.slot_lost", "shop/a", ""),
            slot("replication.broken", "shop/c", "")
        ])
        .len(),
        2,
        "no slot is nobody's slot"
    );
}

#[test]
fn a_chain_of_any_length_has_one_root() {
    let mut snapshot = Snapshot::new("shop", Time::from_millis(0));
    snapshot.servers.push(ServerView::unread("b", "shop/b", "h:2"));
    let all = [
        with("server.down", "shop/b", serde_json::Value::Null),
        with(
            "replication.broken",
            "shop/b",
            serde_json::json!({"slot": "standby_b"}),
        ),
        with(
            "wal.slot_retention",
            "shop/a",
            serde_json::json!({"slot": "standby_b"}),
        ),
        with("disk.wal_filling", "shop/a", serde_json::Value::Null),
    ];
    let told = correlate(&snapshot, &all);
    assert_eq!(told.roots.len(), 1, "{:?}", told.roots);
    assert_eq!(
        (told.roots[0].cause.kind.as_str(), told.roots[0].symptoms.len()),
        ("server.down", 3)
    );
}

#[test]
fn what_is_only_worth_knowing_hides_nothing() {
    let snapshot = Snapshot::new("shop", Time::from_millis(0));
    let mut info = finding("settings.invalid", "shop/a");
    info.severity = Severity::Info;
    let refused = finding("server.start_refused", "shop/a");
    let told = correlate(&snapshot, &[info, refused]);
    assert_eq!(told.roots.len(), 1);
    assert_eq!(told.roots[0].cause.kind, "server.start_refused");
    assert_eq!(told.rest.len(), 1);
}

#[test]
fn two_primaries_are_p0() {
    let snapshot = Snapshot::new("shop", Time::from_millis(0));
    let told = correlate(&snapshot, &[finding("server.split_brain", "shop")]);
    assert_eq!(told.roots[0].severity, IncidentSeverity::P0);
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
