//! Who shows which token, and what a row that was put into the file by hand is worth.

use muster_engine::principals::Role;
use rusqlite::Connection;

use crate::fake::{engine, world};

#[tokio::test]
async fn a_token_is_its_owners_until_it_is_replaced_or_taken_away() {
    let dir = tempfile::tempdir().expect("dir");
    let engine = engine(dir.path(), &world(0));
    let first = engine.admit("root", "ana", Role::Operator, false).expect("adds");
    let who = engine.sign_in(&first).expect("reads").expect("ana");
    assert_eq!(
        (who.name.as_str(), who.role, who.added_by.as_str()),
        ("ana", Role::Operator, "root")
    );
    let second = engine
        .admit("root", "ana", Role::Approver, false)
        .expect("another role");
    assert!(
        engine.sign_in(&first).expect("reads").is_none(),
        "the old one is worth nothing"
    );
    assert_eq!(
        engine.sign_in(&second).expect("reads").expect("ana").role,
        Role::Approver
    );
    engine.dismiss("root", "ana").expect("removes");
    assert!(engine.sign_in(&second).expect("reads").is_none());
    assert!(engine.dismiss("root", "ana").is_err());
    assert!(
        engine.admit("root", "daemon", Role::Viewer, false).is_err(),
        "nobody is called as Muster itself"
    );
}

#[tokio::test]
async fn a_hash_that_was_put_into_the_file_opens_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let engine = engine(dir.path(), &world(0));
    let anas = engine.admit("root", "ana", Role::Admin, false).expect("adds");
    let eves = engine.admit("root", "eve", Role::Viewer, false).expect("adds");
    let db = Connection::open(dir.path().join("journal.db")).expect("opens");
    let (first, second): (String, String) = db
        .query_row(
            "SELECT a.hash, b.hash FROM token_hash a, token_hash b WHERE a.rowid = 1 AND b.rowid = 2",
            [],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .expect("reads");
    // Eve puts the hash of her own token where Ana's is.
    db.execute(
        "UPDATE token_hash SET hash = ?1 WHERE hash = ?2",
        [&second, &first],
    )
    .expect("tampers");
    let forged = eves.replace("eve.", "ana.");
    assert!(
        engine.sign_in(&forged).expect("reads").is_none(),
        "the journal knows another hash"
    );
    assert!(
        engine.sign_in(&anas).expect("reads").is_none(),
        "closed rather than open"
    );
    assert!(engine.sign_in(&eves).expect("reads").is_some());
}
