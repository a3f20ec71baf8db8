//! Log, slots, files and access on real servers: what is read there, and what the rules of this slice need of it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use muster_lab::fleet::{User, connect};
use muster_lab::testing::{self, TestFleet};
use muster_model::Snapshot;
use muster_model::snapshot::{Part, Replication, ServerView};
use muster_observe::{Extent, Observer};

use crate::estate::{cluster, now, observer, until, watching};

async fn boss(test: &TestFleet, server: &str) -> tokio_postgres::Client {
    let config = test.fleet.config(server, User::Postgres, "app").expect("config");
    connect(&config).await.expect("login")
}

async fn run(boss: &tokio_postgres::Client, statements: &[&str]) {
    for sql in statements {
        boss.batch_execute(sql).await.expect(sql);
    }
}

fn server<'a>(s: &'a Snapshot, name: &str) -> &'a ServerView {
    s.server(&format!("shop/{name}")).expect("server")
}

fn replication<'a>(s: &'a Snapshot, name: &str) -> Option<&'a Replication> {
    server(s, name).replication.as_ref().map(|p: &Part<_>| &p.value)
}

/// Passes that look into everything, until one shows what is waited for.
async fn until_all(what: &str, observer: &Observer, seen: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let snapshot = observer.pass(now(), Extent::All).await;
        if seen(&snapshot) {
            return snapshot;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "not in time: {what}: {snapshot:#?}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_say_what_they_keep_for_whom_and_whether_they_are_lost() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = boss(&test, "a").await;
        run(
            &boss,
            &[
                "ALTER SYSTEM SET wal_keep_size = 0",
                "ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'",
                "SELECT pg_catalog.pg_reload_conf()",
                "SELECT pg_catalog.pg_create_physical_replication_slot('nobody', true)",
            ],
        )
        .await;
        let observer = observer(&test.fleet);
        let of = |s: &Snapshot| replication(s, "a").and_then(|r| r.slots.first().cloned());
        let kept = until("the limit is in force", &observer, |s| {
            replication(s, "a").is_some_and(|r| r.slot_limit == Some(32 << 20))
                && of(s).is_some_and(|s| s.safe_wal_size.is_some())
        })
        .await;
        let slot = of(&kept).expect("slot");
        assert_eq!(
            (slot.name.as_str(), slot.active, slot.temporary),
            ("nobody", false, false)
        );
        assert_eq!(slot.wal_status.as_deref(), Some("reserved"));
        assert!(
            slot.safe_wal_size.is_some_and(|b| b > 0 && b <= 64 << 20),
            "{slot:?}"
        );
        assert_eq!(slot.inactive_since.is_some(), major >= 17, "{slot:?}");
        let end = replication(&kept, "a").and_then(|r| r.current).expect("current");
        assert!(end - slot.restart.expect("restart") < 16 << 20);

        // Write far more than the limit; the checkpoint takes it from the slot.
        for _ in 0..6 {
            run(
                &boss,
                &[
                    "SELECT pg_catalog.pg_logical_emit_message(false, 'x', pg_catalog.repeat('x', 15000000))",
                    "SELECT pg_catalog.pg_switch_wal()",
                ],
            )
            .await;
        }
        run(&boss, &["CHECKPOINT"]).await;
        let lost = until("the slot is lost", &observer, |s| {
            of(s).is_some_and(|s| s.wal_status.as_deref() == Some("lost"))
        })
        .await;
        let slot = of(&lost).expect("slot");
        assert_eq!(slot.restart, None, "it keeps nothing any more");
        let why = slot.invalidation.as_deref();
        assert_eq!(why, (major >= 17).then_some("wal_removed"));
        let counted = &server(&lost, "a").wal.as_ref().expect("wal").value.counted;
        let written = counted.in_a_minute(|n| n.position).expect("grown");
        assert!(written.by > 60 << 20, "{written:?}");
        assert!(
            counted.in_a_minute(|n| n.requested).is_some_and(|g| g.by >= 1),
            "the checkpoint was requested: {counted:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archiver_that_fails_is_counted_with_what_it_failed_on() {
    for major in [15, 18] {
        let Some(mut test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        run(
            &boss(&test, "a").await,
            &[
                "ALTER SYSTEM SET archive_mode = 'on'",
                "ALTER SYSTEM SET archive_command = 'true'",
            ],
        )
        .await;
        restart(&mut test).await;
        let observer = observer(&test.fleet);
        let boss = boss(&test, "a").await;
        run(&boss, &["SELECT pg_catalog.pg_switch_wal()"]).await;
        let fine = until("a segment is archived", &observer, |s| {
            let wal = server(s, "a").wal.as_ref();
            wal.is_some_and(|w| w.value.counted.now.archived > 0 && w.value.backlog().is_some())
        })
        .await;
        let wal = &server(&fine, "a").wal.as_ref().expect("wal").value;
        assert_eq!((wal.archive_mode.as_str(), wal.segment), ("on", 16 << 20));
        assert!(wal.backlog().is_some_and(|n| n <= 1), "{wal:?}");
        assert!(wal.last_archived_at.is_some() && wal.last_failed.is_none());
        let settings = &server(&fine, "a").settings.as_ref().expect("settings").value;
        assert_eq!(
            settings.values.get("archive_command").map(String::as_str),
            Some("true"),
            "what throws WAL away is told as what it is"
        );

        run(
            &boss,
            &[
                "ALTER SYSTEM SET archive_command = 'false # sesame'",
                "SELECT pg_catalog.pg_reload_conf()",
                "SELECT pg_catalog.pg_logical_emit_message(true, 'x', 'x')",
                "SELECT pg_catalog.pg_switch_wal()",
            ],
        )
        .await;
        let failing = until("three failures", &observer, |s| {
            let wal = server(s, "a").wal.as_ref();
            wal.is_some_and(|w| w.value.counted.now.archive_failed >= 3)
        })
        .await;
        let wal = &server(&failing, "a").wal.as_ref().expect("wal").value;
        assert!(
            wal.last_failed_at > wal.last_archived_at && wal.last_failed.is_some(),
            "{wal:?}"
        );
        assert!(
            wal.counted
                .in_five_minutes(|n| n.archive_failed)
                .is_some_and(|g| g.by >= 3)
        );
        let settings = &server(&failing, "a").settings.as_ref().expect("settings").value;
        let command = settings.values.get("archive_command").expect("command");
        assert!(
            command.starts_with("hash ") && !command.contains("sesame"),
            "{command}"
        );
    }
}

async fn restart(test: &mut TestFleet) {
    let mut fleet = muster_lab::Fleet::open(&test.fleet.dir).expect("fleet");
    muster_lab::server::stop(&fleet, "a", muster_lab::server::How::Fast)
        .await
        .expect("stops");
    muster_lab::server::start(&mut fleet, "a").await.expect("starts");
    fleet.save().expect("saves");
    test.fleet = std::sync::Arc::new(fleet);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_are_read_as_the_server_reads_them_and_never_their_values() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let observer = observer(&test.fleet);
        let files = |s: &Snapshot| server(s, "a").files.as_ref().map(|p| p.value.clone());
        let clean = observer.pass(now(), Extent::All).await;
        assert_eq!(clean.gaps, Vec::new());
        let read = files(&clean).expect("files");
        assert_eq!(
            (read.invalid, read.waiting, read.rules_invalid),
            (Some(vec![]), Some(vec![]), Some(vec![]))
        );

        let append = |file: &str, text: &str| {
            let path = test.fleet.data("a").join(file);
            let before = std::fs::read_to_string(&path).expect("reads");
            std::fs::write(&path, before + text).expect("writes");
        };
        append("postgresql.conf", "max_connections = 77\nwork_mem = 'sesame'\n");
        append("pg_hba.conf", "host all all 10.0.0.0/8 trusty\n");
        let boss = boss(&test, "a").await;
        run(&boss, &["ALTER ROLE app SET statement_timeout = '7s'"]).await;
        let spoiled = observer.pass(now(), Extent::All).await;
        let read = files(&spoiled).expect("files");
        let named = |lines: &Option<Vec<muster_model::snapshot::BadLine>>| -> Vec<String> {
            let lines = lines.as_ref().expect("read").iter();
            lines
                .map(|l| format!("{} {}", l.file, l.name.clone().unwrap_or_default()))
                .collect()
        };
        assert_eq!(named(&read.invalid), ["postgresql.conf work_mem"]);
        assert_eq!(named(&read.waiting), ["postgresql.conf max_connections"]);
        assert_eq!(named(&read.rules_invalid), ["pg_hba.conf "]);
        assert!(
            read.rules_invalid.as_ref().expect("read")[0]
                .error
                .contains("trusty")
        );
        assert!(
            !format!("{read:?}").contains("sesame"),
            "a value was read: {read:?}"
        );
        assert!(
            read.scoped.iter().any(|s| s.role.as_deref() == Some("app")
                && s.name == "statement_timeout"
                && s.value == "7s"),
            "{:?}",
            read.scoped
        );

        // Whoever may not ask gets a gap, and its line closes it.
        run(
            &boss,
            &[
                "CREATE ROLE plain LOGIN PASSWORD 'plain'",
                "GRANT pg_monitor TO plain",
            ],
        )
        .await;
        let plain = watching(cluster(&test.fleet, "plain", "plain"));
        let blind = plain.pass(now(), Extent::All).await;
        let gaps: Vec<_> = blind.gaps.iter().filter(|g| g.collector == "files").collect();
        assert_eq!(gaps.len(), 2, "{:?}", blind.gaps);
        assert_eq!(
            files(&blind).map(|f| (f.invalid, f.rules_invalid)),
            Some((None, None))
        );
        for gap in &gaps {
            run(&boss, &[gap.remedy.as_deref().expect("remedy")]).await;
        }
        let plain = watching(cluster(&test.fleet, "plain", "plain"));
        let sees = plain.pass(now(), Extent::All).await;
        assert!(
            sees.gaps.iter().all(|g| g.collector != "files"),
            "{:?}",
            sees.gaps
        );
        assert_eq!(files(&sees).expect("files").invalid, read.invalid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_taken_from_a_living_session_is_seen_and_nothing_is_believed_from_before() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = boss(&test, "a").await;
        let mut config = cluster(
            &test.fleet,
            "muster",
            &test.fleet.password(User::Muster).expect("password"),
        );
        config.servers[0].act = Some(crate::estate::login(format!(
            "postgres://muster_act:x@127.0.0.1:{}/app",
            test.fleet.servers[0].port
        )));
        let observer = watching(config);
        let right = |s: &Snapshot, name: &str| {
            let login = &server(s, "a").login.as_ref().expect("login").value;
            assert_eq!(login.user, "muster");
            login.rights.get(name).copied()
        };
        let had = observer.pass(now(), Extent::Hot).await;
        assert_eq!(right(&had, "pg_monitor"), Some(true));
        assert_eq!(right(&had, "pg_signal_backend of muster_act"), Some(true));
        assert_eq!(right(&had, "pg_hba_file_rules()"), Some(true));
        assert_eq!(
            right(&had, "pg_use_reserved_connections"),
            (major >= 16).then_some(true)
        );

        run(
            &boss,
            &[
                "REVOKE pg_monitor FROM muster",
                "REVOKE pg_signal_backend FROM muster_act",
            ],
        )
        .await;
        let lost = observer.pass(now(), Extent::Hot).await;
        assert_eq!(right(&lost, "pg_monitor"), Some(false));
        assert_eq!(right(&lost, "pg_signal_backend of muster_act"), Some(false));
        let after = until("it says that it does not see all", &observer, |s| {
            server(s, "a")
                .activity
                .as_ref()
                .is_some_and(|a| !a.value.sees_all)
        })
        .await;
        assert!(after.gap("activity", "shop/a").is_some(), "{:?}", after.gaps);
        run(&boss, &["GRANT pg_monitor TO muster"]).await;
        until("it sees all again", &observer, |s| {
            server(s, "a").activity.as_ref().is_some_and(|a| a.value.sees_all)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_that_a_server_shows_is_read_and_a_new_one_as_well() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let observer = observer(&test.fleet);
        let shown = |s: &Snapshot| server(s, "a").certificate.as_ref().map(|p| p.value.clone());
        let plain = shown(&observer.pass(now(), Extent::All).await).expect("read");
        assert_eq!((plain.tls, plain.not_after), (false, None));
        let boss = boss(&test, "a").await;
        // The server that cargo xtask unpacks is built without TLS; the one of the system is not.
        if let Err(e) = boss.batch_execute("ALTER SYSTEM SET ssl = on").await {
            let said = e.as_db_error().map_or("", |d| d.message());
            assert!(
                major == 18 && said.contains("not supported by this build"),
                "{e:?}"
            );
            continue;
        }
        for (year, end) in [(2039, "2039-02-03T00:00:00Z"), (2047, "2047-02-03T00:00:00Z")] {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
            params.not_after = rcgen::date_time_ymd(year, 2, 3);
            let key = rcgen::KeyPair::generate().expect("key");
            let certificate = params.self_signed(&key).expect("signs");
            for (file, text) in [
                ("server.crt", certificate.pem()),
                ("server.key", key.serialize_pem()),
            ] {
                let path = test.fleet.data("a").join(file);
                std::fs::write(&path, text).expect("writes");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
                let folder = std::fs::metadata(test.fleet.data("a")).expect("folder");
                std::os::unix::fs::chown(&path, Some(folder.uid()), Some(folder.gid())).expect("owner");
            }
            run(
                &boss,
                &["ALTER SYSTEM SET ssl = on", "SELECT pg_catalog.pg_reload_conf()"],
            )
            .await;
            let end = Some(end.parse().expect("a time"));
            let told = until_all("the certificate is shown", &observer, |s| {
                shown(s).is_some_and(|c| c.not_after == end)
            })
            .await;
            assert!(shown(&told).is_some_and(|c| c.tls));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_of_a_standby_and_commits_that_wait_for_it_are_read() {
    for major in [15, 18] {
        let mut options = testing::small(major);
        options.standbys = 1;
        let Some(test) = testing::fleet(options).await else {
            return;
        };
        let observer = observer(&test.fleet);
        let (primary, standby) = (boss(&test, "a").await, boss(&test, "b").await);
        run(
            &standby,
            &[
                "ALTER SYSTEM SET max_standby_streaming_delay = 0",
                "SELECT pg_catalog.pg_reload_conf()",
            ],
        )
        .await;
        run(
            &primary,
            &["CREATE TABLE fought (id int)", "INSERT INTO fought VALUES (1)"],
        )
        .await;
        until("both ends stream", &observer, |s| {
            let there = replication(s, "a").is_some_and(|r| r.senders.len() == 1);
            there && replication(s, "b").is_some_and(|r| r.receiver.is_some() && r.conflicts.is_some())
        })
        .await;
        assert_eq!(
            replication(&observer.pass(now(), Extent::Hot).await, "a").and_then(|r| r.conflicts.clone()),
            Some(vec![]),
            "a primary has none"
        );
        let reader = boss(&test, "b").await;
        let caught_up = |s: &Snapshot| {
            let current = replication(s, "a").and_then(|r| r.current);
            replication(s, "b").and_then(|r| r.replayed) >= current
        };
        until("the table is on the standby", &observer, caught_up).await;
        run(&reader, &["BEGIN", "SELECT * FROM fought"]).await;
        run(&primary, &["DROP TABLE fought"]).await;
        let fought = until("the reader was cancelled", &observer, |s| {
            let all = replication(s, "b").and_then(|r| r.conflicts.as_ref());
            all.is_some_and(|all| all.iter().any(|c| c.database == "app" && c.counted.now.lock >= 1))
        })
        .await;
        let all = replication(&fought, "b")
            .and_then(|r| r.conflicts.clone())
            .expect("read");
        let app = all.iter().find(|c| c.database == "app").expect("app");
        assert!(
            app.counted.in_a_minute(|n| n.sum()).is_some_and(|g| g.by >= 1),
            "{app:?}"
        );

        // Now a commit must be confirmed by somebody who is not there.
        run(
            &primary,
            &[
                "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (absent)'",
                "SELECT pg_catalog.pg_reload_conf()",
            ],
        )
        .await;
        let writer = boss(&test, "a").await;
        let waits = tokio::spawn(async move { writer.batch_execute("CREATE TABLE waited (id int)").await });
        let stalled = until("a commit waits", &observer, |s| {
            let sessions = server(s, "a").activity.as_ref().map(|a| &a.value.sessions);
            sessions.is_some_and(|all| all.iter().any(|s| s.wait_event.as_deref() == Some("SyncRep")))
        })
        .await;
        let r = replication(&stalled, "a").expect("replication");
        assert_eq!(r.synchronous_names, "FIRST 1 (absent)");
        assert!(
            r.senders.iter().all(|s| s.sync_state.as_deref() == Some("async")),
            "{:?}",
            r.senders
        );
        run(
            &primary,
            &[
                "ALTER SYSTEM RESET synchronous_standby_names",
                "SELECT pg_catalog.pg_reload_conf()",
            ],
        )
        .await;
        waits.await.expect("joins").expect("commits");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_fails_is_read_on_both_ends() {
    for major in [15, 18] {
        let Some(mut test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        run(&boss(&test, "a").await, &["ALTER SYSTEM SET wal_level = logical"]).await;
        restart(&mut test).await;
        let boss = boss(&test, "a").await;
        run(
            &boss,
            &[
                "CREATE DATABASE other",
                "CREATE TABLE goods (id int PRIMARY KEY)",
                "CREATE PUBLICATION goods FOR TABLE goods",
                "SELECT pg_catalog.pg_create_logical_replication_slot('goods', 'pgoutput')",
            ],
        )
        .await;
        let other = connect(&test.fleet.config("a", User::Postgres, "other").expect("config"))
            .await
            .expect("login");
        let secret = test.fleet.password(User::Postgres).expect("password");
        let subscribe = format!(
            "CREATE SUBSCRIPTION goods CONNECTION 'host=127.0.0.1 port={} user=postgres password={secret} dbname=app' \
             PUBLICATION goods WITH (create_slot = false, copy_data = false)",
            test.fleet.servers[0].port
        );
        run(&other, &["CREATE TABLE goods (id int PRIMARY KEY)", &subscribe]).await;
        let observer = observer(&test.fleet);
        let mine = |s: &Snapshot| {
            let all = replication(s, "a").and_then(|r| r.subscriptions.clone())?;
            all.into_iter().find(|s| s.name == "goods")
        };
        let works = until("its worker runs", &observer, |s| {
            mine(s).is_some_and(|s| s.workers == 1)
        })
        .await;
        let subscription = mine(&works).expect("subscription");
        assert_eq!(subscription.enabled, 1);
        assert!(!format!("{works:?}").contains(&secret), "a secret was read");
        let slot = replication(&works, "a").expect("replication").slots[0].clone();
        assert_eq!(
            (
                slot.slot_type.as_str(),
                slot.database.as_deref(),
                slot.plugin.as_deref()
            ),
            ("logical", Some("app"), Some("pgoutput"))
        );
        assert!(slot.confirmed.is_some() && slot.safe_wal_size.is_none());

        // The same row on both ends: the subscriber fails again and again.
        run(&other, &["INSERT INTO goods VALUES (1)"]).await;
        run(&boss, &["INSERT INTO goods VALUES (1)"]).await;
        let failed = until("it failed", &observer, |s| {
            let errors = mine(s).and_then(|s| s.errors);
            errors.is_some_and(|e| e.now.apply >= 1)
        })
        .await;
        assert!(mine(&failed).is_some_and(|s| s.workers <= 1));
        run(&other, &["ALTER SUBSCRIPTION goods DISABLE"]).await;
        let off = until("nobody uses the slot", &observer, |s| {
            replication(s, "a").is_some_and(|r| !r.slots[0].active)
        })
        .await;
        assert!(mine(&off).is_some_and(|s| s.enabled == 0 && s.workers == 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_faults_of_this_family_are_seen_and_end_without_a_trace() {
    type Params = &'static [(&'static str, &'static str)];
    type Seen = fn(&ServerView) -> bool;
    let faults: [(&str, Params, Seen); 6] = [
        ("slot-forgotten", &[("megabytes", "60")], |s| {
            s.replication.as_ref().is_some_and(|r| {
                let slots = &r.value.slots;
                let kept = |slot: &muster_model::snapshot::Slot| r.value.current?.checked_sub(slot.restart?);
                slots.iter().any(|s| kept(s).is_some_and(|n| n > 50 << 20))
            })
        }),
        ("sync-standby-absent", &[], |s| {
            let all = s.activity.iter().flat_map(|a| &a.value.sessions);
            all.filter(|s| s.wait_event.as_deref() == Some("SyncRep")).count() >= 1
        }),
        ("setting-harmful", &[], |s| {
            let values = s.settings.as_ref().map(|p| &p.value.values);
            values.is_some_and(|v| v.get("full_page_writes").is_some_and(|v| v == "off"))
        }),
        ("line-refused", &[], |s| {
            let files = s.files.as_ref().and_then(|p| p.value.invalid.as_ref());
            files.is_some_and(|all| all.len() == 1)
        }),
        ("line-refused", &[("file", "rules")], |s| {
            let files = s.files.as_ref().and_then(|p| p.value.rules_invalid.as_ref());
            files.is_some_and(|all| all.len() == 1)
        }),
        ("privilege-revoked", &[], |s| {
            let rights = s.login.as_ref().map(|p| &p.value.rights);
            rights.is_some_and(|r| r.get("pg_monitor") == Some(&false))
        }),
    ];
    for major in [15, 18] {
        let Some(mut test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let observer = observer(&test.fleet);
        for (fault, params, seen) in faults {
            assert!(
                !seen(server(&observer.pass(now(), Extent::All).await, "a")),
                "{fault} is there before"
            );
            test.inject(fault, params).await;
            until_all(fault, &observer, |s| seen(server(s, "a"))).await;
            test.heal().await;
            until_all(&format!("the end of {fault}"), &observer, |s| {
                !seen(server(s, "a"))
            })
            .await;
        }
    }
}
