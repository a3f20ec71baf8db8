//! Runs from plan to end: approvals, skips, failures, undo, proofs, expiry, freeze.

use muster_engine::{Driven, EngineError, Event, Starter, Stop};
use muster_model::{PlanResult, RunOutcome, RunState};

use crate::fake::{approved, book, drive, engine, hiding, parked_at, plan, world};

fn outcome(driven: &Driven) -> Option<RunOutcome> {
    driven.run().outcome
}

#[tokio::test]
async fn a_disruptive_plan_waits_for_another_person_and_is_proven() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    let engine = engine(dir.path(), &things);
    let planned = plan(&engine, &book("thing.end@1", "escalate"), "ana").await;
    assert_eq!(planned.plan.result, PlanResult::Changes);
    let id = planned.plan.id.clone();
    let driven = drive(&engine, &id).await;
    assert!(matches!(&driven, Driven::Waiting(run, _) if run.state == RunState::WaitingApproval));
    assert!(things.lock().expect("lock").ended.is_empty());
    assert!(
        matches!(
            engine.approve(&id, "ana", None, None),
            Err(EngineError::Refused(_))
        ),
        "the requester may not"
    );
    assert!(
        matches!(
            engine.approve(&id, "eve", None, None),
            Err(EngineError::Refused(_))
        ),
        "a stranger may not"
    );
    engine.approve(&id, "bo", None, None).expect("approves");
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::Proven), "{driven:?}");
    assert_eq!(things.lock().expect("lock").ended.len(), 3);
    assert!(engine.journal().verify().expect("chain") > 10);
    let again = drive(&engine, &id).await;
    assert_eq!(outcome(&again), Some(RunOutcome::Proven), "a plan runs once");
    assert_eq!(things.lock().expect("lock").ended.values().max(), Some(&1));
}

#[tokio::test]
async fn what_changed_since_the_plan_is_skipped() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let engine = engine(dir.path(), &things);
    let id = approved(&engine).await;
    things.lock().expect("lock").things.insert(1, 5);
    let driven = drive(&engine, &id).await;
    assert_eq!(
        outcome(&driven),
        Some(RunOutcome::Escalated),
        "thing 1 is another one and stays: {driven:?}"
    );
    assert_eq!(
        things
            .lock()
            .expect("lock")
            .ended
            .keys()
            .copied()
            .collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(things.lock().expect("lock").things.get(&1), Some(&5));
}

#[tokio::test]
async fn a_failure_undoes_in_reverse_what_happened() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    things.lock().expect("lock").stubborn = vec![3];
    let engine = engine(dir.path(), &things);
    let id = hiding(&engine).await;
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::Undone), "{driven:?}");
    let world = things.lock().expect("lock");
    assert_eq!(world.things.len(), 3);
    assert_eq!(world.ended.len(), 2);
    assert_eq!(
        world.undone.keys().copied().collect::<Vec<_>>(),
        [1, 2],
        "a look showed that nothing of the failed one is left"
    );
}

#[tokio::test]
async fn what_failed_half_way_is_seen_and_taken_back_too() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    things.lock().expect("lock").clumsy = vec![3];
    let engine = engine(dir.path(), &things);
    let id = hiding(&engine).await;
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::Undone), "{driven:?}");
    let world = things.lock().expect("lock");
    assert_eq!(world.things.len(), 3, "{world:?}");
    assert_eq!(world.undone.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn an_undo_that_fails_is_a_state_with_a_name_and_not_a_crash() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(3);
    {
        let mut world = things.lock().expect("lock");
        world.stubborn = vec![3];
        world.gone = vec![2];
    }
    let engine = engine(dir.path(), &things);
    let id = hiding(&engine).await;
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::UndoFailed), "{driven:?}");
    let said = &driven.run().detail;
    assert!(said.contains("undoing thing 2 failed 3 times"), "{said}");
    let entries = engine.journal().of_run(&id).expect("reads");
    let undos: Vec<_> = entries
        .iter()
        .filter(|e| matches!(e.event, Event::Intent { undo: true, .. }))
        .collect();
    assert_eq!(undos.len(), 3, "three tries and no fourth");
    assert!(
        undos[2].at.since(undos[1].at) > undos[1].at.since(undos[0].at),
        "each later than the last"
    );
    assert_eq!(
        things.lock().expect("lock").things.len(),
        1,
        "what was before it stays as it is"
    );
}

#[tokio::test]
async fn a_thing_that_comes_back_is_not_cured() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(1);
    let engine = engine(dir.path(), &things);
    let id = approved(&engine).await;
    things.lock().expect("lock").relapse = Some(7);
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::Escalated));
    assert!(
        driven.run().detail.contains("came back"),
        "{}",
        driven.run().detail
    );
}

#[tokio::test]
async fn nothing_to_do_makes_no_run_and_a_freeze_holds() {
    let dir = tempfile::tempdir().expect("dir");
    let engine = engine(dir.path(), &world(0));
    let planned = plan(&engine, &book("thing.end@1", "escalate"), "daemon").await;
    assert!(matches!(planned.plan.result, PlanResult::Nothing { .. }));
    assert_eq!(
        engine.run(&planned.plan.id).expect("run").1.outcome,
        Some(RunOutcome::Nothing)
    );

    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let engine = crate::fake::engine(dir.path(), &things);
    let id = hiding(&engine).await;
    engine.freeze("ana", "", "release").expect("freezes");
    let driven = drive(&engine, &id).await;
    assert!(matches!(&driven, Driven::Refused(_, r) if r.guard == "freeze"));
    engine.unfreeze("ana", "").expect("unfreezes");
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::Proven));
}

#[tokio::test]
async fn a_stop_parks_and_a_cancel_undoes() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let engine = engine(dir.path(), &things);
    let id = hiding(&engine).await;
    let stop = Stop::default();
    stop.set();
    let driven = engine
        .drive(&id, Starter::Person("ana".into()), &stop)
        .await
        .expect("drives");
    assert!(matches!(driven, Driven::Parked(_)));
    assert!(things.lock().expect("lock").ended.is_empty());
    engine.cancel(&id, "ana", "not now").expect("cancels");
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::Cancelled));
    assert!(engine.reject(&id, "ana", "late").is_err(), "it is over");
}

#[tokio::test]
async fn an_edited_journal_is_found() {
    let dir = tempfile::tempdir().expect("dir");
    let engine = engine(dir.path(), &world(1));
    plan(&engine, &book("thing.end@1", "escalate"), "daemon").await;
    drop(engine);
    let path = dir.path().join("journal.db");
    let db = rusqlite::Connection::open(&path).expect("opens");
    assert!(
        db.execute("UPDATE entry SET who = 'eve'", []).is_err(),
        "the trigger refuses"
    );
    assert!(
        db.execute("DELETE FROM entry", []).is_err(),
        "the trigger refuses"
    );
    db.execute_batch("DROP TRIGGER entry_no_update; UPDATE entry SET who = 'eve' WHERE seq = 1")
        .expect("edits");
    drop(db);
    let journal = muster_engine::Journal::open(&path).expect("opens: the head is untouched");
    assert!(
        journal
            .verify()
            .expect_err("edited")
            .to_string()
            .contains("entry 1 was edited")
    );
    let db = rusqlite::Connection::open(&path).expect("opens");
    db.execute_batch("DROP TRIGGER entry_no_delete; DELETE FROM entry WHERE seq = 1")
        .expect("drops");
    drop(db);
    assert!(
        muster_engine::Journal::open(&path).is_err(),
        "a truncated journal is not opened"
    );
}

#[tokio::test]
async fn the_story_tells_many_alike_in_one_line_and_what_differs_by_itself() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(6);
    let engine = engine(dir.path(), &things);
    let id = approved(&engine).await;
    things.lock().expect("lock").things.insert(6, 9);
    drive(&engine, &id).await;
    let entries = engine.journal().of_run(&id).expect("reads");
    let story = muster_engine::story::timeline(&entries);
    let folded: Vec<_> = story.iter().filter(|l| l.through > l.entry).collect();
    assert_eq!(folded.len(), 1, "{story:#?}");
    assert!(folded[0].text.contains("done 5 times"), "{}", folded[0].text);
    // An intent and a result each, and two looks between the batches.
    assert_eq!(folded[0].through - folded[0].entry, 11);
    let after = story.iter().find(|l| l.entry == folded[0].through + 1);
    assert!(after.is_some_and(|l| l.text.contains("About to")), "{after:?}");
    assert!(story.iter().any(|l| l.text.contains("skipped")), "{story:#?}");
}

/// The word was given and could not be followed: that is found out, unless a guard had the last word.
#[tokio::test]
async fn a_word_that_nothing_came_of_is_not_forgotten() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let engine = engine(dir.path(), &things);
    let forgotten = |id: &str| {
        let (_, run) = engine.run(id).expect("reads");
        engine.forgotten(&run).expect("reads")
    };
    let id = hiding(&engine).await;
    things.lock().expect("lock").skew = 60;
    assert!(!forgotten(&id), "nobody gave a word for it");
    let id = approved(&engine).await;
    assert!(!forgotten(&id), "it may still be begun");
    things.lock().expect("lock").skew = 120;
    assert!(forgotten(&id));
    engine.freeze("ana", "", "an audit").expect("freezes");
    assert!(matches!(drive(&engine, &id).await, Driven::Refused(..)));
    things.lock().expect("lock").skew = 180;
    assert!(!forgotten(&id), "a guard answered");
}

/// A run that was parked and that nobody goes on with is said to be stuck, once; so is every run's head to be kept outside.
#[tokio::test]
async fn a_run_that_does_not_get_on_is_said_once_and_heads_are_handed_out_once() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let engine = engine(dir.path(), &things);
    let id = hiding(&engine).await;
    parked_at(&engine, &things, &id, 1).await;
    assert!(engine.stuck().expect("reads").is_empty(), "not yet");
    things.lock().expect("lock").skew = 11 * 60;
    for _ in 0..3 {
        let stuck = engine.stuck().expect("reads");
        assert_eq!(stuck.len(), 1);
        assert!(stuck[0].0 == id && stuck[0].1.contains("11m"), "{stuck:?}");
    }
    let said = engine.journal().of_kind("stuck").expect("reads");
    assert_eq!(said.len(), 1, "said once");
    assert!(engine.heads_after(0).expect("reads").is_empty());
    engine.abandon(&id, "ana", "its disk is gone").expect("gives up");
    assert!(engine.stuck().expect("reads").is_empty());
    let heads = engine.heads_after(0).expect("reads");
    assert_eq!((heads.len(), heads[0].run.as_str()), (1, id.as_str()));
    engine.journal().verify_heads(&heads).expect("fits");
    engine.exported("file", heads[0].seq).expect("notes");
    assert_eq!(engine.exported_through("file").expect("reads"), heads[0].seq);
    assert!(
        engine.heads_after(heads[0].seq).expect("reads").is_empty(),
        "once"
    );
    assert_eq!(
        engine.exported_through("syslog").expect("reads"),
        0,
        "each place by itself"
    );
    let mut other = heads.clone();
    other[0].hash = "0".repeat(64);
    let found = engine
        .journal()
        .verify_heads(&other)
        .expect_err("another")
        .to_string();
    assert!(
        found.contains("is another one than when its head was written down"),
        "{found}"
    );
    other[0].seq = 999;
    let found = engine
        .journal()
        .verify_heads(&other)
        .expect_err("gone")
        .to_string();
    assert!(found.contains("entry 999 is gone"), "{found}");
}

/// The answer is lost, the effect is not: a look shows it, and the run goes on. Where a look shows nothing, it stops.
#[tokio::test]
async fn an_answer_that_was_lost_is_made_up_for_by_a_look() {
    for (dark, wanted) in [(false, RunOutcome::Proven), (true, RunOutcome::Indeterminate)] {
        let dir = tempfile::tempdir().expect("dir");
        let things = world(3);
        things.lock().expect("lock").lossy = vec![2];
        let engine = engine(dir.path(), &things);
        let id = approved(&engine).await;
        if dark {
            let world = things.clone();
            things.lock().expect("lock").before_effect =
                Some(Box::new(move |n| world.lock().expect("lock").blind = n == 2));
        }
        let driven = drive(&engine, &id).await;
        assert_eq!(outcome(&driven), Some(wanted), "{driven:?}");
        assert!(things.lock().expect("lock").ended.values().all(|n| *n == 1));
    }
}

/// Cancelled while nobody can say whether something happened: that is what the run ends as, not "cancelled".
#[tokio::test]
async fn a_cancel_does_not_hide_that_nobody_can_say() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    things.lock().expect("lock").lossy = vec![2];
    let engine = std::sync::Arc::new(engine(dir.path(), &things));
    let id = approved(&engine).await;
    let (world, e, i) = (things.clone(), engine.clone(), id.clone());
    things.lock().expect("lock").before_effect = Some(Box::new(move |n| {
        if n == 2 {
            world.lock().expect("lock").blind = true;
            e.cancel(&i, "ana", "enough").expect("asks");
        }
    }));
    let driven = drive(&engine, &id).await;
    assert_eq!(outcome(&driven), Some(RunOutcome::Indeterminate), "{driven:?}");
    things.lock().expect("lock").before_effect = None;
}

/// Entries carry the name of who went on with a run, and what a person began stays theirs, whoever asked for the plan: a
/// restart makes no autopilot of it, which would need a Proof in the middle.
#[tokio::test]
async fn what_a_person_began_goes_on_on_their_word() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let first = engine(dir.path(), &things);
    // Reversible: policy lets it start without a signature, and the daemon asked for it.
    let id = hiding(&first).await;
    assert_eq!(first.starter(&id).expect("reads"), Starter::Autopilot);
    let refused = first.drive(&id, Starter::Autopilot, &Stop::default()).await;
    assert!(
        matches!(&refused, Ok(Driven::Refused(_, r)) if r.guard == "autopilot_proof"),
        "{refused:?}"
    );
    let stop = Stop::default();
    let asked = stop.clone();
    things.lock().expect("lock").before_effect = Some(Box::new(move |_| asked.set()));
    let driven = first.drive(&id, Starter::Person("cy".into()), &stop).await;
    assert!(matches!(driven, Ok(Driven::Parked(_))), "{driven:?}");
    drop(first);
    let second = engine(dir.path(), &things);
    let starter = second.starter(&id).expect("reads");
    assert_eq!(starter, Starter::Person("cy".into()));
    let driven = second
        .drive(&id, starter, &Stop::default())
        .await
        .expect("drives");
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
    let entries = second.journal().whole_run(&id).expect("whole");
    let by = entries.iter().find_map(|e| match &e.event {
        Event::Started { by, .. } => Some(by.clone()),
        _ => None,
    });
    assert_eq!(by, Some(Some("cy".to_owned())));
    let done = entries.iter().filter(|e| matches!(e.event, Event::Tried { .. }));
    assert!(
        done.clone().count() == 2 && done.clone().all(|e| e.who == "cy"),
        "{entries:#?}"
    );
}

/// A run that waits for its window goes on, when that opens, on the word of who wanted it to start.
#[tokio::test]
async fn who_wanted_it_to_start_is_remembered_while_it_waits_for_a_window() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(1);
    let engine = engine(dir.path(), &things);
    let id = hiding(&engine).await;
    let mut rules = engine.rules("shop");
    // The clock of the tests is that of 1970.
    rules.windows = vec![muster_model::Window {
        name: "later".into(),
        days: (1..=7).collect(),
        from: 23 * 60,
        to: 24 * 60,
        zone: "UTC".into(),
        risk: muster_model::Risk::Reversible,
        incidents: true,
    }];
    let closed = rules.clone();
    engine.reload(std::collections::BTreeMap::from([("shop".to_owned(), closed)]));
    let driven = engine
        .drive(&id, Starter::Person("cy".into()), &Stop::default())
        .await
        .expect("drives");
    assert!(
        matches!(&driven, Driven::Waiting(_, why) if why.contains("opens at")),
        "{driven:?}"
    );
    let opens = engine.waits_until(&id).expect("reads");
    assert_eq!(
        opens.map(|t| t.to_string()),
        Some("1970-01-01T23:00:00.000000Z".to_owned())
    );
    assert_eq!(engine.starter(&id).expect("reads"), Starter::Person("cy".into()));
    rules.windows.clear();
    engine.reload(std::collections::BTreeMap::from([("shop".to_owned(), rules)]));
    let starter = engine.starter(&id).expect("reads");
    let driven = engine
        .drive(&id, starter, &Stop::default())
        .await
        .expect("drives");
    assert_eq!(driven.run().outcome, Some(RunOutcome::Proven), "{driven:?}");
}
