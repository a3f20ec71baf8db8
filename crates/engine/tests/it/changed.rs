//! What is changed between approval and start is refused each time, by the name of the guard.

use std::collections::BTreeMap;

use muster_engine::{Driven, Starter, Stop};
use muster_model::{RunOutcome, RunState};
use rusqlite::Connection;

use crate::fake::{Scene, book, drive, engine, on_mondays, parked_at, plan, scene, shelve, world};

async fn ready() -> Scene {
    scene(&world(2), &book("thing.end@1", "escalate")).await
}

/// Starts it; the guard that refuses, with what it says.
async fn refused(a: &Scene) -> (&'static str, String) {
    let driven = drive(&a.engine, &a.id).await;
    let Driven::Refused(_, refusal) = &driven else {
        panic!("{driven:?}")
    };
    assert!(
        a.things.lock().expect("lock").ended.is_empty(),
        "nothing was touched"
    );
    (refusal.guard, refusal.why.clone())
}

#[tokio::test]
async fn an_edited_runbook() {
    let a = ready().await;
    shelve(
        &a.engine,
        &book("thing.end@1", "escalate").replace("hold: 10s", "hold: 11s"),
    );
    let (guard, why) = refused(&a).await;
    assert_eq!(guard, "runbook_changed");
    assert!(why.contains("`book` was edited"), "{why}");
}

#[tokio::test]
async fn an_edited_list_of_approvers() {
    let a = ready().await;
    let mut now = a.engine.rules("shop");
    now.policy.approvers.push("eve".into());
    a.engine.reload(BTreeMap::from([("shop".to_owned(), now)]));
    let (guard, why) = refused(&a).await;
    assert_eq!(guard, "policy_changed");
    assert!(why.contains("ana, bo, eve"), "{why}");
}

#[tokio::test]
async fn an_approver_who_is_none_any_more() {
    let a = ready().await;
    let mut now = a.engine.rules("shop");
    now.policy.approvers.retain(|n| n != "bo");
    a.engine.reload(BTreeMap::from([("shop".to_owned(), now)]));
    assert_eq!(refused(&a).await.0, "policy_changed");
}

#[tokio::test]
async fn another_primary_or_timeline() {
    let a = ready().await;
    a.things.lock().expect("lock").timeline = 2;
    let (guard, why) = refused(&a).await;
    assert_eq!(guard, "primary");
    assert!(why.contains("the timeline was 0"), "{why}");
}

#[tokio::test]
async fn edited_targets_in_the_stored_plan() {
    let a = ready().await;
    let db = Connection::open(a.dir.path().join("journal.db")).expect("opens");
    db.execute_batch("DROP TRIGGER entry_no_update; UPDATE entry SET event = replace(event, 'thing 2', 'thing 7') WHERE kind = 'planned'")
        .expect("edits");
    let said = a
        .engine
        .drive(&a.id, Starter::Person("ana".into()), &Stop::default())
        .await
        .expect_err("refuses");
    assert!(said.to_string().contains("was edited"), "{said}");
    assert!(a.things.lock().expect("lock").ended.is_empty());
}

/// The primary changes in the middle of a run: the next batch is not begun.
#[tokio::test]
async fn a_failover_in_the_middle_stops_the_run() {
    let a = ready().await;
    let things = a.things.clone();
    a.things.lock().expect("lock").before_effect =
        Some(Box::new(move |_| things.lock().expect("lock").timeline = 2));
    let driven = drive(&a.engine, &a.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Refused), "{driven:?}");
    assert!(
        driven.run().detail.contains("timeline"),
        "{}",
        driven.run().detail
    );
    assert_eq!(a.things.lock().expect("lock").ended.len(), 1);
}

/// What is seen after a failover proves nothing about the server that was repaired: after the first look of the proof, and after
/// its last one.
#[tokio::test]
async fn a_failover_during_the_proof_stops_the_proof() {
    // The reads of a run that nothing disturbs: the last ones are the proof's.
    let reads = {
        let a = ready().await;
        a.things.lock().expect("lock").failover_after = Some(1_000_000);
        let ended = drive(&a.engine, &a.id).await;
        assert_eq!(ended.run().outcome, Some(RunOutcome::Proven));
        1_000_000 - a.things.lock().expect("lock").failover_after.expect("counts")
    };
    assert!(reads > 4, "the plan's look and some of the proof: {reads}");
    for at in [2, reads - 1] {
        let a = ready().await;
        a.things.lock().expect("lock").failover_after = Some(at);
        let driven = drive(&a.engine, &a.id).await;
        let run = driven.run();
        assert_eq!(
            run.outcome,
            Some(RunOutcome::Escalated),
            "read {at} of {reads}: {driven:?}"
        );
        assert!(
            run.detail.contains("the proof was stopped") && run.detail.contains("failover"),
            "{}",
            run.detail
        );
        assert!(a.things.lock().expect("lock").things.is_empty(), "all were ended");
    }
}

/// Outside its window it waits, nothing is lost, and it goes on when the window opens.
#[tokio::test]
async fn a_window_makes_it_wait_and_lets_it_go_on() {
    let a = ready().await;
    let open = a.engine.rules("shop");
    let closed = on_mondays(open.clone());
    a.engine.reload(BTreeMap::from([("shop".to_owned(), closed)]));
    let driven = drive(&a.engine, &a.id).await;
    let Driven::Waiting(run, why) = &driven else {
        panic!("{driven:?}")
    };
    assert_eq!(
        run.state,
        RunState::Waiting {
            what: "window".into()
        }
    );
    assert!(why.contains("`nights` opens at"), "{why}");
    // Asked again and again it says so once.
    for _ in 0..3 {
        drive(&a.engine, &a.id).await;
    }
    let entries = a.engine.journal().of_run(&a.id).expect("reads");
    let waits = entries
        .iter()
        .filter(|e| matches!(e.event, muster_engine::Event::Waits { .. }))
        .count();
    assert_eq!(waits, 1, "{entries:#?}");
    a.engine.reload(BTreeMap::from([("shop".to_owned(), open)]));
    let driven = drive(&a.engine, &a.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
}

/// The same runbook on the same target is not begun twice: who asks again gets the run that is under way.
#[tokio::test]
async fn a_duplicate_attaches_to_the_run_that_is_under_way() {
    let a = ready().await;
    parked_at(&a.engine, &a.things, &a.id, 1).await;
    let again = plan(&a.engine, &book("thing.end@1", "escalate"), "ana").await;
    assert!(again.attached);
    assert_eq!(again.plan.id, a.id);
    let open = a.engine.open_runs().expect("reads");
    assert_eq!(open.len(), 1, "no second plan was made");
}

/// A freeze of another target does not matter; one of the cluster or of everything does.
#[tokio::test]
async fn a_freeze_has_a_scope() {
    let a = ready().await;
    a.engine
        .freeze("ana", "shop/b", "disk is replaced")
        .expect("freezes");
    a.engine.freeze("ana", "blog", "release").expect("freezes");
    assert_eq!(a.engine.frozen("shop", "shop/a").expect("reads"), None);
    assert!(
        a.engine.frozen("shop", "shop").expect("reads").is_some(),
        "a plan for the whole cluster reaches it"
    );
    a.engine.freeze("ana", "shop", "audit").expect("freezes");
    assert_eq!(refused(&a).await.0, "freeze");
    a.engine.unfreeze("ana", "shop").expect("lifts");
    let driven = drive(&a.engine, &a.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
    assert_eq!(a.engine.freezes().expect("reads").len(), 2);
}

/// Stopped in the middle of a batch, it asks the guards before it touches the next target: much may have changed.
#[tokio::test]
async fn a_run_that_goes_on_asks_the_guards_first() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    let engine = engine(dir.path(), &things);
    let text = book("thing.end@1", "escalate").replace("canary: 1", "canary: 0");
    let id = plan(&engine, &text, "daemon").await.plan.id;
    engine.approve(&id, "bo", None, None).expect("approves");
    parked_at(&engine, &things, &id, 1).await;
    engine.freeze("ana", "", "an outage elsewhere").expect("freezes");
    let driven = drive(&engine, &id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Refused), "{driven:?}");
    assert_eq!(
        things.lock().expect("lock").ended.len(),
        1,
        "the other two were left alone"
    );
}

/// The window closes in the middle: it waits, however often it is asked, and goes on when the window opens again.
#[tokio::test]
async fn a_window_that_closes_in_the_middle_makes_it_wait_and_not_hang() {
    let a = ready().await;
    let open = a.engine.rules("shop");
    let closed = on_mondays(open.clone());
    parked_at(&a.engine, &a.things, &a.id, 1).await;
    a.engine.reload(BTreeMap::from([("shop".to_owned(), closed)]));
    for _ in 0..3 {
        let driven = drive(&a.engine, &a.id).await;
        assert_eq!(
            driven.run().state,
            RunState::Waiting {
                what: "window".into()
            },
            "{driven:?}"
        );
    }
    a.engine.reload(BTreeMap::from([("shop".to_owned(), open)]));
    let driven = drive(&a.engine, &a.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
    assert!(a.things.lock().expect("lock").ended.values().all(|n| *n == 1));
}
