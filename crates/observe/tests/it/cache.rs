//! The Redis of a lab's fleet, set to what it must not be: full, evicting, forbidden, alone, unsaved, stopped.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use muster_lab::testing::{self, TestFleet};
use muster_model::Snapshot;
use muster_model::snapshot::{CacheStats, Reach, Rung};
use muster_observe::{Extent, Observer};
use muster_reach::{CacheConfig, ClusterConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::estate::{login, now, until, watching};

/// A fleet with a Redis; of PostgreSQL nothing is asked.
async fn with_redis() -> Option<TestFleet> {
    let mut options = testing::small(15);
    options.cache = true;
    testing::fleet(options).await
}

fn secret(test: &TestFleet) -> String {
    let path = test.fleet.dir.join("secrets").join("redis");
    std::fs::read_to_string(path).expect("secret").trim().to_owned()
}

fn port(test: &TestFleet) -> u16 {
    test.fleet.cache.as_ref().expect("cache").port
}

/// An observer of the Redis alone, as this user.
fn observer(test: &TestFleet, user: &str, password: &str) -> Observer {
    watching(ClusterConfig {
        name: "shop".into(),
        servers: Vec::new(),
        poolers: Vec::new(),
        caches: vec![CacheConfig {
            name: "cache".into(),
            address: "shop/cache".into(),
            login: login(format!("redis://{user}:{password}@127.0.0.1:{}", port(test))),
        }],
        apps: Vec::new(),
    })
}

/// Says commands to the Redis, and what it answers to all of them.
async fn say(test: &TestFleet, commands: &[&[&str]]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port(test)))
        .await
        .expect("connects");
    let mut text = String::new();
    let secret = secret(test);
    let first: &[&str] = &["AUTH", &secret];
    for command in [first].iter().chain(commands).chain(&[&["QUIT"] as &[&str]]) {
        text.push_str(&format!("*{}\r\n", command.len()));
        for word in *command {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
    }
    stream.write_all(text.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    answer
}

fn stats(s: &Snapshot) -> &CacheStats {
    &s.caches[0].stats.as_ref().expect("stats").value
}

fn kill(signal: &str, pid: i32) {
    let done = Command::new("/bin/kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(done.expect("runs").success(), "kill {signal} {pid}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_read_whole_and_no_key_of_it() {
    let Some(test) = with_redis().await else { return };
    let secret = secret(&test);
    let observer = observer(&test, "default", &secret);
    let first = observer.pass(now(), Extent::All).await;
    assert_eq!(first.gaps, Vec::new());
    let before = stats(&first);
    assert_eq!(before.counted.minute, None, "nothing was before the first look");
    assert_eq!(
        (before.memory.policy.as_str(), before.memory.max),
        ("noeviction", 64 << 20)
    );
    assert!(before.memory.used > 0 && before.memory.resident > 0 && before.memory.fragmentation.is_some());
    assert!(before.clients.connected >= 1 && before.clients.max > Some(100));
    assert!(!before.replication.replica && before.replication.link_up.is_none());
    assert_eq!(before.persistence.saves, Some(false), "the lab's saves nothing");
    assert!(before.persistence.snapshot_ok && !before.persistence.append_only);
    assert!(first.taken_at.since(before.started_at) < muster_model::Span::from_mins(5));

    let answer = say(
        &test,
        &[
            &["CONFIG", "SET", "slowlog-log-slower-than", "0"],
            &["SET", "user:7:token", "a-very-secret-value", "EX", "600"],
            &["SET", "plain", "x"],
            &["CONFIG", "SET", "slowlog-log-slower-than", "1000000"],
            &["GET", "plain"],
            &["GET", "plain"],
            &["GET", "absent"],
        ],
    )
    .await;
    assert!(!answer.contains("-ERR"), "{answer}");
    let seen = until("the lookups are counted", &observer, |s| {
        let grown = |of: fn(&muster_model::snapshot::CacheCounters) -> u64| {
            stats(s).counted.in_a_minute(of).map_or(0, |g| g.by)
        };
        (grown(|c| c.hits), grown(|c| c.misses)) == (2, 1)
    })
    .await;
    let after = stats(&seen);
    assert_eq!((after.keys, after.expiring), (2, 1));
    let slow = after.slow.as_ref().expect("slow log");
    assert!(slow.iter().any(|e| e.command == "SET"), "{slow:?}");
    assert!(after.counted.in_a_minute(|c| c.slow).expect("grown").by >= 2);
    let all = serde_json::to_string(&seen).expect("JSON");
    for hidden in ["a-very-secret-value", "user:7:token", secret.as_str()] {
        assert!(!all.contains(hidden), "{hidden} left Redis");
    }

    say(&test, &[&["CONFIG", "RESETSTAT"]]).await;
    until("a reset begins anew", &observer, |s| {
        stats(s).counted.minute.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_under_one_policy_and_evicts_under_another() {
    let Some(test) = with_redis().await else { return };
    let observer = observer(&test, "default", &secret(&test));
    let empty = observer.pass(now(), Extent::All).await;
    let room = stats(&empty).memory.used + (4 << 20);
    let value = "x".repeat(20_000);
    let fill = async |from: usize, count: usize| {
        let keys: Vec<String> = (from..from + count).map(|n| format!("k{n}")).collect();
        let commands: Vec<Vec<&str>> = keys.iter().map(|k| vec!["SET", k, &value]).collect();
        let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
        say(&test, &commands).await
    };
    say(&test, &[&["CONFIG", "SET", "maxmemory", &room.to_string()]]).await;
    let answer = fill(0, 300).await;
    assert!(answer.contains("-OOM"), "it takes no more");
    let full = until("it is full and refuses", &observer, |s| {
        let m = &stats(s).memory;
        m.used * 100 >= m.max * 90
            && stats(s)
                .counted
                .in_a_minute(|c| c.out_of_memory)
                .is_some_and(|g| g.by > 0)
    })
    .await;
    assert!(!stats(&full).memory.makes_room(stats(&full).expiring));
    assert_eq!(stats(&full).evicting_since, None);

    say(&test, &[&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]]).await;
    let answer = fill(1000, 300).await;
    assert!(!answer.contains("-OOM"), "{answer}");
    let evicts = until("keys are thrown out", &observer, |s| {
        stats(s).evicting_since.is_some()
    })
    .await;
    assert!(stats(&evicts).memory.makes_room(0));
    let since = stats(&evicts).evicting_since;
    // A stretch goes on while keys go on being thrown out, and has one beginning.
    for round in 2..4 {
        fill(1000 * round, 300).await;
        let more = observer.pass(now(), Extent::All).await;
        assert_eq!(stats(&more).evicting_since, since);
        assert_eq!(stats(&more).cleared_at, None, "evicted, not cleared");
    }
    say(&test, &[&["FLUSHALL"]]).await;
    until("the clearing is seen", &observer, |s| {
        stats(s).cleared_at.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_acl_forbids_is_a_gap_with_the_line_that_closes_it() {
    let Some(test) = with_redis().await else { return };
    say(
        &test,
        &[&["ACL", "SETUSER", "watcher", "on", ">pw", "-@all", "+info"]],
    )
    .await;
    let look = async || observer(&test, "watcher", "pw").pass(now(), Extent::All).await;
    let some = look().await;
    assert_eq!(some.caches[0].reach, Reach::Up);
    assert_eq!(some.gaps.len(), 1, "{:?}", some.gaps);
    let gap = some.gap("cache", "shop/cache").expect("gap");
    assert!(gap.reason.contains("user watcher may not ask"), "{}", gap.reason);
    let said = stats(&some);
    assert!(said.slow.is_none() && said.latency.is_none() && said.persistence.saves.is_none());
    assert!(
        said.clients.max.is_some() && said.memory.used > 0,
        "INFO is enough for these"
    );
    let line = gap.remedy.clone().expect("remedy");
    let words: Vec<&str> = line.split(' ').collect();
    let answer = say(&test, &[&words]).await;
    assert!(!answer.contains("-ERR"), "{line}: {answer}");
    let all = look().await;
    assert_eq!(all.gaps, Vec::new(), "the line closes the gap");
    assert!(stats(&all).slow.is_some() && stats(&all).persistence.saves == Some(false));

    // Nothing may be asked: it runs, and we are blind.
    say(&test, &[&["ACL", "SETUSER", "watcher", "-info"]]).await;
    let none = look().await;
    assert_eq!(none.caches[0].reach, Reach::Up);
    assert!(none.caches[0].stats.is_none());
    let remedy = none.gap("cache", "shop/cache").and_then(|g| g.remedy.clone());
    assert_eq!(remedy.as_deref(), Some("ACL SETUSER watcher +info"));

    let wrong = observer(&test, "watcher", "wrong").pass(now(), Extent::All).await;
    assert!(
        matches!(wrong.caches[0].reach, Reach::Down { rung: Rung::Auth, .. }),
        "{:?}",
        wrong.caches[0].reach
    );
    assert!(!wrong.caches[0].reach.silent(), "a refusal is an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_master_a_failed_snapshot_and_a_full_house_are_seen() {
    let Some(test) = with_redis().await else { return };
    let observer = observer(&test, "default", &secret(&test));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let closed = gone.local_addr().expect("address").port().to_string();
    drop(gone);
    say(&test, &[&["REPLICAOF", "127.0.0.1", &closed]]).await;
    let alone = until("the link is down", &observer, |s| {
        stats(s).replication.link_up == Some(false)
    })
    .await;
    let replication = &stats(&alone).replication;
    assert!(replication.replica);
    assert_eq!(
        replication.master.as_deref(),
        Some(format!("127.0.0.1:{closed}").as_str())
    );
    say(&test, &[&["REPLICAOF", "NO", "ONE"]]).await;
    until("it is no replica any more", &observer, |s| {
        !stats(s).replication.replica
    })
    .await;

    let dir = test.fleet.dir.join("redis");
    let mode = |mode: u32| {
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).expect("mode");
    };
    mode(0o555);
    say(
        &test,
        &[
            &["CONFIG", "SET", "save", "3600 1"],
            &["SET", "a", "b"],
            &["BGSAVE"],
        ],
    )
    .await;
    let unsaved = until("the snapshot failed", &observer, |s| {
        !stats(s).persistence.snapshot_ok
    })
    .await;
    let persistence = &stats(&unsaved).persistence;
    assert_eq!(
        (persistence.saves, persistence.refuses_writes),
        (Some(true), Some(true))
    );
    let answer = say(&test, &[&["SET", "a", "c"]]).await;
    assert!(answer.contains("-MISCONF"), "writes are refused: {answer}");
    until("the refusal is counted", &observer, |s| {
        stats(s)
            .counted
            .in_a_minute(|c| c.misconfigured)
            .is_some_and(|g| g.by > 0)
    })
    .await;
    mode(0o755);
    say(&test, &[&["BGSAVE"]]).await;
    until("it saves again", &observer, |s| stats(s).persistence.snapshot_ok).await;

    say(&test, &[&["CONFIG", "SET", "maxclients", "20"]]).await;
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(
            TcpStream::connect(("127.0.0.1", port(&test)))
                .await
                .expect("connects"),
        );
    }
    let full = until("clients are refused", &observer, |s| {
        stats(s)
            .counted
            .in_a_minute(|c| c.rejected)
            .is_some_and(|g| g.by > 0)
    })
    .await;
    assert_eq!(stats(&full).clients.max, Some(20));
    assert!(stats(&full).clients.connected * 100 >= 20 * 90);
    let outside = self::observer(&test, "default", &secret(&test));
    let refused = outside.pass(now(), Extent::All).await;
    assert!(
        matches!(&refused.caches[0].reach, Reach::Full { reason } if reason.contains("max number of clients")),
        "{:?}",
        refused.caches[0].reach
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_missed_and_keeps_no_pass_waiting() {
    let Some(test) = with_redis().await else { return };
    let observer = observer(&test, "default", &secret(&test));
    observer.pass(now(), Extent::Due).await;
    let pid = test.fleet.cache.as_ref().expect("cache").process.pid;
    kill("-STOP", pid);
    let deadline = Instant::now() + Duration::from_secs(30);
    let down = loop {
        let began = Instant::now();
        let s = observer.pass(now(), Extent::Due).await;
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "a pass took {:?}",
            began.elapsed()
        );
        if matches!(s.caches[0].reach, Reach::Down { misses: 3.., .. }) {
            break s;
        }
        assert!(Instant::now() < deadline, "not in time: {:?}", s.caches[0].reach);
        tokio::task::yield_now().await;
    };
    assert!(
        matches!(
            down.caches[0].reach,
            Reach::Down {
                rung: Rung::Query,
                ..
            }
        ),
        "it takes connections and does not answer: {:?}",
        down.caches[0].reach
    );
    assert!(down.caches[0].stats.is_none() && down.caches[0].used_memory.is_none());
    kill("-CONT", pid);
    until("it answers again", &observer, |s| s.caches[0].reach == Reach::Up).await;

    kill("-KILL", pid);
    let dead = until("it is gone", &observer, |s| {
        matches!(s.caches[0].reach, Reach::Down { misses: 3.., .. })
    })
    .await;
    assert!(
        matches!(dead.caches[0].reach, Reach::Down { rung: Rung::Tcp, .. }),
        "{:?}",
        dead.caches[0].reach
    );
    assert!(dead.gap("cache", "shop/cache").is_some());
}
