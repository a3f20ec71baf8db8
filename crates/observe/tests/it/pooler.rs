//! The PgBouncer of a lab's fleet, paused, full, locked out of its server, and stopped; and limits of roles.

use std::process::Command;

use muster_lab::fleet::{User, connect};
use muster_lab::testing::{self, TestFleet};
use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{LimitOf, Reach, Rung};
use muster_model::{Snapshot, Span};
use muster_observe::Extent;
use tokio::task::JoinHandle;

use crate::estate::{now, observer, until};

async fn with_pooler(major: u32) -> Option<TestFleet> {
    let mut options = testing::small(major);
    options.pooler = true;
    options.pool_size = 3;
    testing::fleet(options).await
}

/// The admin console, as the lab's acting user.
async fn console(test: &TestFleet) -> tokio_postgres::Client {
    let mut config = test.fleet.app().expect("config");
    let password = test.fleet.password(User::MusterAct).expect("password");
    config.user("muster_act").password(password).dbname("pgbouncer");
    connect(&config).await.expect("console")
}

/// Clients that connect and ask again and again, as applications do.
fn knocking(test: &TestFleet, count: usize) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|_| {
            let config = test.fleet.app().expect("config");
            tokio::spawn(async move {
                loop {
                    if let Ok(client) = connect(&config).await {
                        while client.simple_query("SELECT 1").await.is_ok() {
                            tokio::task::yield_now().await;
                        }
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect()
}

fn state(s: &Snapshot) -> &PoolerState {
    &s.poolers[0].state.as_ref().expect("state").value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_clients_and_a_pause_are_read() {
    for major in [15, 18] {
        let Some(test) = with_pooler(major).await else {
            return;
        };
        let observer = observer(&test.fleet);
        let app = connect(&test.fleet.app().expect("config")).await.expect("login");
        app.simple_query("SELECT 1").await.expect("asks");
        let first = observer.pass(now(), Extent::Hot).await;
        assert_eq!(first.gaps, Vec::new());
        let said = state(&first);
        assert_eq!(said.used_clients, Some(2), "the application and us");
        assert_eq!(
            said.config.get("max_client_conn").map(String::as_str),
            Some("1000")
        );
        assert!(said.stuck.is_empty());
        let before = said
            .traffic
            .iter()
            .find(|t| t.database == "app")
            .expect("traffic");
        assert!(before.counted.now.transactions >= 1 && before.counted.minute.is_none());
        for _ in 0..20 {
            app.simple_query("SELECT 1").await.expect("asks");
        }
        until("twenty transactions are counted", &observer, |s| {
            let app = state(s).traffic.iter().find(|t| t.database == "app");
            app.and_then(|t| t.counted.in_a_minute(|c| c.transactions))
                .is_some_and(|g| g.by == 20)
        })
        .await;

        let console = console(&test).await;
        console.simple_query("PAUSE app").await.expect("pauses");
        let waiter = tokio::spawn(async move {
            // Ends with the pause.
            let _ = app.simple_query("SELECT 1").await;
        });
        let paused = until("a client waits for a second", &observer, |s| {
            state(s)
                .pools
                .iter()
                .any(|p| p.cl_waiting > 0 && p.maxwait_us >= 1_000_000)
        })
        .await;
        let database = |s: &Snapshot| {
            state(s)
                .databases
                .iter()
                .find(|d| d.name == "app")
                .cloned()
                .expect("app")
        };
        assert!(database(&paused).paused && !database(&paused).disabled);
        assert!(state(&paused).stuck.is_empty(), "a pause is no login that fails");
        console.simple_query("RESUME app").await.expect("resumes");
        waiter.await.expect("ends");
        console.simple_query("DISABLE app").await.expect("disables");
        let disabled = until("it is disabled", &observer, |s| database(s).disabled).await;
        assert!(!database(&disabled).paused);
        console
            .simple_query("SET max_client_conn = 2")
            .await
            .expect("sets");
        let full = observer.pass(now(), Extent::Hot).await;
        assert_eq!(
            state(&full).config.get("max_client_conn").map(String::as_str),
            Some("2")
        );
        assert!(
            state(&full).used_clients >= Some(2),
            "{:?}",
            state(&full).used_clients
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_is_locked_out_of_its_server_is_stuck() {
    let Some(test) = with_pooler(15).await else { return };
    let observer = observer(&test.fleet);
    let clients = knocking(&test, 3);
    until("they get through", &observer, |s| {
        state(s).pools.iter().any(|p| p.sv_active + p.sv_idle > 0)
    })
    .await;
    let boss = connect(&test.fleet.config("a", User::Postgres, "app").expect("config"))
        .await
        .expect("login");
    boss.batch_execute("ALTER ROLE app PASSWORD 'another'")
        .await
        .expect("alters");
    let console = console(&test).await;
    console.simple_query("KILL app").await.expect("kills");
    console.simple_query("RESUME app").await.expect("resumes");
    let stuck = until("the pool has got no connection for ten seconds", &observer, |s| {
        let now = s.taken_at;
        state(s)
            .stuck
            .iter()
            .any(|p| now.since(p.since) >= Span::from_secs(10))
    })
    .await;
    let pool = &state(&stuck).stuck[0];
    assert_eq!((pool.database.as_str(), pool.user.as_str()), ("app", "app"));
    assert_eq!(
        state(&stuck).paused,
        None,
        "this version does not say; were it to, this must say no"
    );

    let password = test.fleet.password(User::App).expect("password");
    boss.batch_execute(&format!("ALTER ROLE app PASSWORD '{password}'"))
        .await
        .expect("alters");
    // It tries again only after `server_login_retry`: that is made short.
    console
        .simple_query("SET server_login_retry = 1")
        .await
        .expect("sets");
    until("a login succeeds", &observer, |s| {
        state(s).stuck.is_empty() && state(s).pools.iter().any(|p| p.sv_active + p.sv_idle > 0)
    })
    .await;
    for client in clients {
        client.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_is_gone_is_missed_and_one_that_refuses_us_is_not_silent() {
    let Some(test) = with_pooler(15).await else { return };
    let mut config = crate::estate::cluster(&test.fleet, "muster", "x");
    config.servers.clear();
    let right = crate::estate::watching(config.clone());
    for pooler in &mut config.poolers {
        pooler.observe.url = pooler
            .observe
            .url
            .replace("postgres://muster:", "postgres://muster:not");
    }
    let wrong = crate::estate::watching(config);
    assert_eq!(right.pass(now(), Extent::Hot).await.poolers[0].reach, Reach::Up);
    let refused = wrong.pass(now(), Extent::Hot).await;
    assert!(
        matches!(refused.poolers[0].reach, Reach::Down { rung: Rung::Auth, .. }),
        "{:?}",
        refused.poolers[0].reach
    );
    assert!(!refused.poolers[0].reach.silent());

    let pid = test.fleet.pooler.as_ref().expect("pooler").process.pid;
    let done = Command::new("/bin/kill")
        .args(["-KILL", &pid.to_string()])
        .status();
    assert!(done.expect("runs").success());
    let down = until("three misses", &right, |s| {
        matches!(s.poolers[0].reach, Reach::Down { misses: 3.., .. })
    })
    .await;
    assert!(down.poolers[0].reach.silent() && down.poolers[0].state.is_none());
    assert!(down.gap("pooler", "shop/bouncer").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_roles_and_databases_are_read() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = connect(&test.fleet.config("a", User::Postgres, "app").expect("config"))
            .await
            .expect("login");
        boss.batch_execute("ALTER ROLE app CONNECTION LIMIT 4; ALTER DATABASE app CONNECTION LIMIT 50")
            .await
            .expect("alters");
        let app = test.fleet.config("a", User::App, "app").expect("config");
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(connect(&app).await.expect("login"));
        }
        assert!(connect(&app).await.is_err(), "the limit holds");
        let observer = observer(&test.fleet);
        let s = observer.pass(now(), Extent::Hot).await;
        assert_eq!(s.gaps, Vec::new());
        let server = &s.servers[0];
        let limits = &server.limits.as_ref().expect("limits").value;
        let of = |of: LimitOf, name: &str| {
            limits
                .iter()
                .find(|l| l.of == of && l.name == name)
                .map(|l| l.most)
        };
        assert_eq!(of(LimitOf::Role, "app"), Some(4));
        assert_eq!(of(LimitOf::Database, "app"), Some(50));
        assert_eq!(of(LimitOf::Role, "muster"), Some(10));
        assert_eq!(of(LimitOf::Role, "postgres"), None, "superusers are exempt");
        let activity = &server.activity.as_ref().expect("activity").value;
        let used = activity
            .sessions
            .iter()
            .filter(|s| s.user.as_deref() == Some("app") && s.is_client());
        assert_eq!(used.count(), 4);
    }
}
