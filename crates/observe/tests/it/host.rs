//! A server's log and its host, seen while real things happen to a real server: a deadlock, a wrong password, a killed backend,
//! a start that is refused, a log that rotates.

use std::path::Path;
use std::time::{Duration, Instant};

use muster_lab::Fleet;
use muster_lab::fleet::{User, connect};
use muster_lab::server::{How, start, stop};
use muster_lab::testing::{self, TestFleet};
use muster_model::Snapshot;
use muster_model::snapshot::{Holding, HostView, LogClass, LogEvent, LogFormat, Reach, ServerLog};
use muster_observe::{Extent, Observer};
use muster_reach::HostConfig;
use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::Client;

use crate::estate::{cluster, now, until, watching};

/// Watches a fleet whose first server's host is enrolled.
fn near(fleet: &Fleet) -> Observer {
    let mut config = cluster(fleet, "muster", &fleet.password(User::Muster).expect("password"));
    config.servers[0].host = Some(HostConfig {
        local: true,
        data_dir: Some(fleet.data("a")),
        log: Some(fleet.log("a")),
    });
    watching(config)
}

async fn client(fleet: &Fleet, user: User) -> Client {
    let config = fleet.config("a", user, "app").expect("config");
    connect(&config).await.expect("login")
}

fn host(s: &Snapshot) -> Option<&HostView> {
    s.servers.first()?.host.as_ref()
}

fn log(s: &Snapshot) -> Option<&ServerLog> {
    Some(&host(s)?.log.as_ref()?.value)
}

fn event(s: &Snapshot, class: LogClass) -> Option<&LogEvent> {
    log(s)?.events.iter().rev().find(|e| e.class == class)
}

async fn restart(test: &TestFleet) {
    let mut fleet = Fleet::open(&test.fleet.dir).expect("fleet");
    stop(&fleet, "a", How::Fast).await.expect("stops");
    start(&mut fleet, "a").await.expect("starts");
    fleet.save().expect("saved");
}

/// Two transactions that take two rows in different orders. A deadlock ends one of them.
async fn deadlock(fleet: &Fleet) {
    let (one, two) = (client(fleet, User::App).await, client(fleet, User::App).await);
    for (c, row) in [(&one, 1), (&two, 2)] {
        let take = format!("BEGIN; UPDATE notes SET body = 'geheim {row}' WHERE id = {row}");
        c.batch_execute(&take).await.expect("taken");
    }
    let (a, b) = tokio::join!(
        one.batch_execute("UPDATE notes SET body = 'geheim' WHERE id = 2"),
        two.batch_execute("UPDATE notes SET body = 'geheim' WHERE id = 1"),
    );
    let states: Vec<String> = [a, b]
        .into_iter()
        .filter_map(Result::err)
        .filter_map(|e| e.code().map(|c| c.code().to_owned()))
        .collect();
    assert_eq!(states, ["40P01"], "one of them ends");
}

async fn wrong_passwords(fleet: &Fleet, times: usize) {
    let mut config = fleet.config("a", User::App, "app").expect("config");
    config.password("wrong");
    for _ in 0..times {
        assert!(connect(&config).await.is_err());
    }
}

/// What a running server's host and log show, then what happens to it.
async fn seen(major: u32, destination: Option<&str>) {
    let Some(test) = testing::fleet(testing::small(major)).await else {
        return;
    };
    if let Some(destination) = destination {
        let root = client(&test.fleet, User::Postgres).await;
        for (name, value) in [("logging_collector", "on"), ("log_destination", destination)] {
            root.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'"))
                .await
                .expect("set");
        }
        drop(root);
        restart(&test).await;
    }
    let fleet = Fleet::open(&test.fleet.dir).expect("fleet");
    let observer = near(&fleet);
    let first = until("the host and its log", &observer, |s| {
        log(s).is_some_and(|l| l.durations.at_least_ms.is_some())
    })
    .await;
    assert_eq!(first.gaps, []);
    healthy(host(&first).expect("host"), destination);

    deadlock(&fleet).await;
    wrong_passwords(&fleet, 3).await;
    let root = client(&fleet, User::Postgres).await;
    root.batch_execute("SET log_min_duration_statement = 0; SELECT 'geheim'")
        .await
        .expect("logged");
    let after = until("deadlock, refusals and duration", &observer, |s| {
        log(s).is_some_and(|l| {
            !l.deadlocks.is_empty() && l.count(LogClass::Authentication).minute >= 3 && l.durations.minute > 0
        })
    })
    .await;
    let log = log(&after).expect("log");
    let shape = &log.deadlocks[0];
    assert_eq!(
        (shape.five_minutes, shape.cycle.len(), shape.processes.len()),
        (1, 2, 2),
        "{shape:?}"
    );
    assert_eq!(shape.relations, ["notes"]);
    for wait in &shape.cycle {
        assert_eq!(
            (wait.mode.as_str(), wait.on.as_str()),
            ("ShareLock", "transaction")
        );
        assert_eq!(
            wait.statement.as_deref(),
            Some("UPDATE notes SET body = ? WHERE id = ?")
        );
    }
    let refused = &log.rejections[0];
    assert_eq!(
        (refused.user.as_deref(), refused.why.as_str(), refused.minute),
        (Some("app"), "password", 3)
    );
    if destination.is_some() {
        assert_eq!(refused.client.as_deref(), Some("127.0.0.1"));
        assert_eq!(shape.database.as_deref(), Some("app"));
    }
    assert!(
        log.durations
            .newest
            .iter()
            .any(|d| d.statement.as_deref().is_some_and(|s| s.ends_with("SELECT ?")))
    );
    assert_eq!(log.files.iter().map(|f| f.skipped).sum::<u64>(), 0);
    let said = serde_json::to_string(&after).expect("writes");
    assert!(!said.contains("geheim"), "no literal leaves");

    if destination.is_some() {
        root.batch_execute("RESET log_min_duration_statement; SELECT pg_catalog.pg_rotate_logfile()")
            .await
            .expect("rotates");
        wrong_passwords(&fleet, 2).await;
        let rotated = until("what was said after the rotation", &observer, |s| {
            self::log(s).is_some_and(|l| l.count(LogClass::Authentication).minute >= 5)
        })
        .await;
        assert_eq!(
            self::log(&rotated)
                .expect("log")
                .count(LogClass::Authentication)
                .ever,
            5,
            "and nothing twice"
        );
    }
}

fn healthy(host: &HostView, destination: Option<&str>) {
    assert!(!host.name.is_empty());
    let log = &host.log.as_ref().expect("log").value;
    let format = match destination {
        Some("jsonlog") => LogFormat::Json,
        Some("csvlog") => LogFormat::Csv,
        _ => LogFormat::Stderr,
    };
    assert!(log.files.iter().any(|f| f.format == format), "{:?}", log.files);
    let ready = log
        .events
        .iter()
        .rev()
        .find(|e| e.class == LogClass::Ready)
        .expect("it was ready");
    assert!(
        ready.dated && now().since(ready.at) < muster_model::Span::from_mins(5),
        "{ready:?}"
    );
    assert_eq!(log.durations.at_least_ms, Some(-1));
    let disks = &host.disks.as_ref().expect("disks").value;
    assert_eq!((disks.wal_seen, disks.segment), (true, 16 << 20));
    let volume = disks
        .volumes
        .iter()
        .find(|v| v.holds(Holding::Wal))
        .expect("a volume with WAL");
    assert!(volume.size > volume.free && volume.mount.starts_with('/'));
    let wal = volume.holds.iter().find(|h| h.what == Holding::Wal).expect("WAL");
    assert!(
        wal.complete && wal.bytes.is_some_and(|b| b >= 16 << 20),
        "at least a segment: {wal:?}"
    );
    let load = &host.load.as_ref().expect("load").value;
    assert!(load.cores > 0 && load.booted_at.is_some());
    let memory = &host.memory.as_ref().expect("memory").value;
    assert!(memory.available > 0 && memory.available < memory.total);
    assert!(
        memory.processes >= 4 && memory.own > 0 && !memory.backends.is_empty(),
        "{memory:?}"
    );
    assert_eq!(
        host.postmaster.as_ref().expect("lock file").value.serves,
        Some(true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stderr_of_15_is_read() {
    seen(15, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csvlog_of_15_is_read_through_a_rotation() {
    seen(15, Some("csvlog")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stderr_of_18_is_read() {
    seen(18, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jsonlog_of_18_is_read_through_a_rotation() {
    seen(18, Some("jsonlog")).await;
}

/// A backend killed by hand: the log tells of the crash, the kernel's counter of no want of memory.
async fn killed(major: u32) {
    let Some(test) = testing::fleet(testing::small(major)).await else {
        return;
    };
    let observer = near(&test.fleet);
    until("the log", &observer, |s| log(s).is_some()).await;
    let victim = client(&test.fleet, User::App).await;
    let pid: i32 = victim
        .query_one("SELECT pg_catalog.pg_backend_pid()", &[])
        .await
        .expect("pid")
        .get(0);
    let sleep = tokio::spawn(async move {
        victim
            .batch_execute("SELECT pg_catalog.pg_sleep(60), 'geheim'")
            .await
    });
    until("it sleeps", &observer, |s| {
        let sessions = s.servers[0].activity.as_ref().map(|a| &a.value.sessions);
        sessions.is_some_and(|all| {
            all.iter()
                .any(|x| x.pid == pid && x.wait_event.as_deref() == Some("PgSleep"))
        })
    })
    .await;
    kill_process(Pid::from_raw(pid).expect("a number"), Signal::KILL).expect("killed");
    assert!(sleep.await.expect("joined").is_err());
    let after = until("the crash and that it is over", &observer, |s| {
        log(s).is_some_and(|l| l.crashes(now(), muster_model::Span::from_mins(5)).len() == 1)
            && event(s, LogClass::Ready)
                .is_some_and(|r| event(s, LogClass::CrashRecovery).is_some_and(|c| r.at >= c.at))
    })
    .await;
    let dead = event(&after, LogClass::Killed).expect("killed");
    assert_eq!(dead.named.get("process"), Some(&pid.to_string()));
    assert_eq!(dead.named.get("signal").map(String::as_str), Some("9"));
    let ran = dead.named.get("statement").expect("what it ran");
    assert!(ran.contains("pg_sleep(?)") && !ran.contains("geheim"), "{ran}");
    let kills = host(&after)
        .and_then(|h| h.memory.as_ref())
        .and_then(|m| m.value.oom_kills.as_ref());
    assert!(kills.is_some_and(|k| k.in_five_minutes(|n| *n).is_none_or(|g| g.by == 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_is_told_on_15() {
    killed(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_is_told_on_18() {
    killed(18).await;
}

/// Starts that are refused: by a lock file of somebody else, by a library that is not there, by permissions.
async fn refused(major: u32) {
    let Some(test) = testing::fleet(testing::small(major)).await else {
        return;
    };
    let mut fleet = Fleet::open(&test.fleet.dir).expect("fleet");
    let observer = near(&fleet);
    let up = until("the log", &observer, |s| log(s).is_some()).await;
    assert_eq!(event(&up, LogClass::LockFile), None);
    client(&fleet, User::Postgres)
        .await
        .batch_execute("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
        .await
        .expect("set");
    stop(&fleet, "a", How::Fast).await.expect("stops");
    let down = |s: &Snapshot| matches!(s.servers[0].reach, Reach::Down { .. });
    let stopped = until("stopped", &observer, |s| {
        down(s) && event(s, LogClass::Stopped).is_some()
    })
    .await;
    assert_eq!(
        event(&stopped, LogClass::Stopping).expect("asked").named["how"],
        "fast"
    );

    assert!(start(&mut fleet, "a").await.is_err(), "there is no such library");
    let config = until("the library", &observer, |s| event(s, LogClass::Config).is_some()).await;
    assert!(down(&config));
    assert_eq!(
        event(&config, LogClass::Config).expect("event").named["file"],
        "no_such_library"
    );

    // The number of a process that is alive and is no server.
    let mut other = fleet
        .run_as
        .command(Path::new("/bin/sleep"))
        .arg("120")
        .spawn()
        .expect("starts");
    let lock = fleet.data("a").join("postmaster.pid");
    let text = format!("{}\n{}\n1\n", other.id(), fleet.data("a").display());
    std::fs::write(&lock, text).expect("write");
    if let (Some(uid), Some(gid)) = (fleet.run_as.uid, fleet.run_as.gid) {
        std::os::unix::fs::chown(&lock, Some(uid), Some(gid)).expect("owned");
    }
    assert!(start(&mut fleet, "a").await.is_err(), "a lock file is in the way");
    let deadline = Instant::now() + Duration::from_secs(20);
    let locked = loop {
        let s = observer.pass(now(), Extent::Hot).await;
        let named = host(&s)
            .and_then(|h| h.postmaster.as_ref())
            .and_then(|p| p.value.pid);
        if event(&s, LogClass::LockFile).is_some() && named == i32::try_from(other.id()).ok() {
            break s;
        }
        assert!(Instant::now() < deadline, "not in time: {s:#?}");
        tokio::task::yield_now().await;
    };
    let e = event(&locked, LogClass::LockFile).expect("event");
    assert_eq!(e.named.get("process"), Some(&other.id().to_string()));
    assert_eq!(
        host(&locked)
            .and_then(|h| h.postmaster.as_ref())
            .expect("lock file")
            .value
            .serves,
        Some(false)
    );
    let newest = log(&locked).and_then(|l| l.stopped_by(&[LogClass::Config, LogClass::LockFile]));
    assert_eq!(newest.map(|e| e.class), Some(LogClass::LockFile));
    let _ = other.kill();
    let _ = other.wait();
    std::fs::remove_file(&lock).expect("removed");

    // A data folder that others may read.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(fleet.data("a"), std::fs::Permissions::from_mode(0o755)).expect("mode");
    assert!(start(&mut fleet, "a").await.is_err(), "wrong permissions");
    until("permissions", &observer, |s| {
        event(s, LogClass::Permission).is_some()
    })
    .await;
    std::fs::set_permissions(fleet.data("a"), std::fs::Permissions::from_mode(0o700)).expect("mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_starts_are_told_on_15() {
    refused(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_starts_are_told_on_18() {
    refused(18).await;
}

/// A page that was changed behind the server's back: its counter and its log tell, and the log names the page.
async fn damaged(major: u32) {
    let Some(test) = testing::fleet(testing::small(major)).await else {
        return;
    };
    let mut fleet = Fleet::open(&test.fleet.dir).expect("fleet");
    let observer = near(&fleet);
    let root = client(&fleet, User::Postgres).await;
    root.batch_execute("CREATE TABLE damaged AS SELECT g AS id FROM generate_series(1, 100) g; CHECKPOINT")
        .await
        .expect("made");
    let path: String = root
        .query_one("SELECT pg_catalog.pg_relation_filepath('damaged')", &[])
        .await
        .expect("path")
        .get(0);
    drop(root);
    stop(&fleet, "a", How::Fast).await.expect("stops");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(fleet.data("a").join(&path))
        .expect("open");
    std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 4000).expect("write");
    start(&mut fleet, "a").await.expect("starts");
    fleet.save().expect("saved");
    let root = client(&fleet, User::Postgres).await;
    let refused = root
        .batch_execute("SELECT count(*) FROM damaged")
        .await
        .expect_err("a damaged page");
    assert_eq!(refused.code().map(|c| c.code()), Some("XX001"));
    let seen = until("the damage", &observer, |s| {
        let counted = s.servers[0].traffic.as_ref().is_some_and(|t| {
            t.value
                .iter()
                .any(|d| d.database == "app" && d.counted.now.checksum_failures > 0)
        });
        counted && log(s).is_some_and(|l| l.events.iter().any(|e| e.named.contains_key("block")))
    })
    .await;
    let all = &log(&seen).expect("log").events;
    let page = all
        .iter()
        .find(|e| e.named.contains_key("block"))
        .expect("the page");
    assert_eq!(
        (page.class, page.named["block"].as_str()),
        (LogClass::Corruption, "0")
    );
    assert_eq!(page.named["relation"], path);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_named_on_15() {
    damaged(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_named_on_18() {
    damaged(18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_names_is_a_gap_with_its_remedy() {
    let Some(test) = testing::fleet(testing::small(15)).await else {
        return;
    };
    let mut config = cluster(
        &test.fleet,
        "muster",
        &test.fleet.password(User::Muster).expect("password"),
    );
    config.servers[0].host = Some(HostConfig {
        local: true,
        ..HostConfig::default()
    });
    let observer = watching(config);
    let s = until("a look at the host", &observer, |s| {
        host(s).is_some_and(|h| h.load.is_some())
    })
    .await;
    let gap = s.gap("log", "shop/a").expect("a gap");
    assert!(gap.reason.contains("standard error"), "{gap:?}");
    assert!(gap.remedy.as_ref().is_some_and(|r| r.contains("host.log")));
    assert_eq!(log(&s), None, "not read is not healthy");
    // The monitoring role may ask where the data is.
    assert!(host(&s).is_some_and(|h| h.disks.as_ref().is_some_and(|d| d.value.wal_seen)));
    let elsewhere = watching(cluster(
        &test.fleet,
        "muster",
        &test.fleet.password(User::Muster).expect("password"),
    ));
    let s = elsewhere.pass(now(), Extent::Hot).await;
    assert_eq!(
        (host(&s), s.gaps.len()),
        (None, 0),
        "a host that is not enrolled lacks nothing"
    );
}
