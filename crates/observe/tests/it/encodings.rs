//! Databases that are not in UTF-8: what their sessions say is seen from every other database, in bytes of their own.

use muster_lab::fleet::{User, connect};
use muster_lab::testing::{self, TestFleet};
use muster_model::snapshot::{Reach, Session};
use muster_model::{Snapshot, Span};
use muster_observe::{Extent, Observer};

use crate::estate::{cluster, login, now, until, watching};

async fn client(test: &TestFleet, database: &str) -> tokio_postgres::Client {
    let config = test.fleet.config("a", User::Postgres, database).expect("config");
    connect(&config).await.expect("login")
}

/// Databases in other encodings, and an observer that logs in to one of them.
async fn databases(test: &TestFleet) {
    let boss = client(test, "app").await;
    for (name, encoding) in [("latin", "LATIN1"), ("bytes", "SQL_ASCII")] {
        let sql = format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        boss.batch_execute(&sql).await.expect("created");
    }
}

fn observer(test: &TestFleet, database: &str) -> Observer {
    let password = test.fleet.password(User::Muster).expect("password");
    let mut config = cluster(&test.fleet, "muster", &password);
    for server in &mut config.servers {
        server.observe = login(server.observe.url.replace("/app", &format!("/{database}")));
    }
    watching(config)
}

fn saying<'a>(snapshot: &'a Snapshot, database: &str) -> Option<&'a Session> {
    let activity = &snapshot.servers[0].activity.as_ref()?.value;
    let mut sessions = activity.sessions.iter();
    sessions.find(|s| {
        let query = s.query.as_deref().unwrap_or_default();
        s.database.as_deref() == Some(database) && query.contains("AS \"caf")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_in_another_encoding_blinds_nobody() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        databases(&test).await;
        let latin = client(&test, "latin").await;
        latin
            .batch_execute("CREATE ROLE \"zo\u{eb}\"")
            .await
            .expect("role");
        latin
            .batch_execute("SELECT 1 AS \"caf\u{e9}\"")
            .await
            .expect("says");
        for from in ["app", "bytes", "latin"] {
            let observer = observer(&test, from);
            let seen = observer.pass(now(), Extent::All).await;
            assert_eq!(
                seen.servers[0].reach,
                Reach::Up,
                "{major}, {from}: {:?}",
                seen.gaps
            );
            let session = saying(&seen, "latin").unwrap_or_else(|| panic!("{major}, {from}: not seen"));
            let query = session.query.as_deref().expect("a statement");
            let shown = if from == "latin" {
                "caf\u{e9}"
            } else {
                "caf\u{fffd}"
            };
            assert!(query.contains(shown), "{major}, {from}: {query}");
            let vacuuming = seen.servers[0].vacuuming.as_ref().expect("vacuuming");
            assert!(vacuuming.value.freeze.iter().any(|f| f.database == "latin"));
            // Grants on functions are those of one database: only `app` has them.
            let gaps = seen
                .gaps
                .iter()
                .filter(|g| !["statements", "files"].contains(&g.collector.as_str()));
            assert_eq!(gaps.count(), 0, "{major}, {from}: {:?}", seen.gaps);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_statement_ends_with_a_whole_letter() {
    let Some(test) = testing::fleet(testing::small(18)).await else {
        return;
    };
    let app = client(&test, "app").await;
    let word = "\u{e9}".repeat(30);
    let columns: Vec<String> = (0..60).map(|i| format!("1 AS \"caf{word}{i}\"")).collect();
    app.batch_execute(&format!("SELECT {}", columns.join(", ")))
        .await
        .expect("says");
    let seen = observer(&test, "app").pass(now(), Extent::Hot).await;
    let query = saying(&seen, "app").and_then(|s| s.query.clone()).expect("seen");
    assert!(!query.contains('\u{fffd}'), "{query}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_cannot_be_told_leaves_the_counters() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        databases(&test).await;
        let latin = client(&test, "latin").await;
        latin
            .batch_execute("CREATE EXTENSION pg_stat_statements")
            .await
            .expect("extension");
        let app = client(&test, "app").await;
        // Omega has no place in LATIN1.
        app.batch_execute("SELECT 1 AS \"\u{3a9}\"").await.expect("says");
        let observer = observer(&test, "latin");
        observer.pass(now(), Extent::All).await;
        let later = now().plus(Span::from_secs(1));
        let seen = observer.pass(later, Extent::All).await;
        let statements = seen.servers[0].statements.as_ref().expect("statements");
        assert!(
            later.since(statements.taken_at) < Span::from_secs(5),
            "{major}: old"
        );
        assert!(
            statements.value.off.is_none() && statements.value.entries > 0,
            "{major}"
        );
        let gap = seen.gaps.iter().find(|g| g.collector == "statements");
        let reason = gap.map(|g| g.reason.as_str()).unwrap_or_default();
        assert!(reason.starts_with("texts of new statements"), "{major}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_no_missing_extension_and_a_closed_database_is_not_knocked_at() {
    for major in [15, 18] {
        let Some(test) = testing::fleet(testing::small(major)).await else {
            return;
        };
        let boss = client(&test, "app").await;
        for sql in [
            "CREATE DATABASE shut",
            "REVOKE CONNECT ON DATABASE shut FROM PUBLIC",
        ] {
            boss.batch_execute(sql).await.expect("shut");
        }
        // The extension is in `app`, the login in `postgres`.
        let observer = observer(&test, "postgres");
        let seen = observer.pass(now(), Extent::All).await;
        let there = |s: &Snapshot| {
            s.servers[0]
                .statements
                .as_ref()
                .is_some_and(|p| p.value.off.is_none())
        };
        assert!(there(&seen), "{:?}", seen.servers[0].statements);
        let gap = seen
            .gaps
            .iter()
            .find(|g| g.collector == "databases")
            .expect("a gap");
        assert!(gap.reason.contains("database shut") && gap.reason.contains("may not connect"));
        assert_eq!(
            gap.remedy.as_deref(),
            Some("GRANT CONNECT ON DATABASE \"shut\" TO \"muster\";")
        );
        boss.batch_execute("REVOKE CONNECT ON DATABASE app FROM PUBLIC, muster")
            .await
            .expect("revoked");
        let blind = observer.pass(now(), Extent::All).await;
        assert!(
            blind.gaps.iter().any(|g| g.collector == "statements"),
            "{:?}",
            blind.gaps
        );
        let off = blind.servers[0]
            .statements
            .as_ref()
            .and_then(|p| p.value.off.clone());
        assert_eq!(off, None, "nobody knows that the extension is missing");
        boss.batch_execute("GRANT CONNECT ON DATABASE app TO PUBLIC")
            .await
            .expect("granted");
        let back = until_all(&observer).await;
        assert!(there(&back), "at once, without a search");
    }
}

/// A whole look, once the server answers.
async fn until_all(observer: &Observer) -> Snapshot {
    until("it answers", observer, |s| s.servers[0].reach == Reach::Up).await;
    observer.pass(now(), Extent::All).await
}
