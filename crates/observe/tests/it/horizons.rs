//! What holds vacuum back and what vacuum has to do, as real servers tell it.

use std::time::{Duration, Instant};

use muster_lab::fleet::{User, connect};
use muster_lab::testing::{self, TestFleet};
use muster_model::snapshot::{Holder, HolderKind, Horizons, Role, Vacuuming};
use muster_model::{Snapshot, Span};
use muster_observe::{Extent, Observer};
use tokio_postgres::Client;

use crate::estate::{cluster, now, observer, watching};

async fn login(test: &TestFleet, server: &str, user: User) -> Client {
    let config = test.fleet.config(server, user, "app").expect("config");
    connect(&config).await.expect("login")
}

/// Passes over everything, the slow lane included, until one shows what is waited for.
async fn until(what: &str, observer: &Observer, seen: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let snapshot = observer.pass(now(), Extent::All).await;
        if seen(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < deadline, "not in time: {what}: {snapshot:#?}");
        tokio::task::yield_now().await;
    }
}

fn horizons(s: &Snapshot) -> &Horizons {
    &s.servers[0].horizons.as_ref().expect("horizons").value
}

fn vacuuming(s: &Snapshot) -> &Vacuuming {
    &s.servers[0].vacuuming.as_ref().expect("vacuuming").value
}

fn holder<'a>(s: &'a Snapshot, kind: HolderKind, name: &str) -> Option<&'a Holder> {
    horizons(s)
        .holders
        .iter()
        .find(|h| h.kind == kind && h.name == name)
}

/// Uses up so many transaction ids.
async fn burn(client: &Client, xids: u32) {
    let sql = format!(
        "DO $$ BEGIN FOR i IN 1..{xids} LOOP PERFORM pg_catalog.pg_current_xact_id(); COMMIT; END LOOP; END $$"
    );
    client.batch_execute(&sql).await.expect("burns");
}

async fn every_kind_of_holder(major: u32) {
    let mut options = testing::small(major);
    options.standbys = 1;
    options
        .settings
        .insert("wal_level".to_owned(), "logical".to_owned());
    let Some(test) = testing::fleet(options).await else {
        return;
    };
    let observer = observer(&test.fleet);
    let boss = login(&test, "a", User::Postgres).await;
    boss.batch_execute(
        "SELECT pg_catalog.pg_create_logical_replication_slot('cdc', 'pgoutput'); CREATE TABLE undecided (id int); \
         GRANT SELECT ON undecided TO app",
    )
    .await
    .expect("slot");
    boss.batch_execute("BEGIN; INSERT INTO undecided VALUES (1); PREPARE TRANSACTION 'order-4711'")
        .await
        .expect("prepares");
    let reader = login(&test, "a", User::App).await;
    let row = reader
        .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
        .await
        .expect("pid");
    let pid: i32 = row.get(0);
    reader
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM notes LIMIT 1")
        .await
        .expect("reads");
    let far = login(&test, "b", User::App).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while far.batch_execute("SELECT FROM undecided").await.is_err() {
        assert!(Instant::now() < deadline, "the standby does not replay");
        tokio::task::yield_now().await;
    }
    far.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM notes LIMIT 1")
        .await
        .expect("reads");
    burn(&boss, 300).await;

    let snapshot = until("the standby's slot holds", &observer, |s| {
        holder(s, HolderKind::Slot, "standby_b").is_some_and(|h| h.xids >= 300)
    })
    .await;
    assert_eq!(snapshot.gaps, Vec::new());
    assert!(horizons(&snapshot).sees_all);
    let session = holder(&snapshot, HolderKind::Session, &pid.to_string()).expect("the reader holds");
    assert!(session.xids >= 300 && !session.older, "{session:?}");
    assert_eq!(
        (
            session.pid,
            session.user.as_deref(),
            session.database.as_deref(),
            session.state.as_deref()
        ),
        (Some(pid), Some("app"), Some("app"), Some("idle in transaction"))
    );
    let activity = snapshot.servers[0].activity.as_ref().expect("activity");
    let seen = activity.value.sessions.iter().find(|s| s.pid == pid);
    assert_eq!(session.since, seen.and_then(|s| s.xact_start));
    assert_eq!(horizons(&snapshot).session(pid), Some(true));
    let own = activity
        .value
        .sessions
        .iter()
        .find(|s| s.application == "muster/observe")
        .expect("own session");
    assert_eq!(
        horizons(&snapshot).session(own.pid),
        Some(false),
        "looking holds nothing"
    );

    let prepared = holder(&snapshot, HolderKind::Prepared, "order-4711").expect("it holds");
    assert!(prepared.xids >= 300 && prepared.pid.is_none(), "{prepared:?}");
    let undecided = &snapshot.servers[0].prepared.as_ref().expect("prepared").value;
    assert_eq!(undecided.len(), 1);
    assert_eq!(
        (undecided[0].gid.as_str(), undecided[0].belongs().as_str()),
        ("order-4711", "postgres/app")
    );
    assert_eq!(Some(undecided[0].prepared), prepared.since);

    let catalog = holder(&snapshot, HolderKind::SlotCatalog, "cdc").expect("the logical slot holds");
    assert!(catalog.xids >= 300 && catalog.pid.is_none(), "{catalog:?}");
    assert_eq!(
        (catalog.state.as_deref(), catalog.database.as_deref()),
        (Some("inactive"), Some("app"))
    );
    let slot = holder(&snapshot, HolderKind::Slot, "standby_b").expect("the slot holds");
    assert_eq!(
        (slot.application.as_str(), slot.state.as_deref()),
        ("b", Some("active"))
    );
    assert!(slot.pid.is_some() && slot.since.is_some(), "{slot:?}");

    // On the standby itself it is the session.
    until("the session behind it is seen", &observer, |s| {
        let there = s.servers.iter().find(|s| s.role() == Some(Role::Standby));
        there
            .and_then(|s| s.horizons.as_ref())
            .iter()
            .flat_map(|p| &p.value.holders)
            .any(|h| h.kind == HolderKind::Session && h.xids >= 300 && h.user.as_deref() == Some("app"))
    })
    .await;

    let there = snapshot.servers.iter().find(|s| s.role() == Some(Role::Standby));
    assert!(
        there
            .expect("the standby")
            .databases
            .iter()
            .all(|d| d.vacuum.as_ref().is_some_and(|v| v.value.tables.is_empty())),
        "vacuum has nothing to do on a standby"
    );

    // Without a slot the standby's feedback is held by its walsender.
    let boss_there = login(&test, "b", User::Postgres).await;
    boss_there
        .batch_execute("ALTER SYSTEM SET primary_slot_name = ''")
        .await
        .expect("sets");
    boss_there
        .batch_execute("SELECT pg_catalog.pg_reload_conf()")
        .await
        .expect("reloads");
    let snapshot = until("the feedback holds", &observer, |s| {
        holder(s, HolderKind::Standby, "b").is_some_and(|h| h.xids >= 300)
    })
    .await;
    let standby = holder(&snapshot, HolderKind::Standby, "b").expect("it holds");
    assert!(standby.pid.is_some() && standby.database.is_none(), "{standby:?}");

    // What is freed holds no longer.
    reader.batch_execute("COMMIT").await.expect("commits");
    boss.batch_execute("ROLLBACK PREPARED 'order-4711'")
        .await
        .expect("rolls back");
    let snapshot = observer.pass(now(), Extent::Hot).await;
    assert_eq!(horizons(&snapshot).session(pid), Some(false));
    assert!(
        snapshot.servers[0]
            .prepared
            .as_ref()
            .is_some_and(|p| p.value.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_holder_of_the_horizon_is_named_on_15() {
    every_kind_of_holder(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_holder_of_the_horizon_is_named_on_18() {
    every_kind_of_holder(18).await;
}

async fn what_vacuum_has_to_do(major: u32) {
    let mut options = testing::small(major);
    options.settings.insert("autovacuum".to_owned(), "off".to_owned());
    let Some(test) = testing::fleet(options).await else {
        return;
    };
    let observer = observer(&test.fleet);
    let boss = login(&test, "a", User::Postgres).await;
    // Nothing runs here but us: looking uses up no transaction id.
    let before = horizons(&observer.pass(now(), Extent::All).await).next_xid.now;
    let after = horizons(&observer.pass(now(), Extent::All).await).next_xid.now;
    assert!(before > 3, "{before}");
    assert_eq!(before, after);

    boss.batch_execute(
        "CREATE TABLE kept (id int, pad text) WITH (autovacuum_enabled = off); \
         CREATE TABLE churned (id int, pad text) WITH (autovacuum_vacuum_threshold = 10); \
         CREATE TABLE quiet (id int); \
         INSERT INTO kept SELECT g, repeat('x', 200) FROM generate_series(1, 2000) g; \
         INSERT INTO churned SELECT g, 'x' FROM generate_series(1, 500) g; \
         INSERT INTO quiet VALUES (1); ANALYZE",
    )
    .await
    .expect("tables");
    boss.batch_execute("UPDATE kept SET id = id + 1; DELETE FROM churned WHERE id <= 400")
        .await
        .expect("churns");
    // A DDL that holds a table keeps nobody from looking.
    let ddl = login(&test, "a", User::Postgres).await;
    ddl.batch_execute("BEGIN; LOCK TABLE kept, quiet IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locks");
    let table = |s: &Snapshot, name: &str| {
        let app = s.servers[0].databases.iter().find(|d| d.name == "app");
        let queue = app.and_then(|d| d.vacuum.as_ref()).map(|p| &p.value)?;
        queue
            .tables
            .iter()
            .find(|t| t.table == format!("public.{name}"))
            .cloned()
    };
    let snapshot = until("the statistics say so", &observer, |s| {
        table(s, "kept").is_some_and(|t| t.dead >= 2000) && table(s, "churned").is_some_and(|t| t.dead >= 400)
    })
    .await;
    assert_eq!(snapshot.gaps, Vec::new());
    let (kept, churned) = (
        table(&snapshot, "kept").expect("kept"),
        table(&snapshot, "churned").expect("churned"),
    );
    assert!(!kept.enabled && kept.due >= 1.0 && kept.live == 2000, "{kept:?}");
    assert!(
        churned.enabled && churned.due > 3.0 && churned.live == 100,
        "its own threshold counts: {churned:?}"
    );
    assert!((churned.dead_percent() - 80.0).abs() < 0.1, "{churned:?}");
    assert!(table(&snapshot, "quiet").is_none_or(|t| t.due < 1.0 && t.due_since.is_none()));
    let names: Vec<&str> = snapshot.servers[0]
        .databases
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    assert_eq!(names, ["app", "postgres"], "every database is looked into");
    // What was due stays due since then.
    let since = churned.due_since.expect("due");
    let later = observer.pass(now(), Extent::All).await;
    assert!(later.taken_at > snapshot.taken_at);
    assert_eq!(table(&later, "churned").and_then(|t| t.due_since), Some(since));
    ddl.batch_execute("COMMIT").await.expect("commits");

    let all = vacuuming(&later);
    let databases: Vec<&str> = all.freeze.iter().map(|d| d.database.as_str()).collect();
    assert_eq!(databases, ["app", "postgres", "template0", "template1"]);
    assert!(
        all.freeze.iter().all(|d| d.xids > 0 && d.xids < 1_000_000),
        "{:?}",
        all.freeze
    );
    assert_eq!((all.max_workers, all.runs.len(), all.looks.now.full), (3, 0, 0));
    assert!(all.looks.now.all >= 3 && all.sees_all);
    let settings = &later.servers[0].settings.as_ref().expect("settings").value.values;
    for (name, value) in [
        ("autovacuum", "off"),
        ("track_counts", "on"),
        ("autovacuum_freeze_max_age", "200000000"),
    ] {
        assert_eq!(settings.get(name).map(String::as_str), Some(value), "{name}");
    }
    let slrus = &later.servers[0].slrus.as_ref().expect("slrus").value;
    let subtransactions = slrus
        .iter()
        .find(|s| s.name.to_lowercase().starts_with("subtrans"));
    assert!(
        subtransactions.is_some_and(|s| s.counted.minute.is_some()),
        "{slrus:?}"
    );

    // A vacuum that runs is seen with its progress, and holds no horizon.
    let slow = login(&test, "a", User::Postgres).await;
    let row = slow
        .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
        .await
        .expect("pid");
    let pid: i32 = row.get(0);
    slow.batch_execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
        .await
        .expect("sets");
    let cancel = slow.cancel_token();
    let running = tokio::spawn(async move { slow.batch_execute("VACUUM kept").await });
    let seen = until("the vacuum runs", &observer, |s| {
        vacuuming(s)
            .runs
            .iter()
            .any(|r| r.pid == pid && r.phase.is_some())
    })
    .await;
    let run = vacuuming(&seen)
        .runs
        .iter()
        .find(|r| r.pid == pid)
        .expect("it runs");
    assert!(
        !run.automatic && !run.wraparound && run.pages > Some(0),
        "{run:?}"
    );
    assert_eq!(
        (run.database.as_deref(), run.relation),
        (Some("app"), Some(kept.oid))
    );
    assert_eq!(horizons(&seen).session(pid), Some(false));
    cancel.cancel_query(tokio_postgres::NoTls).await.expect("cancels");
    let _ = running.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vacuum_has_to_do_is_read_on_15() {
    what_vacuum_has_to_do(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vacuum_has_to_do_is_read_on_18() {
    what_vacuum_has_to_do(18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_queue_for_a_row_the_wait_begins_anew_with_every_holder() {
    for major in [15, 18] {
        let Some(mut test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let observer = observer(&test.fleet);
        test.inject("hot-row", &[]).await;
        let mut holders = std::collections::BTreeSet::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut anew = false;
        while holders.len() < 3 || !anew {
            assert!(Instant::now() < deadline, "{holders:?}");
            let snapshot = observer.pass(now(), Extent::Hot).await;
            let server = &snapshot.servers[0];
            let sessions = &server.activity.as_ref().expect("activity").value.sessions;
            let waits = &server.locks.as_ref().expect("locks").value.waits;
            let graph = muster_model::lock_graph::build(sessions, waits);
            holders.extend(graph.roots().filter(|r| r.waiters.len() >= 5).map(|r| r.pid));
            // What locks.hot_row goes by: the age of the statement, not that of the wait.
            anew |= waits.iter().any(|w| {
                let waiter = sessions.iter().find(|s| s.pid == w.pid);
                let began = waiter.and_then(|s| s.query_start);
                began.zip(w.since).is_some_and(|(began, since)| {
                    since.since(began) >= Span::from_secs(1) && w.locktype == "transactionid"
                })
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_of_them_may_not_read_is_its_own_gap_and_what_a_role_does_not_see_is_said() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = login(&test, "a", User::Postgres).await;
        boss.batch_execute(
            "CREATE ROLE plain LOGIN PASSWORD 'plain'; REVOKE SELECT ON pg_catalog.pg_stat_slru FROM PUBLIC",
        )
        .await
        .expect("role");
        let reader = login(&test, "a", User::App).await;
        let row = reader
            .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
            .await
            .expect("pid");
        let pid: i32 = row.get(0);
        reader
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM notes LIMIT 1")
            .await
            .expect("reads");

        let observer = observer(&test.fleet);
        let snapshot = observer.pass(now(), Extent::All).await;
        let server = &snapshot.servers[0];
        assert_eq!(server.reach, muster_model::snapshot::Reach::Up);
        let gap = snapshot.gap("slru", "shop/a").expect("a gap");
        assert!(gap.reason.contains("pg_stat_slru"), "{gap:?}");
        assert!(gap.remedy.is_some(), "{gap:?}");
        assert_eq!(snapshot.gaps.len(), 1, "{:?}", snapshot.gaps);
        assert!(server.slrus.is_none(), "nothing is made up");
        assert!(server.vacuuming.is_some() && server.prepared.is_some());
        assert_eq!(horizons(&snapshot).session(pid), Some(true));
        boss.batch_execute("GRANT SELECT ON pg_catalog.pg_stat_slru TO PUBLIC")
            .await
            .expect("grants");
        let snapshot = observer.pass(now(), Extent::All).await;
        assert_eq!(snapshot.gaps, Vec::new(), "closed");

        let plain = watching(cluster(&test.fleet, "plain", "plain"));
        let snapshot = plain.pass(now(), Extent::All).await;
        assert!(!horizons(&snapshot).sees_all && !vacuuming(&snapshot).sees_all);
        assert_eq!(horizons(&snapshot).session(pid), None, "not seen is not free");
    }
}
