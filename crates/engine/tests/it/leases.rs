//! Leases in the engine: who does not hold one neither writes nor acts, and says so first.

use std::sync::Arc;

use muster_engine::journal::JournalError;
use muster_engine::lease::{LeaseStore, Leases, MemoryLeases};
use muster_engine::{Driven, EngineError, Event, Starter, Stop};
use muster_model::{RunOutcome, RunState, Span};

use crate::fake::{World, approved, book, drive, engine, engine_with, request, shelve, world};

const TTL: Span = Span::from_secs(15);

fn leases(store: &Arc<MemoryLeases>, owner: &str) -> Leases {
    Leases::new(store.clone(), owner, TTL)
}

/// A plan that is approved, and what it is about.
async fn first_owner(
    dir: &std::path::Path,
    things: &crate::fake::Shared,
    store: &Arc<MemoryLeases>,
) -> (muster_engine::Engine, String) {
    let engine = engine_with(dir, things, leases(store, "a"));
    let id = approved(&engine).await;
    (engine, id)
}

#[tokio::test]
async fn another_owner_of_the_run_or_its_cluster_makes_it_wait() {
    for key in ["run", "cluster"] {
        let dir = tempfile::tempdir().expect("dir");
        let things = world(2);
        let store = Arc::new(MemoryLeases::default());
        let (engine, id) = first_owner(dir.path(), &things, &store).await;
        let key = if key == "run" {
            format!("run-{id}")
        } else {
            "cluster-77".to_owned()
        };
        let theirs = store.acquire(&key, "b", TTL).await.expect("free");
        let driven = drive(&engine, &id).await;
        let Driven::Waiting(run, why) = &driven else {
            panic!("{driven:?}")
        };
        assert!(why.contains("belongs to b"), "{why}");
        assert_eq!(run.state, RunState::Waiting { what: "lease".into() });
        assert!(things.lock().expect("lock").ended.is_empty());
        store.release(&theirs).await.expect("gives back");
        let driven = drive(&engine, &id).await;
        assert_eq!(driven.run().outcome, Some(RunOutcome::Proven));
    }
}

/// Both were approved, and are driven by one process at the same time: one changes the cluster, the other waits for it, and
/// goes on by itself. No approval is spent for nothing.
#[tokio::test]
async fn of_two_runs_on_one_cluster_one_waits_for_the_other() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let engine = engine(dir.path(), &things);
    let a = approved(&engine).await;
    let runbook = shelve(&engine, &book("thing.end@1", "escalate"));
    let whole = muster_engine::planner::Request {
        target: "shop".into(),
        ..request("daemon")
    };
    let b = engine.plan(&runbook, whole).await.expect("plans").plan.id;
    engine.approve(&b, "bo", None, None).expect("approves");
    let (first, second) = tokio::join!(drive(&engine, &a), drive(&engine, &b));
    assert_eq!(first.run().outcome, Some(RunOutcome::Proven), "{first:?}");
    let Driven::Waiting(run, why) = &second else {
        panic!("{second:?}")
    };
    assert_eq!(run.state, RunState::Waiting { what: "lease".into() });
    assert!(why.contains("another run of this Muster"), "{why}");
    // The things are gone by now, so there is nothing left to do; but it was not refused.
    let driven = drive(&engine, &b).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Nothing), "{driven:?}");
    let refused = engine.journal().of_kind("refused").expect("reads");
    assert!(refused.is_empty(), "{refused:?}");
}

/// Leases of runs that are over leave nothing behind; what slept through the end learns it from the lease on its cluster.
#[tokio::test]
async fn a_run_that_is_over_leaves_no_lease_behind() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(1);
    let engine = engine(dir.path(), &things);
    let files = || {
        let all = std::fs::read_dir(dir.path().join("leases"))
            .expect("reads")
            .flatten();
        let mut names: Vec<String> = all
            .map(|f| f.file_name().to_string_lossy().into_owned())
            .collect();
        names.retain(|n| n.starts_with("run-"));
        names
    };
    std::fs::write(dir.path().join("leases/run-r-old.3"), "{}").expect("writes");
    let id = approved(&engine).await;
    engine.sweep().await.expect("sweeps");
    assert_eq!(files(), [""; 0], "one of before");
    let driven = drive(&engine, &id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
    assert_eq!(files(), [""; 0], "its own");
}

/// Stopped for longer than its lease in the middle of an effect: it wakes up, may not write, and does nothing more; who
/// took over looks first, and comes to the same end.
#[tokio::test]
async fn who_slept_through_its_lease_neither_writes_nor_acts() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    let store = Arc::new(MemoryLeases::default());
    let (first, id) = first_owner(dir.path(), &things, &store).await;
    let (s, d, t, i) = (store.clone(), dir.path().to_owned(), things.clone(), id.clone());
    let taken_over = Arc::new(tokio::sync::Notify::new());
    let told = taken_over.clone();
    things.lock().expect("lock").before_effect = Some(Box::new(move |n| {
        if n != 2 {
            return;
        }
        // Here the process is stopped, and the other one takes over and finishes.
        s.pass(TTL);
        let (s, d, t, i) = (s.clone(), d.clone(), t.clone(), i.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("runtime");
                runtime.block_on(async {
                    let second = engine_with(&d, &t, leases(&s, "b"));
                    let driven = drive(&second, &i).await;
                    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
                });
            });
        });
        told.notify_one();
    }));
    let woke = first
        .drive(&id, Starter::Person("ana".into()), &Stop::default())
        .await;
    assert!(
        matches!(
            &woke,
            Err(EngineError::Journal(
                JournalError::Fenced { ours: 1, now: 2, .. } | JournalError::Twice { .. }
            ))
        ),
        "{woke:?}"
    );
    tokio::time::timeout(std::time::Duration::from_secs(5), taken_over.notified())
        .await
        .expect("taken over");
    let world = things.lock().expect("lock");
    assert!(world.ended.values().all(|n| *n == 1), "ended twice: {world:?}");
    assert!(world.things.is_empty());
    drop(world);
    let entries = first.journal().whole_run(&id).expect("whole");
    let taken: Vec<_> = entries
        .iter()
        .filter(|e| matches!(&e.event, Event::LeaseTaken { from, .. } if from == "a"))
        .collect();
    assert_eq!(taken.len(), 2, "the run and the cluster: {taken:?}");
    let observed = entries
        .iter()
        .position(|e| matches!(e.event, Event::Observed { .. }))
        .expect("looked first");
    assert!(
        entries[..observed].iter().any(|e| e.seq == taken[1].seq),
        "taking over is said before anything else"
    );
}

/// The lease runs out and nobody takes it: that is written down first, and the run parks; it goes on when it has it again.
#[tokio::test]
async fn a_lease_that_cannot_be_renewed_parks_the_run() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    let store = Arc::new(MemoryLeases::default());
    let (engine, id) = first_owner(dir.path(), &things, &store).await;
    let s = store.clone();
    things.lock().expect("lock").before_effect = Some(Box::new(move |n| {
        if n == 2 {
            // Away from the store for too long: it does not answer any more, and the lease ends.
            s.fail(true);
            s.pass(TTL);
        }
    }));
    let driven = drive(&engine, &id).await;
    let Driven::Parked(run) = &driven else {
        panic!("{driven:?}")
    };
    assert!(run.detail.contains("was lost"), "{}", run.detail);
    let entries = engine.journal().whole_run(&id).expect("whole");
    let last: Vec<_> = entries.iter().rev().take(2).map(|e| &e.event).collect();
    assert!(
        matches!(last[..], [Event::Parked { .. }, Event::LeaseLost { .. }]),
        "{last:?}"
    );
    assert!(
        !things.lock().expect("lock").things.is_empty(),
        "the third was left alone"
    );
    store.fail(false);
    things.lock().expect("lock").before_effect = None;
    let driven = drive(&engine, &id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
    let World { ended, .. } = &*things.lock().expect("lock");
    assert!(ended.values().all(|n| *n == 1), "{ended:?}");
}

/// A proof takes as long as it takes, whatever somebody does to the clock on the wall meanwhile.
#[tokio::test]
async fn a_clock_that_is_set_during_a_proof_makes_it_neither_shorter_nor_longer() {
    for skew in [-3600, 60, 3600] {
        let dir = tempfile::tempdir().expect("dir");
        let things = world(1);
        let engine = engine(dir.path(), &things);
        let id = approved(&engine).await;
        things.lock().expect("lock").skew_after = Some((8, skew));
        let driven = drive(&engine, &id).await;
        assert_eq!(
            driven.run().outcome,
            Some(RunOutcome::Proven),
            "{skew} s: {driven:?}"
        );
        assert_eq!(things.lock().expect("lock").skew, skew, "it was set in the proof");
        let entries = engine.journal().of_run(&id).expect("reads");
        let held = entries.iter().find_map(|e| match e.event {
            Event::Verified { held_ms, .. } => Some(held_ms),
            _ => None,
        });
        assert!(
            held.is_some_and(|ms| (10_000..11_000).contains(&ms)),
            "{skew} s: {held:?}"
        );
    }
}

/// Somebody sets the clock in the middle of a run: backwards changes nothing, forwards past the end of the plan stops it
/// by name; the leases are on another clock.
#[tokio::test]
async fn a_clock_that_is_set_never_makes_an_effect_happen_twice_or_a_run_hang() {
    for (skew, outcome, touched) in [
        (-3600, RunOutcome::Proven, 2),
        (60, RunOutcome::Proven, 2),
        (3600, RunOutcome::Refused, 1),
    ] {
        let dir = tempfile::tempdir().expect("dir");
        let things = world(2);
        let engine = engine(dir.path(), &things);
        let id = approved(&engine).await;
        let wall = things.clone();
        things.lock().expect("lock").before_effect =
            Some(Box::new(move |_| wall.lock().expect("lock").skew = skew));
        let driven = drive(&engine, &id).await;
        assert_eq!(driven.run().outcome, Some(outcome), "{skew} s: {driven:?}");
        let world = things.lock().expect("lock");
        assert_eq!(world.ended.len(), touched, "{skew} s: {world:?}");
        assert!(world.ended.values().all(|n| *n == 1));
        if outcome == RunOutcome::Refused {
            assert!(driven.run().detail.contains("expired"), "{}", driven.run().detail);
        }
    }
}
