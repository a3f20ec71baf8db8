//! PostgreSQL 13, 14, 16 and 17: what a pass reads of them, recorded once from real servers, and read anew where such a server is
//! installed.
//!
//! The suites run on 15 and 18. A server of another major is used when `find_postgres` finds one (`MUSTER_CACHE_DIR` may hold
//! `embedded-postgres-13` and so on); `MUSTER_TEST_RECORD=1` writes what it read to `recorded/`. How to get them: CONTRIBUTING.md.

use std::path::PathBuf;
use std::sync::Arc;

use muster_lab::fleet::{User, connect};
use muster_lab::install::find_postgres;
use muster_lab::options::PgChoice;
use muster_lab::testing;
use muster_model::snapshot::Reach;
use muster_model::{Snapshot, Span, Time};
use muster_observe::{Cadence, Extent, Observer};
use muster_reach::{Cluster, ClusterConfig, HostConfig, Limits, Login, ServerConfig};
use muster_rules::{Mode, RuleState, defaults, judge};

use crate::stage::until;

const MAJORS: [u32; 4] = [13, 14, 16, 17];

fn recorded(major: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/recorded/{major}.json"))
}

fn now() -> Time {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock");
    Time::from_micros(i64::try_from(since.as_micros()).expect("a year that fits"))
}

/// Things that only some versions tell of, and a blocker.
const THINGS: &str = "CREATE TABLE sales (id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, shop int) PARTITION BY RANGE (at);
    CREATE TABLE sales_2026_10 PARTITION OF sales FOR VALUES FROM ('2026-10-01') TO ('2026-11-01');
    CREATE TABLE sales_rest PARTITION OF sales DEFAULT;
    INSERT INTO sales (at, shop) SELECT '2026-10-05'::date + g % 20, g FROM generate_series(1, 2000) g;
    CREATE INDEX sales_shop ON sales (shop);
    CREATE TABLE alembic_version (version_num text PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('a1');
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO muster;
    GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO muster;
    ANALYZE";

async fn look(major: u32) -> Option<Snapshot> {
    let mut options = testing::small(major);
    let install = find_postgres(
        &PgChoice::Major(major),
        options.bindir.as_deref(),
        &options.cache_dir,
    )
    .ok()?;
    options.standbys = u8::from(install.bindir.join("pg_basebackup").is_file());
    options
        .settings
        .insert("log_min_duration_statement".into(), "0".into());
    options.settings.insert("track_io_timing".into(), "on".into());
    let test = testing::fleet(options).await?;
    let fleet = &test.fleet;
    let root = connect(&fleet.config("a", User::Postgres, "app").expect("config"))
        .await
        .expect("login");
    root.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await
        .expect("statements");
    root.batch_execute(
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings(), pg_catalog.pg_hba_file_rules() TO muster; \
         SELECT pg_catalog.pg_create_physical_replication_slot('kept', true)",
    )
    .await
    .expect("prepared");
    let app = connect(&fleet.config("a", User::Postgres, "app").expect("config"))
        .await
        .expect("login");
    app.batch_execute(THINGS).await.expect("things");
    let (holder, waiter) = (
        connect(&fleet.config("a", User::App, "app").expect("config"))
            .await
            .expect("login"),
        connect(&fleet.config("a", User::App, "app").expect("config"))
            .await
            .expect("login"),
    );
    holder
        .batch_execute("BEGIN; UPDATE notes SET body = body WHERE id = 1")
        .await
        .expect("holds");
    let waits = tokio::spawn(async move {
        let _ = waiter
            .batch_execute("UPDATE notes SET body = body WHERE id = 1")
            .await;
    });
    let config = ClusterConfig {
        name: "lab".into(),
        servers: fleet
            .servers
            .iter()
            .map(|s| ServerConfig {
                name: s.name.clone(),
                address: format!("lab/{}", s.name),
                observe: Login {
                    url: format!(
                        "postgres://muster:{}@127.0.0.1:{}/app?sslmode=disable",
                        fleet.password(User::Muster).expect("password"),
                        s.port
                    ),
                    password: None,
                    passfile: None,
                },
                act: None,
                host: Some(HostConfig {
                    local: true,
                    data_dir: Some(fleet.data(&s.name)),
                    log: Some(fleet.log(&s.name)),
                }),
            })
            .collect(),
        poolers: Vec::new(),
        caches: Vec::new(),
        apps: Vec::new(),
    };
    let observer = Observer::new(
        Arc::new(Cluster::new(config, &Limits::default())),
        Cadence::default(),
    );
    let seen = until("statements, the log and a wait", async || {
        root.batch_execute("SELECT count(*) FROM app.public.notes")
            .await
            .expect("runs");
        let s = observer.pass(now(), Extent::All).await;
        let server = &s.servers[0];
        let window = server
            .statements
            .as_ref()
            .is_some_and(|p| p.value.window.is_some());
        let waiting = server.locks.as_ref().is_some_and(|l| !l.value.waits.is_empty());
        let durations = server
            .host
            .as_ref()
            .and_then(|h| h.log.as_ref())
            .is_some_and(|l| l.value.durations.distribution.is_some());
        let standbys = s.servers.iter().skip(1).all(|b| {
            let state = muster_model::standby::judge(Some(server), b);
            state.word != "unknown"
                && state.streaming
                && b.statements.as_ref().is_some_and(|p| p.value.window.is_some())
        });
        (window && waiting && durations && standbys).then_some(s)
    })
    .await;
    waits.abort();
    if std::env::var_os("MUSTER_TEST_RECORD").is_some() {
        let mut small = seen.clone();
        for log in small
            .servers
            .iter_mut()
            .filter_map(|s| s.host.as_mut()?.log.as_mut())
        {
            log.value.durations.newest.clear();
        }
        let text = serde_json::to_string(&small).expect("writes");
        let dir = fleet.dir.display().to_string();
        std::fs::create_dir_all(recorded(major).parent().expect("a folder")).expect("a folder");
        std::fs::write(recorded(major), text.replace(&dir, "/srv/fleet") + "\n").expect("writes");
    }
    Some(seen)
}

/// What must be so of every version, live and recorded.
fn whole(major: u32, s: &Snapshot) {
    let server = &s.servers[0];
    assert_eq!(server.reach, Reach::Up);
    assert_eq!(server.identity.as_ref().expect("identity").value.major(), major);
    assert_eq!(s.gaps, [], "{major}: every statement works on it");
    for (what, read) in [
        ("activity", server.activity.is_some()),
        ("locks", server.locks.is_some()),
        ("replication", server.replication.is_some()),
        ("settings", server.settings.is_some()),
        ("limits", server.limits.is_some()),
        ("traffic", server.traffic.is_some()),
        ("waits", server.waits.is_some()),
        ("statements", server.statements.is_some()),
        ("horizons", server.horizons.is_some()),
        ("prepared", server.prepared.is_some()),
        ("vacuuming", server.vacuuming.is_some()),
        ("slrus", server.slrus.is_some()),
        ("wal", server.wal.is_some()),
        ("files", server.files.is_some()),
        ("login", server.login.is_some()),
    ] {
        assert!(read, "{major}: {what} was not read");
    }
    let app = server.databases.iter().find(|d| d.name == "app").expect("app");
    assert!(
        app.tables.is_some() && app.indexes.is_some() && app.widths.is_some() && app.vacuum.is_some(),
        "{major}: {app:?}"
    );
    assert!(app.sequences.is_some() && app.collations.is_some(), "{major}");
    let partitions = app.partitions.as_ref().expect("partitions");
    assert!(!partitions.value.parents.is_empty(), "{major}");
    assert!(
        app.migrations
            .as_ref()
            .is_some_and(|m| !m.value.ledgers.is_empty()),
        "{major}"
    );
    let wait = &server.locks.as_ref().expect("locks").value.waits[0];
    // Since when, the server says from 14 on; before that, since the statement began.
    assert!(wait.since.is_some(), "{major}: {wait:?}");
    let replication = &server.replication.as_ref().expect("replication").value;
    assert!(replication.slots.iter().any(|s| s.name == "kept"), "{major}");

    for standby in &s.servers[1..] {
        let end = &standby.replication.as_ref().expect("the other end").value;
        assert!(
            end.receiver.is_some() && end.replayed.is_some() && end.conflicts.is_some(),
            "{major}: {end:?}"
        );
        assert_eq!(replication.senders.len(), 1, "{major}");
        assert!(
            standby.horizons.is_some() && standby.statements.is_some(),
            "{major}"
        );
    }

    // The same half a minute later, on our clock, so that what holds has held.
    let mut later = s.clone();
    later.taken_at = s.taken_at.plus(Span::from_secs(30));
    let told = judge(&RuleState::default(), &later, &defaults(), Mode::Check).1;
    let kinds: Vec<&str> = told.findings.iter().map(|f| f.kind.as_str()).collect();
    assert!(kinds.contains(&"locks.idle_in_transaction"), "{major}: {kinds:?}");
    assert!(!kinds.contains(&"muster.blind"), "{major}: {kinds:?}");
    // What cannot be had of a version is said, and nothing else.
    let open: Vec<&str> = told.unknown.iter().map(|u| u.kind.as_str()).collect();
    assert!(open.is_empty(), "{major}: {:?}", told.unknown);
}

async fn live(major: u32) {
    match look(major).await {
        Some(seen) => whole(major, &seen),
        None => tracing::warn!("skipped: no PostgreSQL {major} is installed; its recorded rows are replayed"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_works_on_13_where_it_is_installed() {
    live(13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_works_on_14_where_it_is_installed() {
    live(14).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_works_on_16_where_it_is_installed() {
    live(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_works_on_17_where_it_is_installed() {
    live(17).await;
}

#[test]
fn what_was_recorded_of_other_versions_is_read_and_judged() {
    for major in MAJORS {
        let path = recorded(major);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(
            text.len() < 300_000,
            "{major}: {} bytes are not small",
            text.len()
        );
        let snapshot: Snapshot = serde_json::from_str(&text).expect("a snapshot of this format");
        assert_eq!(snapshot.servers.len(), 2, "{major}: a primary and its standby");
        whole(major, &snapshot);
    }
}
