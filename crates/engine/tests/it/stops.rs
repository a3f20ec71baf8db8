//! What is watched while a run changes things: the last batch, and the conditions under which the runbook says stop. And how
//! far a run may reach.

use muster_engine::{Driven, Engine, EngineError, Entry, Event, Starter, Stop};
use muster_model::{RunOutcome, RunState};

use crate::fake::{Scene, book, careful, drive, engine, parked_at, plan, plan_reaching, scene, world};

/// Plans what stops under pressure, and drives it; the pressure rises in the effect on this thing.
async fn under_pressure(things: &crate::fake::Shared, rises_at: u32, on_fail: &str) -> (RunOutcome, String) {
    let s = scene(things, &careful("thing.hide@1", on_fail)).await;
    let world = things.clone();
    things.lock().expect("lock").before_effect = Some(Box::new(move |n| {
        if n == rises_at {
            world.lock().expect("lock").pressure = 4;
        }
    }));
    let driven = drive(&s.engine, &s.id).await;
    let run = driven.run();
    (run.outcome.expect("ends"), run.detail.clone())
}

#[tokio::test]
async fn a_condition_to_stop_is_looked_at_between_batches() {
    let things = world(7);
    let (outcome, detail) = under_pressure(&things, 2, "escalate").await;
    assert_eq!(outcome, RunOutcome::Escalated, "{detail}");
    assert!(
        detail.contains("before batch 3") && detail.contains("pressure"),
        "{detail}"
    );
    let world = things.lock().expect("lock");
    assert_eq!(world.ended.len(), 3, "one, then two, and no fourth: {world:?}");
    assert!(world.undone.is_empty());
}

#[tokio::test]
async fn what_stops_can_take_everything_back() {
    let things = world(7);
    let (outcome, detail) = under_pressure(&things, 1, "undo").await;
    assert_eq!(outcome, RunOutcome::Undone, "{detail}");
    let world = things.lock().expect("lock");
    assert_eq!((world.ended.len(), world.things.len()), (1, 7), "{world:?}");
}

#[tokio::test]
async fn a_condition_to_stop_is_looked_at_during_the_proof_too() {
    let things = world(3);
    let (outcome, detail) = under_pressure(&things, 3, "undo").await;
    assert_eq!(outcome, RunOutcome::Undone, "{detail}");
    assert!(detail.contains("`pressure > 3` holds"), "{detail}");
    assert_eq!(things.lock().expect("lock").things.len(), 3);
}

/// Drives a careful run of three; in the effect on a thing the gauge breaks.
async fn in_the_dark(from: u32) -> (String, usize) {
    let s = scene(&world(3), &careful("thing.hide@1", "escalate")).await;
    let world = s.things.clone();
    s.things.lock().expect("lock").before_effect =
        Some(Box::new(move |n| world.lock().expect("lock").dark = n >= from));
    let driven = drive(&s.engine, &s.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Escalated), "{driven:?}");
    let ended = s.things.lock().expect("lock").ended.len();
    (driven.run().detail.clone(), ended)
}

#[tokio::test]
async fn what_cannot_be_read_is_no_reason_to_go_on() {
    let (why, ended) = in_the_dark(1).await;
    assert!(why.contains("whether to stop cannot be read"), "{why}");
    assert_eq!(ended, 1);
    // All are done; what is proven of them is nothing.
    let (why, ended) = in_the_dark(3).await;
    assert!(
        why.contains("cannot be proven") && why.contains("the gauge is broken"),
        "{why}"
    );
    assert_eq!(ended, 3);
}

#[tokio::test]
async fn a_condition_to_stop_is_looked_at_before_anything_is_done() {
    let things = world(3);
    things.lock().expect("lock").pressure = 4;
    let (outcome, detail) = under_pressure(&things, 9, "escalate").await;
    assert_eq!(outcome, RunOutcome::Escalated, "{detail}");
    assert!(detail.contains("before batch 1"), "{detail}");
    assert!(things.lock().expect("lock").ended.is_empty());
}

/// What was seen before the run stood still says nothing about the world afterwards: neither between two batches nor in one.
#[tokio::test]
async fn a_run_that_stood_still_looks_again() {
    let text = careful("thing.hide@1", "escalate");
    // Killed between the look and the second batch.
    let Scene {
        dir,
        things,
        engine: first,
        id,
    } = scene(&world(3), &text).await;
    // Appends of the run: started, two probes, look, intent, tried, look: it dies in the intent after that.
    let base = first.journal().head().expect("head").0;
    first
        .journal()
        .on_append(Box::new(move |n, done| !done && n == base + 8));
    let stop = Stop::default();
    assert!(
        first
            .drive(&id, Starter::Person("ana".into()), &stop)
            .await
            .is_err(),
        "killed"
    );
    assert_eq!(looks(&first, &id), [1, 2]);
    drop(first);
    things.lock().expect("lock").pressure = 4;
    let driven = drive(&engine(dir.path(), &things), &id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Escalated), "{driven:?}");
    assert_eq!(things.lock().expect("lock").ended.len(), 1);

    // Parked in the middle of the second batch.
    let s = scene(&world(3), &text).await;
    parked_at(&s.engine, &s.things, &s.id, 2).await;
    s.things.lock().expect("lock").pressure = 4;
    let driven = drive(&s.engine, &s.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Escalated), "{driven:?}");
    let ended = s.things.lock().expect("lock").ended.len();
    assert_eq!(ended, 2, "the third was left alone");
}

/// The canary says that it was done, and a look says that it was not.
#[tokio::test]
async fn a_canary_that_did_not_last_stops_the_rest() {
    // One that did not last; one that may be missing; and two of which one may.
    for (boomerang, budget, ended) in [(vec![1], 0, 1), (vec![1], 1, 7), (vec![1, 2], 1, 3)] {
        let things = world(7);
        things.lock().expect("lock").boomerang = boomerang;
        let text =
            book("thing.hide@1", "escalate").replace("max_errors: 0", &format!("max_errors: {budget}"));
        let s = scene(&things, &text).await;
        let driven = drive(&s.engine, &s.id).await;
        assert_eq!(driven.run().outcome, Some(RunOutcome::Escalated), "{driven:?}");
        assert_eq!(things.lock().expect("lock").ended.len(), ended, "{driven:?}");
        let why = &driven.run().detail;
        assert_eq!(why.contains("is not there any more"), ended < 7, "{why}");
    }
}

/// The batches before which a look said yes.
fn looks(engine: &Engine, id: &str) -> Vec<u32> {
    let entries = engine.journal().of_run(id).expect("reads");
    let batch = |e: &Entry| match &e.event {
        Event::Checked {
            batch, go_on: true, ..
        } => Some(*batch),
        _ => None,
    };
    entries.iter().filter_map(batch).collect()
}

/// A look is an entry like any other: before each batch one, and one more where the run stood still.
#[tokio::test]
async fn each_look_is_written_down() {
    let s = scene(&world(7), &book("thing.end@1", "escalate")).await;
    parked_at(&s.engine, &s.things, &s.id, 2).await;
    let driven = drive(&s.engine, &s.id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
    assert_eq!(looks(&s.engine, &s.id), [2, 2, 3]);
}

/// More targets than the limit: nobody alone may do that, and nobody who did not say so when the plan was made.
#[tokio::test]
async fn two_people_who_break_the_glass_may_reach_farther() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    let engine = engine(dir.path(), &things);
    let text = book("thing.end@1", "escalate").replace("max_targets: 20", "max_targets: 2");
    let planned = plan(&engine, &text, "ana").await;
    let refused = planned.refused.expect("too many");
    assert!(
        refused.guard == "blast_radius" && refused.remedy.contains("--over-limits"),
        "{refused:?}"
    );

    let id = plan_reaching(&engine, &text, "cy", true).await.plan.id;
    let why = "everything is down and they must all go";
    let glass = |who| engine.break_glass(&id, who, "shop/a", why, "i-1");
    engine
        .approve(&id, "bo", None, None)
        .expect("a signature is not enough");
    let driven = drive(&engine, &id).await;
    assert!(
        matches!(&driven, Driven::Refused(_, r) if r.guard == "blast_radius"),
        "{driven:?}"
    );
    glass("ana").expect("the first");
    glass("ana").expect("again, and still one person");
    assert!(
        matches!(drive(&engine, &id).await, Driven::Refused(..)),
        "one is not enough"
    );
    assert!(things.lock().expect("lock").ended.is_empty());
    assert!(
        matches!(glass("cy"), Err(EngineError::Refused(_))),
        "who asked is none of them"
    );
    glass("bo").expect("the second");
    let driven = drive(&engine, &id).await;
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
    let on = engine.journal().of_run(&id).expect("reads");
    let on = on.iter().find_map(|e| match &e.event {
        Event::Started { on, .. } => Some(on.clone()),
        _ => None,
    });
    assert_eq!(on.as_deref(), Some("ana and bo, who broke the glass"));
    assert_eq!(driven.run().state, RunState::Ended);
}
