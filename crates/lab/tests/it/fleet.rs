//! Up, status, down; faults come and go; a lost write is found; nothing is left behind.

use std::path::Path;
use std::time::{Duration, Instant};

use muster_lab::fleet::{User, connect};
use muster_lab::server::{How, postmaster, stop};
use muster_lab::testing;
use muster_lab::{Fleet, LabError, LabOptions, down, ledger, status};

fn whole(major: u32) -> LabOptions {
    let mut options = testing::small(major);
    options.standbys = 2;
    options.pooler = true;
    options.cache = true;
    options
}

/// Processes whose command line names the folder.
fn processes(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    procfs::process::all_processes()
        .expect("proc")
        .flatten()
        .filter_map(|p| p.cmdline().ok())
        .filter(|c| c.iter().any(|a| a.contains(&dir)))
        .map(|c| c.join(" "))
        .collect()
}

/// The id of the primary's segment of shared memory: the second word of line 7 of its `postmaster.pid`.
fn segment(fleet: &Fleet) -> String {
    let file = fleet.data("a").join("postmaster.pid");
    let text = std::fs::read_to_string(file).expect("runs");
    let line = text.lines().nth(6).expect("a line for the shared memory");
    line.split_whitespace().nth(1).expect("an id").to_owned()
}

fn segment_exists(id: &str) -> bool {
    let all = std::fs::read_to_string("/proc/sysvipc/shm").expect("shm");
    all.lines().any(|l| l.split_whitespace().nth(1) == Some(id))
}

async fn number(fleet: &Fleet, server: &str, sql: &str) -> i64 {
    let client = connect(&fleet.config(server, User::Postgres, "app").expect("config"))
        .await
        .expect("login");
    client.query_one(sql, &[]).await.expect("query").get(0)
}

async fn becomes(fleet: &Fleet, server: &str, sql: &str, wanted: impl Fn(i64) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = number(fleet, server, sql).await;
        if wanted(seen) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql} stays {seen}");
        tokio::task::yield_now().await;
    }
}

fn whole_at(dir: &Path) -> LabOptions {
    let mut options = whole(15);
    options.dir = dir.to_owned();
    options
}

const STREAMING: &str = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_fleet_comes_up_and_leaves_nothing() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(whole(major)).await else {
            return;
        };
        let dir = test.fleet.dir.clone();
        let now = status(&test.fleet);
        assert_eq!(
            now.parts.iter().filter(|p| p.state == "running").count(),
            5,
            "{now:?}"
        );
        becomes(&test.fleet, "a", STREAMING, |n| n == 2).await;
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE active";
        becomes(&test.fleet, "a", slots, |n| n == 2).await;
        assert_eq!(
            number(
                &test.fleet,
                "a",
                "SELECT current_setting('server_version_num')::int8 / 10000"
            )
            .await,
            i64::from(major)
        );
        assert_eq!(
            number(
                &test.fleet,
                "a",
                "SELECT (current_setting('data_checksums') = 'on')::int4::int8"
            )
            .await,
            1
        );
        assert_eq!(
            number(
                &test.fleet,
                "b",
                "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'"
            )
            .await,
            1
        );
        let pooled = connect(&test.fleet.app().expect("config"))
            .await
            .expect("login through the pooler");
        pooled
            .simple_query("SELECT 1")
            .await
            .expect("query through the pooler");
        let second = muster_lab::up(&whole_at(&dir), &|_, _, _| {}).await;
        assert!(matches!(second, Err(LabError::There { .. })), "{second:?}");
        let id = segment(&test.fleet);
        assert!(segment_exists(&id));
        // A killed postmaster leaves a segment of shared memory; down must find it from the folder alone.
        stop(&test.fleet, "a", How::Kill).await.expect("kill");
        drop(test);
        assert_eq!(processes(&dir), Vec::<String>::new());
        assert!(!dir.exists());
        assert!(!segment_exists(&id), "shared memory is left");
    }
}

#[tokio::test]
async fn a_foreign_folder_is_left_alone_and_a_stale_one_is_recognised() {
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("precious"), "x").expect("writes");
    assert!(matches!(
        muster_lab::up(&whole_at(dir.path()), &|_, _, _| {}).await,
        Err(LabError::Foreign { .. })
    ));
    assert!(matches!(down(dir.path()).await, Err(LabError::Foreign { .. })));
    assert!(dir.path().join("precious").exists());
    let Some(test) = testing::fleet(testing::small(15)).await else {
        return;
    };
    let marker = test.fleet.data("a").join("muster-lab.json");
    let own = std::fs::read_to_string(&marker).expect("marker");
    std::fs::write(&marker, own.replace(&test.fleet.id, "another")).expect("writes");
    assert!(matches!(
        down(&test.fleet.dir).await,
        Err(LabError::Foreign { .. })
    ));
    assert!(postmaster(&test.fleet, "a").is_some(), "it still runs");
    std::fs::write(&marker, own).expect("writes");
    stop(&test.fleet, "a", How::Fast).await.expect("stops");
    match muster_lab::up(&whole_at(&test.fleet.dir), &|_, _, _| {}).await {
        Err(LabError::There { what, .. }) => assert!(what.starts_with("stale"), "{what}"),
        other => panic!("{other:?}"),
    }
    let long = "/var/tmp/".to_owned() + &"x".repeat(100);
    assert!(matches!(
        muster_lab::up(&whole_at(Path::new(&long)), &|_, _, _| {}).await,
        Err(LabError::LongPath { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_come_and_go() {
    let Some(mut test) = testing::fleet(whole(15)).await else {
        return;
    };
    becomes(&test.fleet, "a", STREAMING, |n| n == 2).await;
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'notes-worker' AND state = 'idle in transaction'";
    test.inject("idle-in-transaction-leak", &[]).await;
    becomes(&test.fleet, "a", idle, |n| n == 10).await;
    test.heal().await;
    becomes(&test.fleet, "a", idle, |n| n == 0).await;

    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    for (fault, params, waiters) in [
        ("lock-chain", vec![("depth", "1"), ("waiters", "5")], 5),
        ("lock-chain", vec![("depth", "3"), ("waiters", "4")], 6),
        ("lock-chain", vec![("waiters", "150")], 150),
        ("ddl-queue", vec![("readers", "6")], 7),
    ] {
        test.inject(fault, &params).await;
        becomes(&test.fleet, "a", waiting, |n| n == waiters).await;
        test.heal().await;
        becomes(&test.fleet, "a", waiting, |n| n == 0).await;
    }

    test.inject("slow-server", &[]).await;
    let slow = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'";
    becomes(&test.fleet, "a", slow, |n| n == 10).await;
    test.heal().await;

    test.inject("connection-flood", &[]).await;
    let refused = connect(&test.fleet.config("a", User::App, "app").expect("config")).await;
    let said = refused
        .err()
        .and_then(|e| e.as_db_error().map(|d| d.code().code().to_owned()));
    assert_eq!(said.as_deref(), Some("53300"));
    test.heal().await;

    test.inject("standby-stopped", &[]).await;
    becomes(&test.fleet, "a", STREAMING, |n| n == 1).await;
    test.heal().await;
    becomes(&test.fleet, "a", STREAMING, |n| n == 2).await;

    test.inject("standby-paused", &[]).await;
    assert_eq!(
        number(&test.fleet, "b", "SELECT pg_is_wal_replay_paused()::int::int8").await,
        1
    );
    test.heal().await;
    assert_eq!(
        number(&test.fleet, "b", "SELECT pg_is_wal_replay_paused()::int::int8").await,
        0
    );

    test.inject("primary-killed", &[]).await;
    assert!(
        connect(&test.fleet.config("a", User::App, "app").expect("config"))
            .await
            .is_err()
    );
    test.heal().await;
    becomes(&test.fleet, "a", STREAMING, |n| n == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_ends_by_itself_and_a_lost_write_is_found() {
    let Some(test) = testing::fleet(testing::small(18)).await else {
        return;
    };
    let lasts = muster_model::Span::from_millis(1500);
    let record = muster_lab::fault::record(&test.fleet, "lock-chain", &[], lasts).expect("record");
    muster_lab::fault::hold(&test.fleet, &record.id)
        .await
        .expect("ends by its dead-man's switch");
    assert!(muster_lab::fault::open(&test.fleet).is_empty());
    let wrong = [("depth".to_owned(), "deep".to_owned())];
    assert!(muster_lab::fault::record(&test.fleet, "lock-chain", &wrong, lasts).is_err());

    let enough = async { becomes(&test.fleet, "a", "SELECT count(*) FROM ledger", |n| n >= 3).await };
    ledger::traffic(&test.fleet, 1, enough).await.expect("traffic");
    let clean = ledger::audit(&test.fleet).await.expect("audit");
    assert!(clean.acknowledged >= 2 && clean.lost == 0, "{clean:?}");
    let client = connect(&test.fleet.config("a", User::App, "app").expect("config"))
        .await
        .expect("login");
    let one = "DELETE FROM ledger WHERE seq = (SELECT min(seq) FROM ledger)";
    client.execute(one, &[]).await.expect("deletes");
    assert_eq!(ledger::audit(&test.fleet).await.expect("audit").lost, 1);
}
