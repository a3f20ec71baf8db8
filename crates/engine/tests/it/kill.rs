//! Killed at every journal append, before and after the commit: after a restart the final state is the same, and
//! nothing was done twice.

use muster_engine::{Starter, Stop};
use muster_model::RunOutcome;

use crate::fake::{book, drive, engine, plan, request, shelve, world};

async fn killed_at(
    number: u64,
    after: bool,
    action: &str,
    on_fail: &str,
    stubborn: Option<u32>,
) -> Option<RunOutcome> {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    things.lock().expect("lock").stubborn = stubborn.into_iter().collect();
    let first = engine(dir.path(), &things);
    let id = plan(&first, &book(action, on_fail), "daemon").await.plan.id;
    first.approve(&id, "bo", None, None).expect("approves");
    let base = first.journal().head().expect("head").0;
    first
        .journal()
        .on_append(Box::new(move |n, done| done == after && n == base + number));
    let died = first
        .drive(&id, Starter::Person("ana".into()), &Stop::default())
        .await
        .is_err();
    drop(first);
    let second = engine(dir.path(), &things);
    let driven = drive(&second, &id).await;
    second.journal().verify().expect("chain");
    let world = things.lock().expect("lock");
    assert!(
        world.ended.values().all(|n| *n == 1),
        "killed at {number}: ended twice: {world:?}"
    );
    if on_fail == "escalate" {
        assert!(world.things.is_empty(), "killed at {number}: {world:?}");
        assert_eq!(
            driven.run().outcome,
            Some(RunOutcome::Proven),
            "killed at {number}"
        );
    } else {
        assert_eq!(world.things.len(), 3, "killed at {number}: {world:?}");
        assert_eq!(
            driven.run().outcome,
            Some(RunOutcome::Undone),
            "killed at {number}"
        );
    }
    died.then_some(RunOutcome::Proven)
}

#[tokio::test]
async fn the_final_state_is_the_same_wherever_it_dies() {
    for after in [false, true] {
        let mut number = 1;
        while killed_at(number, after, "thing.end@1", "escalate", None)
            .await
            .is_some()
        {
            number += 1;
        }
        assert!(number > 9, "the run has only {number} appends");
        let mut number = 1;
        while killed_at(number, after, "thing.hide@1", "undo", Some(3))
            .await
            .is_some()
        {
            number += 1;
        }
        assert!(number > 12, "the run has only {number} appends");
    }
}

/// A plan that found nothing to do is over, also when the last word is missing; nobody looks again, and comes to another end.
#[tokio::test]
async fn a_plan_that_changes_nothing_ends_as_it_was_made() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(0);
    let first = engine(dir.path(), &things);
    first.journal().on_append(Box::new(|n, done| !done && n == 2));
    let runbook = shelve(&first, &book("thing.end@1", "escalate"));
    assert!(
        first.plan(&runbook, request("daemon")).await.is_err(),
        "killed before the last word"
    );
    drop(first);
    things.lock().expect("lock").things.insert(1, 0);
    let second = engine(dir.path(), &things);
    let (plan, _) = second.open_runs().expect("reads").remove(0);
    let driven = drive(&second, &plan.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Nothing), "{driven:?}");
    assert!(
        driven.run().detail.contains("count > 0"),
        "{}",
        driven.run().detail
    );
    assert!(things.lock().expect("lock").ended.is_empty());
}

#[tokio::test]
async fn an_intent_that_cannot_be_observed_stops_the_run() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let first = engine(dir.path(), &things);
    let id = plan(&first, &book("thing.end@1", "escalate"), "daemon")
        .await
        .plan
        .id;
    first.approve(&id, "bo", None, None).expect("approves");
    // Appends of the run: started, probe read, intent, tried: it dies before the fourth.
    let base = first.journal().head().expect("head").0;
    first
        .journal()
        .on_append(Box::new(move |n, done| !done && n == base + 4));
    assert!(
        first
            .drive(&id, Starter::Person("ana".into()), &Stop::default())
            .await
            .is_err()
    );
    drop(first);
    things.lock().expect("lock").blind = true;
    let second = engine(dir.path(), &things);
    let driven = drive(&second, &id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Indeterminate));
    assert_eq!(
        things.lock().expect("lock").ended.len(),
        1,
        "nothing is blindly tried again"
    );
}
