//! Passes over real fleets.

use std::time::{Duration, Instant};

use muster_lab::fleet::{User, connect};
use muster_lab::server::{How, postmaster, start, stop};
use muster_lab::testing::{self, TestFleet};
use muster_lab::{Fleet, LabOptions};
use muster_model::snapshot::{Reach, Role, Rung};
use muster_model::{Snapshot, Span};
use muster_observe::Extent;

use crate::estate::{cluster, login, now, observer, until, watching};

fn whole(major: u32) -> LabOptions {
    let mut options = testing::small(major);
    options.standbys = 2;
    options.pooler = true;
    options.cache = true;
    options
}

async fn superuser(test: &TestFleet) -> tokio_postgres::Client {
    let config = test.fleet.config("a", User::Postgres, "app").expect("config");
    connect(&config).await.expect("login")
}

fn streaming(snapshot: &Snapshot) -> bool {
    let replication = |name: &str| {
        let server = snapshot.server(&format!("shop/{name}"))?;
        server.replication.as_ref().map(|p| &p.value)
    };
    let sent = replication("a").is_some_and(|r| {
        r.senders
            .iter()
            .filter(|s| s.state.as_deref() == Some("streaming"))
            .count()
            == 2
    });
    let received = ["b", "c"].iter().all(|name| {
        replication(name)
            .and_then(|r| r.receiver.as_ref())
            .is_some_and(|r| r.status.as_deref() == Some("streaming"))
    });
    sent && received
}

fn everything_is_read(snapshot: &Snapshot, fleet: &Fleet) {
    assert_eq!(snapshot.gaps, Vec::new());
    let names: Vec<&str> = snapshot.servers.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(snapshot.primary().expect("a primary").address, "shop/a");
    for (server, known) in snapshot.servers.iter().zip(&fleet.servers) {
        assert_eq!(server.reach, Reach::Up);
        assert_eq!(server.endpoint, format!("127.0.0.1:{}", known.port));
        let identity = &server.identity.as_ref().expect("identity").value;
        assert_eq!(identity.system_identifier, fleet.system_identifier);
        assert_eq!((identity.major(), identity.timeline), (fleet.pg.major, 1));
        assert_eq!(identity.cluster_name, server.name);
        assert!(
            identity.version.starts_with(&fleet.pg.major.to_string()),
            "{}",
            identity.version
        );
        let primary = server.name == "a";
        assert_eq!(
            (identity.role, identity.read_only),
            (if primary { Role::Primary } else { Role::Standby }, !primary)
        );
        let age = snapshot.taken_at.since(identity.started_at);
        assert!(age > Span::ZERO && age < Span::from_mins(5), "{age:?}");

        let activity = &server.activity.as_ref().expect("activity").value;
        assert!(activity.sees_all);
        assert_eq!(activity.max_connections, fleet.max_connections);
        assert_eq!(activity.reserved, if fleet.pg.major >= 16 { 5 } else { 3 });
        let own: Vec<_> = activity
            .sessions
            .iter()
            .filter(|s| s.application == "muster/observe")
            .collect();
        assert_eq!(own.len(), 1, "one reserved session and no more");
        assert_eq!(
            (
                own[0].user.as_deref(),
                own[0].database.as_deref(),
                own[0].state.as_deref()
            ),
            (Some("muster"), Some("app"), Some("active"))
        );
        assert!(own[0].is_client() && !own[0].superuser && own[0].client.is_some());
        assert!(snapshot.taken_at.since(own[0].backend_start) < Span::from_mins(5));
        assert!(server.locks.as_ref().expect("locks").value.waits.is_empty());

        let settings = &server.settings.as_ref().expect("settings").value;
        let shown = |name: &str| settings.values.get(name).map(String::as_str);
        assert_eq!(
            shown("max_connections"),
            Some(fleet.max_connections.to_string().as_str())
        );
        assert_eq!(
            (shown("wal_level"), shown("data_checksums"), shown("fsync")),
            (Some("logical"), Some("on"), Some("on"))
        );
        assert!(settings.pending_restart.is_empty());
    }
}

fn both_ends_of_replication(snapshot: &Snapshot, fleet: &Fleet) {
    let of = |name: &str| {
        let server = snapshot.server(&format!("shop/{name}")).expect("server");
        &server.replication.as_ref().expect("replication").value
    };
    let primary = of("a");
    let mut senders: Vec<&str> = primary.senders.iter().map(|s| s.application.as_str()).collect();
    senders.sort_unstable();
    assert_eq!(senders, ["b", "c"]);
    let slots: Vec<&str> = primary.slots.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(slots, ["standby_b", "standby_c"]);
    for slot in &primary.slots {
        assert!(
            slot.active && !slot.temporary && slot.restart.is_some(),
            "{slot:?}"
        );
        assert_eq!(
            (slot.slot_type.as_str(), slot.wal_status.as_deref()),
            ("physical", Some("reserved"))
        );
        assert!(
            primary.senders.iter().any(|s| Some(s.pid) == slot.active_pid),
            "the slot names its sender"
        );
    }
    assert!(primary.current.is_some() && primary.receiver.is_none() && primary.replay_state.is_none());
    for name in ["b", "c"] {
        let own = of(name);
        let receiver = own.receiver.as_ref().expect("receiver");
        assert_eq!(receiver.sender_host.as_deref(), Some("127.0.0.1"));
        assert_eq!(receiver.sender_port, Some(fleet.servers[0].port));
        let slot = format!("standby_{name}");
        assert_eq!(receiver.slot.as_deref(), Some(slot.as_str()));
        assert_eq!(own.upstream_slot.as_deref(), Some(slot.as_str()));
        assert_eq!(own.replay_state.as_deref(), Some("not paused"));
        assert!(own.received.is_some() && own.replayed.is_some() && own.current.is_none());
        let upstream = own.upstream.as_deref().expect("upstream");
        assert!(upstream.contains("user=replicator"), "{upstream}");
        let secret = fleet.password(User::Replicator).expect("password");
        assert!(!upstream.contains(&secret), "a secret was read");
        let sender = primary
            .senders
            .iter()
            .find(|s| s.application == name)
            .expect("sender");
        assert_eq!(sender.sync_state.as_deref(), Some("async"));
        assert!(sender.sent.is_some() && sender.replayed.is_some());
    }
}

fn pooled_sessions_are_joined(snapshot: &Snapshot, pool_size: u32) {
    let state = &snapshot.poolers[0].state.as_ref().expect("state").value;
    let activity = snapshot
        .server("shop/a")
        .and_then(|s| s.activity.as_ref())
        .expect("activity");
    let linked: Vec<_> = state.servers.iter().filter(|s| s.link.is_some()).collect();
    assert_eq!(linked.len(), pool_size as usize);
    for server in linked {
        let session = activity
            .value
            .sessions
            .iter()
            .find(|s| s.pid == server.remote_pid)
            .expect("the session behind the connection");
        assert!(session.idle_in_transaction(), "{session:?}");
        let client = state
            .client_of(session.pid)
            .expect("the client behind the session");
        assert_eq!(
            (
                client.application.as_str(),
                client.user.as_str(),
                client.database.as_str()
            ),
            ("notes-worker", "app", "app")
        );
        assert!(client.addr.starts_with("127.0.0.1:"), "{}", client.addr);
        let pid = session.pid;
        assert!(
            session
                .query
                .as_deref()
                .is_some_and(|q| q.contains("FROM notes") && !q.contains("id = 1")),
            "{pid}: literals stay out: {:?}",
            session.query
        );
    }
    assert!(state.client_of(-1).is_none());
    let pool = state.pools.iter().find(|p| p.database == "app").expect("pool");
    assert_eq!(
        (pool.mode.as_str(), pool.size, pool.sv_active),
        ("transaction", pool_size, pool_size)
    );
    assert!(pool.cl_waiting > 0);
    assert_eq!(state.servers_of(pool).count(), pool_size as usize);
    assert_eq!(
        state.config.get("pool_mode").map(String::as_str),
        Some("transaction")
    );
    let database = state
        .databases
        .iter()
        .find(|d| d.name == "app")
        .expect("database");
    assert!(!database.paused && !database.disabled && database.pool_size == pool_size);
}

async fn a_pass_reads_a_whole_fleet(major: u32) {
    let Some(mut test) = testing::fleet(whole(major)).await else {
        return;
    };
    let observer = observer(&test.fleet);
    assert_eq!(observer.name(), "shop");
    let snapshot = until("both standbys stream", &observer, streaming).await;
    everything_is_read(&snapshot, &test.fleet);
    both_ends_of_replication(&snapshot, &test.fleet);

    let pooler = &snapshot.poolers[0];
    assert_eq!(pooler.reach, Reach::Up);
    assert!(
        pooler.version.as_deref().is_some_and(|v| v.starts_with("1.")),
        "{:?}",
        pooler.version
    );
    let cache = &snapshot.caches[0];
    assert_eq!(cache.reach, Reach::Up);
    assert!(cache.version.is_some() && cache.run_id.is_some() && cache.used_memory > Some(0));
    assert_eq!(cache.max_memory, Some(64 << 20));
    assert!(snapshot.cost.queries > 0 && snapshot.cost.rows > 0 && snapshot.cost.busy_ms > 0.0);

    test.inject("idle-in-transaction-leak", &[]).await;
    let pool_size = test.fleet.pool_size;
    let snapshot = until("the pool is held and clients wait", &observer, |s| {
        let Some(state) = s.poolers[0].state.as_ref() else {
            return false;
        };
        state
            .value
            .pools
            .iter()
            .any(|p| p.cl_waiting > 0 && p.sv_active == pool_size)
    })
    .await;
    pooled_sessions_are_joined(&snapshot, pool_size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_reads_a_whole_fleet_of_15() {
    a_pass_reads_a_whole_fleet(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_reads_a_whole_fleet_of_18() {
    a_pass_reads_a_whole_fleet(18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_whom_is_read_while_somebody_waits() {
    for major in [15, 18] {
        let Some(mut test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let observer = observer(&test.fleet);
        let quiet = observer.pass(now(), Extent::Hot).await;
        assert!(
            quiet.servers[0]
                .locks
                .as_ref()
                .expect("locks")
                .value
                .waits
                .is_empty()
        );
        test.inject("lock-chain", &[("depth", "2"), ("waiters", "3")])
            .await;
        let snapshot = until("four wait", &observer, |s| {
            let waits = s.servers[0].locks.as_ref().map_or(0, |l| l.value.waits.len());
            let since = s.servers[0]
                .locks
                .iter()
                .flat_map(|l| &l.value.waits)
                .all(|w| w.since.is_some());
            waits == 4 && since
        })
        .await;
        let server = &snapshot.servers[0];
        let sessions = &server.activity.as_ref().expect("activity").value.sessions;
        let pid_of = |application: &str| {
            let found = sessions.iter().find(|s| s.application == application);
            found.expect("session").pid
        };
        let (holder, link) = (pid_of("lab-holder"), pid_of("lab-link"));
        let waits = &server.locks.as_ref().expect("locks").value.waits;
        let of = |pid: i32| waits.iter().find(|w| w.pid == pid).expect("wait");
        assert_eq!(of(link).blocked_by, [holder]);
        assert!(waits.iter().all(|w| w.pid != holder));
        let mut behind = 0;
        for wait in waits {
            assert!(!wait.blocked_by.is_empty() && !wait.mode.is_empty(), "{wait:?}");
            behind += usize::from(wait.blocked_by.contains(&link));
            let session = sessions.iter().find(|s| s.pid == wait.pid).expect("session");
            assert_eq!(session.wait_type.as_deref(), Some("Lock"));
            assert_eq!(session.blocked_by, wait.blocked_by);
            let since = wait.since.expect("since");
            assert!(snapshot.taken_at.since(since) < Span::from_mins(1), "{since:?}");
        }
        assert!(behind >= 1, "somebody waits for the link: {waits:?}");
        assert!(
            waits
                .iter()
                .filter(|w| w.locktype == "tuple")
                .all(|w| w.relation.as_deref() == Some("public.lab_rows")),
            "{waits:?}"
        );
        test.heal().await;
        until("nobody waits", &observer, |s| {
            s.servers[0]
                .locks
                .as_ref()
                .is_some_and(|l| l.value.waits.is_empty())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_may_not_see_is_a_gap_with_the_line_that_closes_it() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = superuser(&test).await;
        boss.batch_execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
            .await
            .expect("role");
        let app = connect(&test.fleet.config("a", User::App, "app").expect("config"))
            .await
            .expect("login");
        app.batch_execute("BEGIN").await.expect("begins");
        let gap = |s: &Snapshot, collector: &str| {
            let gap = s
                .gap(collector, "shop/a")
                .unwrap_or_else(|| panic!("no gap {collector}"));
            (gap.reason.clone(), gap.remedy.clone())
        };

        let plain = watching(cluster(&test.fleet, "plain", "plain"));
        let snapshot = plain.pass(now(), Extent::Hot).await;
        let server = &snapshot.servers[0];
        assert_eq!(server.reach, Reach::Up);
        let grant = Some("GRANT pg_monitor TO plain;".to_owned());
        assert_eq!(gap(&snapshot, "activity").1, grant);
        assert_eq!(gap(&snapshot, "replication").1, grant);
        assert!(gap(&snapshot, "activity").0.contains("role plain"));
        assert_eq!(snapshot.gaps.len(), 2, "{:?}", snapshot.gaps);
        let activity = &server.activity.as_ref().expect("activity").value;
        assert!(!activity.sees_all);
        assert!(!server.replication.as_ref().expect("replication").value.sees_all);
        let theirs = activity
            .sessions
            .iter()
            .filter(|s| s.user.as_deref() == Some("app"));
        let theirs: Vec<_> = theirs.collect();
        assert!(
            !theirs.is_empty() && theirs.iter().all(|s| s.state.is_none()),
            "{theirs:?}"
        );

        boss.batch_execute(
            "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC; \
             GRANT pg_monitor TO plain",
        )
        .await
        .expect("revokes");
        let plain = watching(cluster(&test.fleet, "plain", "plain"));
        let snapshot = plain.pass(now(), Extent::Hot).await;
        assert_eq!(snapshot.gaps.len(), 1, "{:?}", snapshot.gaps);
        let (_, remedy) = gap(&snapshot, "identity");
        let remedy = remedy.expect("remedy");
        assert_eq!(
            snapshot.servers[0]
                .identity
                .as_ref()
                .expect("identity")
                .value
                .system_identifier,
            ""
        );
        assert!(
            snapshot.servers[0]
                .activity
                .as_ref()
                .expect("activity")
                .value
                .sees_all
        );
        // The line in the gap is one that closes it.
        boss.batch_execute(&remedy).await.expect(&remedy);
        let plain = watching(cluster(&test.fleet, "plain", "plain"));
        let snapshot = plain.pass(now(), Extent::Hot).await;
        assert_eq!(snapshot.gaps, Vec::new());
        assert_eq!(
            snapshot.servers[0]
                .identity
                .as_ref()
                .expect("identity")
                .value
                .system_identifier,
            test.fleet.system_identifier
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_down_counts_its_misses_and_comes_back() {
    let Some(test) = testing::fleet(testing::small(15)).await else {
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let closed = listener.local_addr().expect("address").port();
    drop(listener);
    let mut config = cluster(
        &test.fleet,
        "muster",
        &test.fleet.password(User::Muster).expect("password"),
    );
    config.poolers.push(muster_reach::PoolerConfig {
        name: "bouncer".into(),
        address: "shop/bouncer".into(),
        observe: login(format!("postgres://muster:x@127.0.0.1:{closed}/pgbouncer")),
        config_path: None,
    });
    config.caches.push(muster_reach::CacheConfig {
        name: "cache".into(),
        address: "shop/cache".into(),
        login: login(format!("redis://127.0.0.1:{closed}")),
    });
    let observer = watching(config);
    let up = observer.pass(now(), Extent::Hot).await;
    assert_eq!(up.servers[0].reach, Reach::Up);
    let began = up.servers[0]
        .identity
        .as_ref()
        .expect("identity")
        .value
        .started_at;

    stop(&test.fleet, "a", How::Fast).await.expect("stops");
    let first_at = now();
    let first = observer.pass(first_at, Extent::Hot).await;
    let Reach::Down { misses, since, .. } = &first.servers[0].reach else {
        panic!("{:?}", first.servers[0].reach);
    };
    assert_eq!((*misses, *since), (1, first_at));
    let mut last = first;
    for expected in 2..=4 {
        last = observer.pass(now(), Extent::Hot).await;
        let Reach::Down { misses, since, .. } = &last.servers[0].reach else {
            panic!("{:?}", last.servers[0].reach);
        };
        assert_eq!((*misses, *since), (expected, first_at));
    }
    let Reach::Down { rung, reason, .. } = &last.servers[0].reach else {
        panic!("{:?}", last.servers[0].reach);
    };
    assert_eq!(*rung, Rung::Tcp, "{reason}");
    // Who it was stays known; what it did is not passed off as the present.
    let server = &last.servers[0];
    assert_eq!(server.role(), Some(Role::Primary));
    assert!(!server.answers());
    assert!(server.activity.is_none() && server.locks.is_none() && server.replication.is_none());
    for (collector, target) in [
        ("activity", "shop/a"),
        ("pooler", "shop/bouncer"),
        ("cache", "shop/cache"),
    ] {
        let gap = last
            .gap(collector, target)
            .unwrap_or_else(|| panic!("no gap {collector}"));
        assert!(
            gap.remedy.as_deref().is_some_and(|r| r.contains("port")),
            "{gap:?}"
        );
    }
    for reach in [&last.poolers[0].reach, &last.caches[0].reach] {
        assert!(
            matches!(
                reach,
                Reach::Down {
                    rung: Rung::Tcp,
                    misses: 5,
                    ..
                }
            ),
            "{reach:?}"
        );
    }
    assert!(last.poolers[0].state.is_none());

    let mut fleet = Fleet::open(&test.fleet.dir).expect("fleet");
    start(&mut fleet, "a").await.expect("starts");
    fleet.save().expect("saves");
    let back = until("it is up again", &observer, |s| s.servers[0].reach == Reach::Up).await;
    assert!(back.gap("activity", "shop/a").is_none(), "{:?}", back.gaps);
    let identity = &back.servers[0].identity.as_ref().expect("identity").value;
    assert!(identity.started_at > began, "it was read anew");
    stop(&fleet, "a", How::Immediate).await.expect("stops");
    let again = until("it is down again", &observer, |s| !s.servers[0].answers()).await;
    assert!(
        matches!(again.servers[0].reach, Reach::Down { misses: 1, .. }),
        "misses start anew: {:?}",
        again.servers[0].reach
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_is_full_and_still_read() {
    for major in [15, 18] {
        a_full_server(major).await;
    }
}

async fn a_full_server(major: u32) {
    let mut options = testing::small(major);
    options.max_connections = 30;
    let Some(mut test) = testing::fleet(options).await else {
        return;
    };
    let observer = observer(&test.fleet);
    assert_eq!(
        observer.pass(now(), Extent::Hot).await.servers[0].reach,
        Reach::Up
    );
    test.inject("connection-flood", &[]).await;
    let full = until("it is full", &observer, |s| {
        matches!(s.servers[0].reach, Reach::Full { .. })
    })
    .await;
    let server = &full.servers[0];
    assert!(server.answers());
    // Nobody logs in to see it: on 18 this role would get a reserved slot and see nothing.
    let again = until("it is read again", &observer, |s| s.taken_at > full.taken_at).await;
    let own = |s: &Snapshot| {
        let activity = &s.servers[0].activity.as_ref().expect("activity").value;
        let ours = activity
            .sessions
            .iter()
            .filter(|s| s.user.as_deref() == Some("muster"));
        ours.map(|s| (s.pid, s.backend_start)).collect::<Vec<_>>()
    };
    assert_eq!(own(&full).len(), 1);
    assert_eq!(own(&full)[0].0, own(&again)[0].0);
    let activity = &server.activity.as_ref().expect("activity").value;
    let clients = activity.sessions.iter().filter(|s| s.is_client()).count();
    assert!(
        clients >= (activity.max_connections - activity.reserved) as usize,
        "{clients}"
    );
    test.heal().await;
    until("it is up again", &observer, |s| s.servers[0].reach == Reach::Up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_due_is_read() {
    let Some(test) = testing::fleet(testing::small(18)).await else {
        return;
    };
    let observer = observer(&test.fleet);
    let start = now();
    observer.pass(start, Extent::Hot).await;
    let cost = observer.cost().queries;
    let soon = observer
        .pass(start.plus(Span::from_millis(100)), Extent::Due)
        .await;
    assert_eq!(observer.cost().queries, cost, "nothing was due");
    let taken = |s: &Snapshot| {
        let server = &s.servers[0];
        (
            server.activity.as_ref().expect("activity").taken_at,
            server.replication.as_ref().expect("replication").taken_at,
            server.settings.as_ref().expect("settings").taken_at,
        )
    };
    assert_eq!(taken(&soon), (start, start, start));
    let second = start.plus(Span::from_secs(1));
    assert_eq!(
        taken(&observer.pass(second, Extent::Due).await),
        (second, start, start)
    );
    let third = start.plus(Span::from_secs(2));
    assert_eq!(
        taken(&observer.pass(third, Extent::Due).await),
        (third, third, start)
    );
    let minute = start.plus(Span::from_secs(60));
    assert_eq!(
        taken(&observer.pass(minute, Extent::Due).await),
        (minute, minute, minute)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeline_is_the_new_one_as_soon_as_a_standby_is_promoted() {
    for major in [15, 18] {
        let mut options = testing::small(major);
        options.standbys = 1;
        let Some(test) = testing::fleet(options).await else {
            return;
        };
        let observer = observer(&test.fleet);
        let timelines = |s: &Snapshot| -> Vec<u32> {
            let of =
                |v: &muster_model::snapshot::ServerView| v.identity.as_ref().map_or(0, |i| i.value.timeline);
            s.servers.iter().map(of).collect()
        };
        assert_eq!(timelines(&observer.pass(now(), Extent::Hot).await), [1, 1]);
        let config = test.fleet.config("b", User::Postgres, "app").expect("config");
        let boss = connect(&config).await.expect("login");
        let rows = boss
            .query("SELECT pg_promote(true)", &[])
            .await
            .expect("promoted");
        assert!(rows[0].get::<_, bool>(0));
        let seen = observer.pass(now(), Extent::Hot).await;
        assert_eq!(seen.servers[1].role(), Some(Role::Primary), "{major}");
        assert_eq!(timelines(&seen), [1, 2], "{major}");
    }
}

/// Stops processes without ending them; they go on when this is dropped.
struct Frozen(Vec<i32>);

impl Frozen {
    fn of(pids: Vec<i32>) -> Self {
        kill("-STOP", &pids);
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        kill("-CONT", &self.0);
    }
}

fn kill(signal: &str, pids: &[i32]) {
    let mut command = std::process::Command::new("kill");
    command.arg(signal).args(pids.iter().map(ToString::to_string));
    assert!(command.status().expect("kill").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_standby_does_not_slow_down_the_look_at_its_primary() {
    for major in [15, 18] {
        let mut options = testing::small(major);
        options.standbys = 1;
        let Some(test) = testing::fleet(options).await else {
            return;
        };
        let observer = observer(&test.fleet);
        let seen = observer.pass(now(), Extent::Due).await;
        let activity = &seen.servers[1].activity.as_ref().expect("activity").value;
        let mut ours = activity.sessions.iter();
        let ours = ours
            .find(|s| s.application == "muster/observe")
            .expect("our session")
            .pid;
        let postmaster = postmaster(&test.fleet, "b").expect("runs").pid;
        let frozen = Frozen::of(vec![ours, postmaster]);
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut slowest = Duration::ZERO;
        loop {
            let began = Instant::now();
            let snapshot = observer.pass(now(), Extent::Due).await;
            slowest = slowest.max(began.elapsed());
            let primary = snapshot.servers[0].activity.as_ref().expect("activity");
            let age = snapshot.taken_at.since(primary.taken_at);
            assert!(
                age < Span::from_secs(2),
                "{major}: the primary was seen {age} ago"
            );
            if matches!(snapshot.servers[1].reach, Reach::Down { .. }) {
                break;
            }
            assert!(Instant::now() < deadline, "{major}: it is never missed");
            tokio::task::yield_now().await;
        }
        assert!(slowest < Duration::from_secs(1), "{major}: {slowest:?}");
        drop(frozen);
        until("it is back", &observer, |s| s.servers[1].reach == Reach::Up).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_makes_nothing_fresh() {
    let Some(test) = testing::fleet(testing::small(18)).await else {
        return;
    };
    let observer = observer(&test.fleet);
    let wrong = now().plus(Span::from_mins(60));
    let seen = observer.pass(wrong, Extent::Due).await;
    assert_eq!(
        seen.servers[0].activity.as_ref().expect("activity").taken_at,
        wrong
    );
    let right = now();
    let seen = observer.pass(right, Extent::Due).await;
    let server = &seen.servers[0];
    assert_eq!(server.activity.as_ref().expect("activity").taken_at, right);
    assert_eq!(server.settings.as_ref().expect("settings").taken_at, right);
}
