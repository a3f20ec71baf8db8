//! The journal as a file: what is edited, dropped, reordered or cut off is found, also of one run; format 1 is read and
//! becomes format 2; what happens once is written once.

use std::path::Path;

use muster_engine::journal::{Event, Fence, Journal, JournalError, Place};
use muster_engine::{Starter, Stop};
use muster_model::{RunOutcome, Time};
use rusqlite::Connection;

use crate::fake::{book, engine, plan, world};

/// A journal with a run of some entries; its id.
async fn written(dir: &Path) -> String {
    let things = world(2);
    let engine = engine(dir, &things);
    let id = plan(&engine, &book("thing.end@1", "escalate"), "daemon")
        .await
        .plan
        .id;
    engine.approve(&id, "bo", None, None).expect("approves");
    engine
        .drive(&id, Starter::Person("ana".into()), &Stop::default())
        .await
        .expect("drives");
    assert!(engine.journal().verify().expect("unbroken") > 8);
    id
}

/// Changes the file as somebody would who knows SQL.
fn tamper(dir: &Path, sql: &str) {
    let db = Connection::open(dir.join("journal.db")).expect("opens");
    db.execute_batch(&format!(
        "DROP TRIGGER entry_no_update; DROP TRIGGER entry_no_delete; {sql}"
    ))
    .expect("tampers");
}

#[tokio::test]
async fn an_entry_that_was_edited_dropped_reordered_or_cut_off_is_found() {
    for (sql, words) in [
        (
            "UPDATE entry SET event = replace(event, 'thing 1', 'thing 9') WHERE kind = 'intent'",
            "was edited",
        ),
        ("UPDATE entry SET who = 'eve' WHERE seq = 3", "entry 3 was edited"),
        ("UPDATE entry SET epoch = 9 WHERE seq = 3", "entry 3 was edited"),
        ("DELETE FROM entry WHERE seq = 4", "entry 4 is missing"),
        (
            "UPDATE entry SET seq = -1 WHERE seq = 4; UPDATE entry SET seq = 4 WHERE seq = 5; UPDATE entry SET seq = 5 WHERE seq = -1",
            "entry 4 does not follow",
        ),
        ("UPDATE run_head SET count = count + 1", "were written"),
        ("UPDATE run_head SET ended = 0", "marked as open"),
    ] {
        let dir = tempfile::tempdir().expect("dir");
        written(dir.path()).await;
        tamper(dir.path(), sql);
        let journal = Journal::open(&dir.path().join("journal.db")).expect("opens: its end is as it was");
        let found = journal.verify().expect_err(sql).to_string();
        assert!(found.contains(words), "{sql}: {found}");
    }
    // Cut off: seen at once, when it is opened.
    let dir = tempfile::tempdir().expect("dir");
    written(dir.path()).await;
    tamper(dir.path(), "DELETE FROM entry WHERE seq > 5");
    let found = Journal::open(&dir.path().join("journal.db"))
        .expect_err("cut off")
        .to_string();
    assert!(found.contains("the last one found is 5"), "{found}");
}

#[tokio::test]
async fn nobody_goes_on_with_a_run_that_is_not_whole() {
    let dir = tempfile::tempdir().expect("dir");
    let things = world(2);
    let first = engine(dir.path(), &things);
    let id = plan(&first, &book("thing.end@1", "escalate"), "daemon")
        .await
        .plan
        .id;
    first.approve(&id, "bo", None, None).expect("approves");
    drop(first);
    // The refusal of somebody is turned into the word of somebody else; count and head of the file are put right.
    tamper(
        dir.path(),
        "UPDATE entry SET event = replace(event, 'bo', 'eve') WHERE kind = 'approved'",
    );
    let second = engine(dir.path(), &things);
    let refused = second
        .drive(&id, Starter::Person("ana".into()), &Stop::default())
        .await
        .expect_err("refuses");
    assert!(
        refused.to_string().contains(&format!("run {id}: entry")),
        "{refused}"
    );
    assert!(
        things.lock().expect("lock").ended.is_empty(),
        "nothing was touched"
    );
}

#[tokio::test]
async fn what_happens_once_is_written_once() {
    let dir = tempfile::tempdir().expect("dir");
    let id = written(dir.path()).await;
    let journal = Journal::open(&dir.path().join("journal.db")).expect("opens");
    let end = Event::Ended {
        outcome: RunOutcome::Undone,
        detail: "again".into(),
    };
    let twice = journal
        .append(Time::from_millis(0), "eve", &Place::run(&id, None), &[], end)
        .expect_err("twice");
    assert!(
        matches!(&twice, JournalError::Twice { what } if what.contains("ended")),
        "{twice}"
    );
}

#[test]
fn a_lower_epoch_writes_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let journal = Journal::open(&dir.path().join("journal.db")).expect("opens");
    let at = |epoch| Fence {
        lease: "state".into(),
        epoch,
    };
    let write = |fences: &[Fence]| {
        let event = Event::Noticed { text: "hello".into() };
        journal.append(Time::from_millis(0), "daemon", &Place::default(), fences, event)
    };
    assert_eq!(write(&[at(3)]).expect("first").epoch, 3);
    write(&[at(3)]).expect("same");
    write(&[at(4)]).expect("higher");
    let fenced = write(&[at(3)]).expect_err("lower");
    assert!(
        matches!(fenced, JournalError::Fenced { ours: 3, now: 4, .. }),
        "{fenced}"
    );
    let mixed = [
        at(4),
        Fence {
            lease: "run-r".into(),
            epoch: 1,
        },
    ];
    assert_eq!(write(&mixed).expect("another lease").epoch, 1);
    assert_eq!(journal.verify().expect("unbroken"), 4);
}

/// The matrix of `docs/concepts/engine.md`: an old file is read and becomes a new one, with every hash as it was; a file
/// of a newer version is refused by name.
#[test]
fn format_1_is_read_and_goes_on_as_format_2_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("journal.db");
    let db = Connection::open(&path).expect("makes");
    db.execute_batch(include_str!("format_1.sql")).expect("format 1");
    let mut prev = "0".repeat(64);
    let events = [
        ("", r#"{"event":"frozen","why":"release"}"#, "frozen"),
        ("r-1", r#"{"event":"started","on":"policy"}"#, "started"),
        ("r-1", r#"{"event":"parked","why":"stop"}"#, "parked"),
    ];
    for (i, (run, event, kind)) in events.into_iter().enumerate() {
        let seq = i as u64 + 1;
        let at: Time = "2026-11-20T10:00:00Z".parse().expect("a time");
        let place = Place::run(run, None);
        let hash = muster_engine::journal::chain(&prev, seq, at, "daemon", &place, 0, event);
        db.execute(
            "INSERT INTO entry VALUES (?1, ?2, 'daemon', ?3, '', '', '', 0, ?4, ?5, ?6, ?7)",
            rusqlite::params![
                i64::try_from(seq).expect("small"),
                at.to_string(),
                run,
                kind,
                event,
                prev,
                hash
            ],
        )
        .expect("writes");
        db.execute(
            "UPDATE head SET count = ?1, head = ?2",
            rusqlite::params![i64::try_from(seq).expect("small"), hash],
        )
        .expect("writes");
        prev = hash;
    }
    drop(db);
    let journal = Journal::open(&path).expect("reads format 1");
    assert_eq!(journal.verify().expect("every hash as it was"), 3);
    assert_eq!(journal.whole_run("r-1").expect("whole").len(), 2);
    let fence = Fence {
        lease: "state".into(),
        epoch: 1,
    };
    let event = Event::Resumed;
    let place = Place::run("r-1", None);
    journal
        .append(Time::from_millis(0), "daemon", &place, &[fence], event)
        .expect("goes on");
    drop(journal);
    let again = Journal::open(&path).expect("format 2 now");
    assert_eq!(again.verify().expect("unbroken"), 4);
    assert_eq!(again.whole_run("r-1").expect("whole").len(), 3);
    drop(again);
    let db = Connection::open(&path).expect("opens");
    let version: i64 = db
        .query_row("PRAGMA user_version", [], |r| r.get(0))
        .expect("reads");
    assert_eq!(version, 2);
    db.execute_batch("PRAGMA user_version = 3")
        .expect("a version to come");
    drop(db);
    let refused = Journal::open(&path).expect_err("too new");
    assert!(
        matches!(refused, JournalError::TooNew { found: 3, .. }),
        "{refused}"
    );
}
