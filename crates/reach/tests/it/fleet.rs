//! Rungs above TCP, sessions that stay and come back, full servers, capabilities, password files. Real servers.

use std::time::Duration;

use muster_lab::fleet::{User, connect};
use muster_lab::testing::{self, TestFleet};
use muster_model::snapshot::Rung;
use muster_reach::error::Trouble;
use muster_reach::{
    CacheConfig, Cluster, ClusterConfig, Limits, Login, PgSession, PoolerConfig, ReachError, Show,
};

use crate::estate::{login, of, server, until, url};

const MINE: &str = "SELECT pg_catalog.pg_backend_pid() AS pid";

async fn pid(session: &PgSession) -> i32 {
    session.query(MINE, &[]).await.expect("query")[0].get("pid")
}

async fn superuser(test: &TestFleet) -> tokio_postgres::Client {
    let config = test.fleet.config("a", User::Postgres, "app").expect("config");
    connect(&config).await.expect("login")
}

async fn refused(login: Login) -> ReachError {
    let cluster = server(login, None, &Limits::default());
    cluster.servers[0].observing().await.err().expect("an error")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rung_above_tcp_has_its_name_and_a_remedy() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let port = test.fleet.servers[0].port;
        let right = test.fleet.password(User::Muster).expect("password");
        let with = |url: String, password: &str| Login {
            password: Some(password.to_owned().into()),
            ..login(&url)
        };
        let boss = superuser(&test).await;
        boss.batch_execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 0")
            .await
            .expect("role");
        boss.batch_execute("CREATE DATABASE shut ALLOW_CONNECTIONS false")
            .await
            .expect("database");
        let cases = [
            (
                with(url(port, "muster", "app"), "wrong"),
                Trouble::Auth,
                Rung::Auth,
                "pg_hba.conf",
            ),
            (
                with(url(port, "nobody", "app"), &right),
                Trouble::Auth,
                Rung::Auth,
                "pg_hba.conf",
            ),
            (
                login(&url(port, "muster", "app")),
                Trouble::Auth,
                Rung::Auth,
                "password",
            ),
            (
                with(url(port, "muster", "nowhere"), &right),
                Trouble::Database,
                Rung::Database,
                "database name",
            ),
            (
                with(url(port, "muster", "shut"), &right),
                Trouble::Database,
                Rung::Database,
                "database",
            ),
            (
                with(url(port, "narrow", "app"), "narrow"),
                Trouble::RoleLimit,
                Rung::Auth,
                "CONNECTION LIMIT",
            ),
            (
                with(url(port, "muster", "app") + "?sslmode=require", &right),
                Trouble::Tls,
                Rung::Tls,
                "sslmode",
            ),
        ];
        for (login, trouble, rung, remedy) in cases {
            let text = login.url.clone();
            let e = refused(login).await;
            assert_eq!((&e.trouble, e.rung()), (&trouble, Some(rung)), "{text}: {e}");
            assert!(e.remedy().contains(remedy), "{text}: {}", e.remedy());
            assert!(!e.to_string().contains(&right), "a secret in a message");
        }
        let cluster = server(of(&test.fleet, User::Muster), None, &Limits::default());
        let e = cluster.servers[0].acting().await.err().expect("no login to act");
        assert_eq!((&e.trouble, e.rung()), (&Trouble::NoActingLogin, None));
        assert!(!cluster.servers[0].can_act());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_answers_the_reserved_session_and_refuses_a_new_one() {
    for major in [15, 18] {
        let mut options = testing::small(major);
        options.max_connections = 30;
        let Some(mut test) = testing::fleet(options).await else {
            return;
        };
        // From 16 on `muster` may use reserved slots; a login that may not shows what a client meets.
        let client = server(of(&test.fleet, User::App), None, &Limits::default());
        let ours = server(of(&test.fleet, User::Muster), None, &Limits::default());
        let (client, ours) = (&client.servers[0], &ours.servers[0]);
        let kept = (
            pid(&client.observing().await.expect("login")).await,
            pid(&ours.observing().await.expect("login")).await,
        );
        test.inject("connection-flood", &[]).await;
        let e = client.inside("app").await.err().expect("full");
        assert_eq!((&e.trouble, e.rung()), (&Trouble::Full, None), "{e}");
        assert!(e.remedy().contains("connections-saturated"), "{}", e.remedy());
        match ours.inside("app").await {
            Err(e) => {
                assert_eq!((major, &e.trouble), (15, &Trouble::Full), "{e}");
            }
            Ok(_) => assert_eq!(major, 18, "only reserved slots let us in"),
        }
        assert_eq!(
            (
                pid(&client.observing().await.expect("kept")).await,
                pid(&ours.observing().await.expect("kept")).await
            ),
            kept,
            "the reserved sessions are the same ones"
        );
        test.heal().await;
        until("a slot is free again", async || ours.inside("app").await.ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_limited_and_come_back() {
    let Some(test) = testing::fleet(testing::small(15)).await else {
        return;
    };
    let limits = Limits {
        statement: Duration::from_millis(300),
        ..Limits::default()
    };
    let cluster = server(
        of(&test.fleet, User::Muster),
        Some(of(&test.fleet, User::MusterAct)),
        &limits,
    );
    let server = &cluster.servers[0];
    let session = server.observing().await.expect("login");
    let first = pid(&session).await;
    const LONG: &str = "SELECT count(*) FROM (SELECT generate_series(1, 2000000000)) x";

    // The server's own limit: the statement ends, the session stays.
    let e = session.query(LONG, &[]).await.expect_err("a limit");
    assert_eq!(
        (&e.trouble, e.sqlstate.as_deref(), e.rung()),
        (&Trouble::Timeout, Some("57014"), Some(Rung::Query)),
        "{e}"
    );
    assert_eq!(pid(&server.observing().await.expect("kept")).await, first);

    // The client's own deadline: the socket is closed, the very next use has a new session.
    let e = session
        .query_within(LONG, &[], Duration::from_millis(50))
        .await
        .expect_err("a deadline");
    assert_eq!(
        (&e.trouble, e.sqlstate.as_deref()),
        (&Trouble::Timeout, None),
        "{e}"
    );
    assert!(session.is_closed());
    let second = pid(&server.observing().await.expect("connects anew")).await;
    assert_ne!(second, first);

    // A session that was ended from outside.
    let boss = superuser(&test).await;
    boss.execute("SELECT pg_catalog.pg_terminate_backend($1)", &[&second])
        .await
        .expect("ends it");
    let third = until("a session again", async || {
        let rows = server.observing().await.ok()?.query(MINE, &[]).await.ok()?;
        Some(rows[0].get::<_, i32>("pid"))
    })
    .await;
    assert_ne!(third, second);

    // What observes cannot write or end a session; what acts has no statement limit but waits for no lock.
    let session = server.observing().await.expect("login");
    let e = session
        .query("CREATE TABLE public.t (id int4)", &[])
        .await
        .expect_err("read only");
    assert_eq!(e.sqlstate.as_deref(), Some("25006"), "{e}");
    let app = connect(&test.fleet.config("a", User::App, "app").expect("config"))
        .await
        .expect("login");
    let victim: i32 = app.query_one(MINE, &[]).await.expect("query").get(0);
    let e = session
        .query("SELECT pg_catalog.pg_terminate_backend($1)", &[&victim])
        .await
        .expect_err("no privilege");
    assert_eq!(e.trouble, Trouble::Privilege, "{e}");
    app.query_one(MINE, &[]).await.expect("it lives");
    let acting = server.acting().await.expect("login");
    let shown = acting
        .query(
            "SELECT pg_catalog.current_setting('statement_timeout') || ' ' || pg_catalog.current_setting('lock_timeout') \
             || ' ' || pg_catalog.current_setting('application_name') AS shown",
            &[],
        )
        .await
        .expect("query");
    assert_eq!(shown[0].get::<_, String>("shown"), "0 200ms muster/act");
    assert!(server.meter().cost().queries > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_knows_what_it_may() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let cluster = server(
            of(&test.fleet, User::Muster),
            Some(of(&test.fleet, User::MusterAct)),
            &Limits::default(),
        );
        let observing = cluster.servers[0].observing().await.expect("login");
        let sees = observing.capability();
        assert_eq!(sees.version_num / 10_000, major);
        assert_eq!(sees.user, "muster");
        assert_eq!(
            (sees.superuser, sees.monitor, sees.signal),
            (false, true, false),
            "{sees:?}"
        );
        assert_eq!(sees.reserved, major >= 16);
        assert_eq!(
            sees.system_identifier.as_deref(),
            Some(test.fleet.system_identifier.as_str())
        );
        let acting = cluster.servers[0].acting().await.expect("login");
        let may = acting.capability();
        assert_eq!(
            (may.user.as_str(), may.superuser, may.monitor, may.signal),
            ("muster_act", false, true, true)
        );
        let boss = server(of(&test.fleet, User::Postgres), None, &Limits::default());
        let all = boss.servers[0].observing().await.expect("login");
        assert!(all.capability().superuser && all.capability().signal);

        // Passwords from a file, in the field, in the URL; the field wins over the URL.
        let port = test.fleet.servers[0].port;
        let secret = test.fleet.password(User::Muster).expect("password");
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("pgpass");
        std::fs::write(
            &file,
            format!("# ours\n127.0.0.1:1:*:*:wrong\n127.0.0.1:{port}:app:muster:{secret}\n"),
        )
        .expect("writes");
        let from_file = Login {
            passfile: Some(file.clone()),
            ..login(&url(port, "muster", "app"))
        };
        let key_value = Login {
            passfile: Some(file),
            ..login(&format!(
                "host=127.0.0.1 port={port} user=muster dbname=app sslmode=disable"
            ))
        };
        let in_url = login(&format!("postgres://muster:{secret}@127.0.0.1:{port}/app"));
        let field_wins = Login {
            password: Some(secret.into()),
            ..login(&format!("postgres://muster:wrong@127.0.0.1:{port}/app"))
        };
        for good in [from_file, key_value, in_url, field_wins] {
            let text = good.url.clone();
            let cluster = server(good, None, &Limits::default());
            let session = cluster.servers[0]
                .observing()
                .await
                .unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(session.capability().user, "muster");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_and_a_cache_are_read_or_name_their_rung() {
    let mut options = testing::small(15);
    options.pooler = true;
    options.cache = true;
    let Some(test) = testing::fleet(options).await else {
        return;
    };
    let pooler = test.fleet.pooler.as_ref().expect("pooler").port;
    let cache = test.fleet.cache.as_ref().expect("cache").port;
    let secret = std::fs::read_to_string(test.fleet.dir.join("secrets").join("redis")).expect("secret");
    let right = test.fleet.password(User::Muster).expect("password");
    let made = |console: &str, console_secret: &str, cache_secret: &str| {
        let config = ClusterConfig {
            name: "shop".into(),
            servers: Vec::new(),
            poolers: vec![PoolerConfig {
                name: "bouncer".into(),
                address: "shop/bouncer".into(),
                observe: Login {
                    password: Some(console_secret.to_owned().into()),
                    ..login(console)
                },
                config_path: None,
            }],
            caches: vec![CacheConfig {
                name: "cache".into(),
                address: "shop/cache".into(),
                login: Login {
                    password: Some(cache_secret.to_owned().into()),
                    ..login(&format!("redis://127.0.0.1:{cache}"))
                },
            }],
            apps: Vec::new(),
        };
        Cluster::new(config, &Limits::default())
    };
    let good = made(&url(pooler, "muster", "pgbouncer"), &right, secret.trim());
    for what in [
        Show::Pools,
        Show::Clients,
        Show::Servers,
        Show::Databases,
        Show::Config,
        Show::Version,
        Show::Stats,
        Show::Lists,
    ] {
        let rows = good.poolers[0]
            .show(what)
            .await
            .unwrap_or_else(|e| panic!("{what:?}: {e}"));
        assert!(what == Show::Servers || !rows.is_empty(), "{what:?}");
    }
    let info = good.caches[0].info().await.expect("info");
    assert!(info.contains_key("redis_version") && info.contains_key("run_id"));

    let bad = made(&url(pooler, "muster", "pgbouncer"), "wrong", "wrong");
    let e = bad.poolers[0].show(Show::Pools).await.expect_err("refused");
    assert_eq!(
        (&e.trouble, e.rung()),
        (&Trouble::Auth, Some(Rung::Auth)),
        "{e:?}"
    );
    let e = bad.caches[0].info().await.expect_err("refused");
    assert_eq!(
        (&e.trouble, e.rung()),
        (&Trouble::Auth, Some(Rung::Auth)),
        "{e:?}"
    );
    let nowhere = made(&url(pooler, "muster", "nowhere"), &right, secret.trim());
    let e = nowhere.poolers[0].show(Show::Pools).await.expect_err("refused");
    assert_eq!(e.rung(), Some(Rung::Database), "{e:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserved_sessions_outlive_the_servers_patience_and_short_ones_say_goodbye() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = superuser(&test).await;
        boss.batch_execute("ALTER ROLE ALL SET idle_session_timeout = '30s'")
            .await
            .expect("set");
        let cluster = server(
            of(&test.fleet, User::Muster),
            Some(of(&test.fleet, User::MusterAct)),
            &Limits::default(),
        );
        let server = &cluster.servers[0];
        const SHOWN: &str = "SELECT pg_catalog.current_setting('idle_session_timeout') AS shown";
        for session in [
            server.observing().await.expect("login"),
            server.acting().await.expect("login"),
        ] {
            let rows = session.query(SHOWN, &[]).await.expect("shown");
            assert_eq!(rows[0].get::<_, String>("shown"), "0");
        }
        let shorts = async |count: usize| {
            for _ in 0..count {
                let short = server.inside("postgres").await.expect("login");
                drop(short);
            }
        };
        shorts(5).await;
        // A server counts a session when it has ended; it says so a moment later.
        let counted = until("the sessions were counted", async || {
            let rows = boss
                .query(
                    "SELECT sessions, sessions_abandoned FROM pg_stat_database WHERE datname = 'postgres'
                      AND NOT EXISTS (SELECT FROM pg_stat_activity
                        WHERE datname = 'postgres' AND application_name = 'muster/observe')",
                    &[],
                )
                .await
                .ok()?;
            let row = rows.first()?;
            let (all, abandoned): (i64, i64) = (row.get(0), row.get(1));
            (all >= 5).then_some(abandoned)
        })
        .await;
        assert_eq!(counted, 0, "{major}: sessions were lost by their client");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_refuses_is_metered_too() {
    let Some(test) = testing::fleet(testing::small(18)).await else {
        return;
    };
    let limits = Limits {
        statement: Duration::from_millis(200),
        ..Limits::default()
    };
    let cluster = server(of(&test.fleet, User::Muster), None, &limits);
    let server = &cluster.servers[0];
    let session = server.observing().await.expect("login");
    let before = server.meter().cost();
    session
        .query(
            "SELECT count(*) FROM (SELECT generate_series(1, 2000000000)) x",
            &[],
        )
        .await
        .expect_err("a limit");
    let after = server.meter().cost();
    assert_eq!(after.queries, before.queries + 1);
    assert!(after.busy_ms >= before.busy_ms + 200.0, "{after:?}");
    let refused = server.inside("nowhere").await.err().expect("refused");
    assert_eq!(refused.trouble, Trouble::Database);
    assert_eq!(
        server.meter().cost().queries,
        after.queries + 1,
        "a login is work"
    );
}
