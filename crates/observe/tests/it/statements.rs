//! Statistics about statements, sequential scans and samples of waits, as read from real servers.

use std::time::{Duration, Instant};

use muster_lab::Fleet;
use muster_lab::fleet::{User, connect};
use muster_lab::server::{How, start, stop};
use muster_lab::testing::{self, TestFleet};
use muster_model::snapshot::{Statement, StatementWindow, Statements, StatementsOff};
use muster_model::{Snapshot, Span, Time};
use muster_observe::{Extent, Observer};

use crate::estate::{cluster, now, observer, until, watching};

async fn login(test: &TestFleet, user: User, database: &str) -> tokio_postgres::Client {
    let config = test.fleet.config("a", user, database).expect("config");
    connect(&config).await.expect("login")
}

async fn boss(test: &TestFleet) -> tokio_postgres::Client {
    login(test, User::Postgres, "app").await
}

async fn look(observer: &Observer, at: Time) -> Snapshot {
    observer.pass(at, Extent::All).await
}

fn statements(s: &Snapshot) -> &Statements {
    let part = s.servers[0].statements.as_ref();
    &part.unwrap_or_else(|| panic!("not read: {:?}", s.gaps)).value
}

fn window(s: &Snapshot) -> &StatementWindow {
    let read = statements(s);
    read.window
        .as_ref()
        .unwrap_or_else(|| panic!("no window: {read:?}"))
}

fn of<'a>(s: &'a Snapshot, part: &str) -> Option<&'a Statement> {
    let told = |t: &&Statement| t.text.as_deref().is_some_and(|x| x.contains(part));
    window(s).top.iter().find(told)
}

async fn work(client: &tokio_postgres::Client, times: usize, what: &str) {
    for i in 0..times {
        let sql = what.replace("{i}", &i.to_string());
        client.batch_execute(&sql).await.expect(what);
    }
}

async fn what_each_statement_did_is_told(major: u32) {
    let Some(test) = testing::fleet(testing::small(major)).await else {
        return;
    };
    let (observer, app, boss) = (
        observer(&test.fleet),
        login(&test, User::App, "app").await,
        boss(&test).await,
    );
    let began = now();
    let first = look(&observer, began).await;
    assert_eq!(first.gaps, Vec::new());
    let read = statements(&first);
    assert!(
        read.off.is_none() && read.window.is_none(),
        "one look is no difference"
    );
    assert_eq!((read.database.as_str(), read.hidden), ("app", 0));
    assert!(
        read.entries > 3 && read.max == Some(5000) && read.evictions == Some(0),
        "{read:?}"
    );
    assert!(read.text_bytes > Some(100), "{read:?}");

    let second = began.plus(Span::from_secs(15));
    work(&app, 60, "SELECT body FROM notes WHERE id = {i} + 1").await;
    let seen = look(&observer, second).await;
    let w = window(&seen);
    let over = w.over.millis();
    assert!((14_000..17_000).contains(&over), "{over}");
    let notes = of(&seen, "FROM notes").unwrap_or_else(|| panic!("{w:#?}"));
    assert_eq!((notes.work.calls, notes.work.rows), (60, 60));
    assert_eq!((notes.user.as_str(), notes.database.as_str()), ("app", "app"));
    assert!(
        notes.toplevel && notes.work.ms > 0.0 && notes.work.blocks >= 60,
        "{notes:?}"
    );
    assert!(notes.usual.is_none(), "nothing is usual yet");
    let text = notes.text.as_deref().expect("a text");
    assert_eq!(text, "SELECT body FROM notes WHERE id = $1 + $2");
    let fingerprint = notes.fingerprint.clone().expect("an id");
    assert_eq!(
        fingerprint,
        muster_model::fingerprint::of("select body from notes where id = ? + ?")
    );
    assert!(w.total.calls >= 60 && w.total.calls < 200, "{:?}", w.total);
    assert!(
        w.own.calls > 5,
        "what we ask is counted, and not as theirs: {:?}",
        w.own
    );
    assert!(w.top.iter().all(|t| t.user != "muster"), "{w:#?}");

    // A table made anew has another queryid and the same text.
    let queryid = notes.queryid.clone();
    boss.batch_execute(
        "CREATE TABLE copied AS TABLE notes; DROP TABLE notes CASCADE; ALTER TABLE copied RENAME TO notes; \
                        GRANT ALL ON notes TO app",
    )
    .await
    .expect("anew");
    work(&app, 30, "SELECT body FROM notes WHERE id = {i} + 1").await;
    let seen = look(&observer, began.plus(Span::from_secs(30))).await;
    let ids: Vec<_> = window(&seen)
        .top
        .iter()
        .filter(|t| t.fingerprint.as_ref() == Some(&fingerprint))
        .map(|t| (t.queryid == queryid, t.work.calls))
        .collect();
    if major < 18 {
        assert!(ids.contains(&(true, 60)) && ids.contains(&(false, 30)), "{ids:?}");
    } else {
        assert_eq!(ids.iter().map(|i| i.1).sum::<u64>(), 90, "{ids:?}");
    }

    // After a minute it is usual, and by its text both are one.
    work(&app, 1, "SELECT body FROM notes WHERE id = {i} + 1").await;
    let seen = look(&observer, began.plus(Span::from_secs(100))).await;
    let notes = of(&seen, "FROM notes").expect("called once more");
    let usual = notes.usual.expect("usual");
    assert!(usual.calls > 80.0 && usual.calls < 91.0, "{usual:?}");
    assert!(
        (usual.rows_per_call - 1.0).abs() < 1e-6 && usual.mean_ms > 0.0,
        "{usual:?}"
    );

    // What began anew is no work, and what a person cannot reset by accident is not reset by us.
    boss.batch_execute("SELECT pg_stat_statements_reset()")
        .await
        .expect("resets");
    work(&app, 5, "SELECT body FROM notes WHERE id = {i} + 1").await;
    look(&observer, began.plus(Span::from_secs(200))).await;
    work(&app, 7, "SELECT body FROM notes WHERE id = {i} + 1").await;
    let seen = look(&observer, began.plus(Span::from_secs(215))).await;
    assert_eq!(of(&seen, "FROM notes").map(|n| n.work.calls), Some(7));
    let entries = boss
        .query_one("SELECT count(*) FROM pg_stat_statements", &[])
        .await
        .expect("counts");
    assert!(entries.get::<_, i64>(0) > 5, "nobody else reset it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_statement_did_is_told_on_15() {
    what_each_statement_did_is_told(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_statement_did_is_told_on_18() {
    what_each_statement_did_is_told(18).await;
}

/// The extension may be older than its server, in any schema of any database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_of_any_version_is_found_in_any_schema_of_any_database() {
    for (major, versions) in [
        (15, vec!["1.8", "1.9", "1.10"]),
        (18, vec!["1.8", "1.10", "1.11", "1.12"]),
    ] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let (root, app) = (boss(&test).await, login(&test, User::App, "app").await);
        root.batch_execute("DROP EXTENSION pg_stat_statements")
            .await
            .expect("drops");
        root.batch_execute("CREATE DATABASE \"other One\"")
            .await
            .expect("creates");
        let other = login(&test, User::Postgres, "other One").await;
        other
            .batch_execute("CREATE SCHEMA \"odd \"\"Schema\"")
            .await
            .expect("creates");
        other
            .batch_execute("CREATE EXTENSION pg_stat_statements SCHEMA \"odd \"\"Schema\"")
            .await
            .expect("creates");
        let seen = look(&observer(&test.fleet), now()).await;
        assert!(seen.servers[0].statements.is_none(), "nobody may look there");
        let gap = seen.gap("statements", "shop/a").expect("a gap");
        let remedy = gap.remedy.as_deref().expect("a remedy");
        let grant = remedy.strip_suffix("; in database other One").expect(remedy);
        other.batch_execute(grant).await.expect(grant);
        for version in versions {
            let create = format!(
                "DROP EXTENSION IF EXISTS pg_stat_statements; \
                 CREATE EXTENSION pg_stat_statements SCHEMA \"odd \"\"Schema\" VERSION '{version}'"
            );
            other.batch_execute(&create).await.expect(version);
            let observer = observer(&test.fleet);
            let began = now();
            look(&observer, began).await;
            work(&app, 9, "SELECT body FROM notes WHERE id = {i}").await;
            let seen = look(&observer, began.plus(Span::from_secs(15))).await;
            let read = statements(&seen);
            assert_eq!(
                (read.database.as_str(), read.version.as_str()),
                ("other One", version)
            );
            assert_eq!(read.evictions.is_some(), version != "1.8");
            let notes = of(&seen, "FROM notes").unwrap_or_else(|| panic!("{version}: {read:#?}"));
            assert_eq!(notes.work.calls, 9, "{version}");
            assert!(seen.gaps.is_empty(), "{:?}", seen.gaps);
        }
        other
            .batch_execute(
                "DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '1.7'",
            )
            .await
            .expect("1.7");
        let seen = look(&observer(&test.fleet), now()).await;
        assert_eq!(
            statements(&seen).off,
            Some(StatementsOff::Outdated {
                version: "1.7".into(),
                database: "other One".into()
            })
        );
    }
}

/// What is missing is told step by step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_there_are_no_statistics_is_told() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let watching = observer(&test.fleet);
        let root = boss(&test).await;
        root.batch_execute("ALTER SYSTEM SET pg_stat_statements.track = 'none'")
            .await
            .expect("sets");
        root.batch_execute("SELECT pg_reload_conf()")
            .await
            .expect("reloads");
        let off = statements_until(&watching, |s| s.off.is_some()).await;
        assert_eq!(
            off,
            Some(StatementsOff::NotCounting {
                setting: "pg_stat_statements.track".into(),
                value: "none".into()
            })
        );
        root.batch_execute("DROP EXTENSION pg_stat_statements")
            .await
            .expect("drops");
        let off = statements(&look(&watching, now()).await).off.clone();
        assert_eq!(
            off,
            Some(StatementsOff::NotCreated {
                looked_into: 2,
                refused: 0
            })
        );

        root.batch_execute("CREATE EXTENSION pg_stat_statements")
            .await
            .expect("creates");
        root.batch_execute("ALTER SYSTEM SET shared_preload_libraries = 'auto_explain'")
            .await
            .expect("sets");
        drop(root);
        let mut fleet = Fleet::open(&test.fleet.dir).expect("fleet");
        stop(&fleet, "a", How::Fast).await.expect("stops");
        start(&mut fleet, "a").await.expect("starts");
        fleet.save().expect("saves");
        let again = watching_of(&fleet);
        let seen = look(&again, now()).await;
        assert_eq!(
            statements(&seen).off,
            Some(StatementsOff::NotPreloaded {
                created_in: Some("app".into())
            })
        );
        assert!(seen.gap("statements", "shop/a").is_none(), "{:?}", seen.gaps);
    }
}

fn watching_of(fleet: &Fleet) -> Observer {
    watching(cluster(
        fleet,
        "muster",
        &fleet.password(User::Muster).expect("password"),
    ))
}

async fn statements_until(observer: &Observer, seen: impl Fn(&Statements) -> bool) -> Option<StatementsOff> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let snapshot = look(observer, now()).await;
        let read = statements(&snapshot);
        if seen(read) {
            return read.off.clone();
        }
        assert!(Instant::now() < deadline, "{read:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_others_are_a_gap_with_the_line_that_closes_it() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = boss(&test).await;
        boss.batch_execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
            .await
            .expect("role");
        work(&login(&test, User::App, "app").await, 3, "SELECT body FROM notes").await;
        let seen = look(&watching(cluster(&test.fleet, "plain", "plain")), now()).await;
        assert!(statements(&seen).hidden > 0, "{:?}", statements(&seen));
        let gap = seen.gap("statements", "shop/a").expect("a gap");
        let remedy = gap.remedy.clone().expect("a remedy");
        boss.batch_execute(&remedy).await.expect(&remedy);
        let seen = look(&watching(cluster(&test.fleet, "plain", "plain")), now()).await;
        assert_eq!(statements(&seen).hidden, 0);
        assert!(seen.gap("statements", "shop/a").is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_tables_that_are_read_from_end_to_end_are_told() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let app = login(&test, User::App, "app").await;
        app.batch_execute(
            "CREATE TABLE orders AS SELECT g AS id, g % 1000 AS customer FROM generate_series(1, 20000) g; \
             ANALYZE orders",
        )
        .await
        .expect("a large table");
        let observer = observer(&test.fleet);
        look(&observer, now()).await;
        work(&app, 5, "SELECT id FROM orders WHERE customer = {i}").await;
        let deadline = Instant::now() + Duration::from_secs(20);
        let grown = loop {
            let seen = look(&observer, now()).await;
            let app = seen.servers[0].databases.iter().find(|d| d.name == "app");
            let part = app.and_then(|d| d.scans.as_ref()).expect("read");
            let tables: Vec<&str> = part.value.iter().map(|t| t.name.as_str()).collect();
            assert_eq!(tables, ["orders"], "small tables and the catalogue are left out");
            let orders = &part.value[0];
            assert!(orders.rows >= 20_000 && orders.pages > 50, "{orders:?}");
            let scans = orders.counted.in_a_minute(|c| c.scans).map_or(0, |g| g.by);
            if scans >= 5 {
                break orders.counted.in_a_minute(|c| c.rows).map_or(0, |g| g.by);
            }
            assert!(Instant::now() < deadline, "{orders:?}");
            tokio::task::yield_now().await;
        };
        assert!(grown >= 100_000, "{grown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sessions_wait_for_is_sampled_and_the_heart_beats() {
    let Some(test) = testing::fleet(testing::small(18)).await else {
        return;
    };
    let observer = observer(&test.fleet);
    let began = now();
    let quiet = observer.pass(began, Extent::Hot).await;
    let waits = &quiet.servers[0].waits.as_ref().expect("waits").value;
    assert_eq!(
        (waits.samples, waits.active, waits.cores),
        (1, 0, None),
        "{waits:?}"
    );
    assert!(waits.sees_all);
    let app = login(&test, User::App, "app").await;
    let sleeping = tokio::spawn(async move { app.batch_execute("SELECT pg_sleep(60)").await });
    let seen = until("a sleeper is sampled twice", &observer, |s| {
        let waits = s.servers[0].waits.as_ref().map(|w| &w.value);
        waits.is_some_and(|w| w.by.iter().any(|b| b.event == "PgSleep" && b.seen >= 2))
    })
    .await;
    let waits = &seen.servers[0].waits.as_ref().expect("waits").value;
    assert_eq!(waits.by[0].wait_type, "Timeout");
    assert!(waits.samples >= 3 && waits.peak == 1 && u64::from(waits.samples) > waits.active);
    sleeping.abort();
}

/// The faults of statements, as the collectors see them. Time goes on by a quarter of a minute a look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_faults_of_statements_are_seen_and_go_away() {
    for major in [15, 18] {
        let Some(mut test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let (observer, mut at) = (observer(&test.fleet), now());
        test.inject("slow-statements", &[]).await;
        let seen = looks_until(&observer, &mut at, |s| {
            of(s, "pg_sleep").is_some_and(|t| t.work.calls >= 8 && t.work.mean_ms() > 240.0)
        })
        .await;
        assert!(
            of(&seen, "FROM notes WHERE id = $1").is_some(),
            "the short ones too"
        );
        test.heal().await;

        test.inject("large-table-lookups", &[]).await;
        let seen = looks_until(&observer, &mut at, |s| {
            of(s, "lab_orders WHERE").is_some_and(|t| t.work.calls >= 20 && t.work.blocks_per_call() < 100.0)
        })
        .await;
        assert!(of(&seen, "lab_orders WHERE").is_some_and(|t| t.work.mean_ms() < 50.0));
        test.inject("index-dropped", &[]).await;
        looks_until(&observer, &mut at, |s| {
            of(s, "lab_orders WHERE").is_some_and(|t| {
                let usual = t.usual.map_or(0.0, |u| u.blocks_per_call);
                usual > 0.0 && t.work.blocks_per_call() > 10.0 * usual
            })
        })
        .await;
        test.heal().await;

        test.inject("missing-index", &[]).await;
        let seen = looks_until(&observer, &mut at, |s| {
            of(s, "lab_orders WHERE").is_some_and(|t| t.work.calls >= 5 && t.work.blocks_per_call() > 2000.0)
        })
        .await;
        let lookup = of(&seen, "lab_orders WHERE").expect("seen");
        assert!((lookup.work.rows_per_call() - 40.0).abs() < 1.0, "{lookup:?}");
        test.heal().await;

        test.inject("temp-spill", &[]).await;
        let seen = looks_until(&observer, &mut at, |s| {
            of(s, "generate_series").is_some_and(|t| t.work.temp_blocks > 1000)
        })
        .await;
        assert!(of(&seen, "generate_series").is_some_and(|t| t.toplevel));
        test.heal().await;

        test.inject("row-by-row", &[]).await;
        let seen = looks_until(&observer, &mut at, |s| {
            of(s, "lab_rows").is_some_and(|t| t.work.calls > 200)
        })
        .await;
        assert!(of(&seen, "lab_rows").is_some_and(|t| (t.work.rows_per_call() - 1.0).abs() < 1e-9));
        test.heal().await;

        for (drop, why) in [("false", "not_counting"), ("true", "not_created")] {
            test.inject("statistics-off", &[("drop", drop)]).await;
            let off = statements_until(&observer, |s| s.off.is_some()).await;
            let told = serde_json::to_value(off).expect("json");
            assert_eq!(told["why"], why);
            test.heal().await;
            statements_until(&observer, |s| s.off.is_none()).await;
        }
    }
}

/// Looks again and again, each a quarter of a minute after the last on our clock.
async fn looks_until(observer: &Observer, at: &mut Time, seen: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let snapshot = look(observer, *at).await;
        if statements(&snapshot).window.is_some() && seen(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < deadline, "{:#?}", statements(&snapshot).window);
        *at = at.plus(Span::from_secs(15));
    }
}
