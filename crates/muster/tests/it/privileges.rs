//! Logins that may less than they should: what they cannot read is a gap with its remedy and an unknown kind, never a healthy one.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_lab::fleet::{User, connect};
use muster_lab::testing;
use muster_model::snapshot::Reach;
use muster_model::{Snapshot, Time};
use muster_observe::{Cadence, Extent, Observer};
use muster_reach::{Cluster, ClusterConfig, Limits, Login, ServerConfig};
use muster_rules::{Judgement, Mode, RuleState, defaults, judge};
use serde_json::Value;
use tokio_postgres::Client;

use crate::stage::{Said, Stage, muster, until};

fn now() -> Time {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock");
    Time::from_micros(i64::try_from(since.as_micros()).expect("a year that fits"))
}

async fn client(stage: &Stage, user: User) -> Client {
    let config = stage.fleet().config("a", user, "app").expect("config");
    connect(&config).await.expect("login")
}

fn observer(stage: &Stage, role: &str, password: &str) -> Observer {
    let port = stage.fleet().server("a").expect("a").port;
    let config = ClusterConfig {
        name: "lab".into(),
        servers: vec![ServerConfig {
            name: "a".into(),
            address: "lab/a".into(),
            observe: Login {
                url: format!("postgres://{role}:{password}@127.0.0.1:{port}/app?sslmode=disable"),
                password: None,
                passfile: None,
            },
            act: None,
            host: None,
        }],
        poolers: Vec::new(),
        caches: Vec::new(),
        apps: Vec::new(),
    };
    Observer::new(
        Arc::new(Cluster::new(config, &Limits::default())),
        Cadence::default(),
    )
}

fn judged(snapshot: &Snapshot) -> Judgement {
    judge(&RuleState::default(), snapshot, &defaults(), Mode::Check).1
}

fn unknown(judgement: &Judgement) -> BTreeSet<&str> {
    judgement.unknown.iter().map(|u| u.kind.as_str()).collect()
}

/// Somebody holds a row in an idle transaction, and somebody waits for it.
async fn blocked(stage: &Stage) -> (Client, tokio::task::JoinHandle<()>) {
    let (holder, waiter) = (client(stage, User::App).await, client(stage, User::App).await);
    holder
        .batch_execute("BEGIN; UPDATE notes SET body = body WHERE id = 1")
        .await
        .expect("holds");
    let waits = tokio::spawn(async move {
        // It ends with the test.
        let _ = waiter
            .batch_execute("UPDATE notes SET body = body WHERE id = 1")
            .await;
    });
    let root = client(stage, User::Postgres).await;
    until("it waits", async || {
        let rows = root
            .query("SELECT FROM pg_catalog.pg_locks WHERE NOT granted", &[])
            .await;
        rows.is_ok_and(|r| !r.is_empty()).then_some(())
    })
    .await;
    (holder, waits)
}

/// One function is taken from everybody: the collector that needs it has a gap with the line that closes it, and the rest is read.
async fn refused(major: u32) {
    let Some(stage) = Stage::new(testing::small(major)).await else {
        return;
    };
    let root = client(&stage, User::Postgres).await;
    root.batch_execute("CREATE ROLE watcher LOGIN PASSWORD 'watcher'; GRANT pg_monitor TO watcher")
        .await
        .expect("a role");
    let (_holder, _waits) = blocked(&stage).await;
    let whole = observer(&stage, "watcher", "watcher")
        .pass(now(), Extent::Hot)
        .await;
    assert_eq!(whole.gaps, [], "nothing is missing before");
    for (function, collector, kinds) in [
        (
            "pg_blocking_pids(integer)",
            "activity",
            &[
                "locks.idle_in_transaction",
                "connections.saturated",
                "transactions.long",
                "locks.blocking_chain",
            ][..],
        ),
        (
            "pg_lock_status()",
            "locks",
            &["locks.hot_row", "locks.advisory_leak"][..],
        ),
        ("pg_postmaster_start_time()", "identity", &[][..]),
        ("pg_stat_get_wal_senders()", "replication", &[][..]),
        ("pg_is_in_recovery()", "identity", &[][..]),
        ("pg_is_in_recovery()", "replication", &[][..]),
    ] {
        root.batch_execute(&format!(
            "REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC"
        ))
        .await
        .expect("revoked");
        let watching = observer(&stage, "watcher", "watcher");
        let seen = watching.pass(now(), Extent::Hot).await;
        let server = &seen.servers[0];
        assert_eq!(server.reach, Reach::Up, "{function}: it answers");
        let gap = seen
            .gap(collector, "lab/a")
            .unwrap_or_else(|| panic!("{function}: {:?}", seen.gaps));
        assert!(!gap.reason.is_empty(), "{gap:?}");
        let judgement = judged(&seen);
        for kind in kinds {
            assert!(
                unknown(&judgement).contains(kind),
                "{function}: {kind} is decided: {:?}",
                judgement.unknown
            );
        }
        let of_lock = |f: &&muster_model::Finding| f.kind.starts_with("locks.");
        assert!(
            collector != "activity" || judgement.findings.iter().find(of_lock).is_none(),
            "{:?}",
            judgement.findings
        );
        assert!(
            judgement.findings.iter().any(|f| f.kind == "muster.blind"),
            "{:?}",
            judgement.findings
        );
        assert!(
            collector == "activity" || server.activity.is_some(),
            "{function}: the rest is read"
        );
        assert!(
            server.settings.is_some() && server.traffic.is_some(),
            "{function}: the rest is read"
        );
        // The same session reads again when the line of the gap was run.
        let remedies: Vec<String> = seen
            .gaps
            .iter()
            .filter_map(|g| g.remedy.clone())
            .filter(|r| r.starts_with("GRANT"))
            .collect();
        assert!(!remedies.is_empty(), "{:?}", seen.gaps);
        for line in &remedies {
            root.batch_execute(line)
                .await
                .unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        let healed = watching.pass(now(), Extent::Hot).await;
        assert!(
            healed.gap(collector, "lab/a").is_none(),
            "{function}: {:?}",
            healed.gaps
        );
        root.batch_execute(&format!(
            "GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO PUBLIC"
        ))
        .await
        .expect("granted");
        root.batch_execute(&format!(
            "REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM watcher"
        ))
        .await
        .expect("as before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_statement_of_15_is_a_gap_and_the_rest_is_read() {
    refused(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_statement_of_18_is_a_gap_and_the_rest_is_read() {
    refused(18).await;
}

/// `muster check` as a role, without a host, without an acting login.
async fn check(stage: &Stage, role: &str) -> (Said, Said) {
    let port = stage.fleet().server("a").expect("a").port;
    let file = stage.fleet().dir.join(format!("{role}.yaml"));
    let text = format!(
        "state_dir: ./state-{role}\nlisten: 127.0.0.1:0\nthresholds:\n  locks.idle_in_transaction: {{blocking: 1s}}\n\
         clusters:\n  lab:\n    servers:\n      - {{name: a, url: \"postgres://{role}@127.0.0.1:{port}/app?sslmode=disable\", \
         password_file: secrets/muster}}\n"
    );
    std::fs::write(&file, text).expect("writes");
    let data = muster(Some(&file), &["check", "--json"]).await;
    (data, muster(Some(&file), &["check"]).await)
}

fn kinds(said: &Said) -> BTreeSet<String> {
    let findings = said.json()["findings"].as_array().cloned().unwrap_or_default();
    findings
        .iter()
        .map(|f| f["kind"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn undecided(said: &Said) -> BTreeSet<String> {
    let lines = said.out.lines().filter_map(|l| l.strip_prefix("unknown "));
    lines
        .filter_map(|l| Some(l.split_once(" of ")?.0.trim().to_owned()))
        .collect()
}

fn honest(who: &str, data: &Said) -> Vec<Value> {
    let said = data.json();
    assert!(said["status"] != "ok" && data.code != 0, "{who}: {data:?}");
    let gaps = said["gaps"].as_array().cloned().unwrap_or_default();
    for gap in &gaps {
        let text = |key: &str| gap[key].as_str().is_some_and(|t| t.len() > 5);
        assert!(text("reason") && text("remedy"), "{who}: {gap}");
    }
    gaps
}

/// A blocker is planted; three logins look, each sees what it may, and none says that what it cannot see is healthy.
async fn lesser(major: u32) {
    let Some(stage) = Stage::new(testing::small(major)).await else {
        return;
    };
    let root = client(&stage, User::Postgres).await;
    let password = stage.fleet().password(User::Muster).expect("password");
    root.batch_execute(&format!(
        "CREATE ROLE nothing LOGIN PASSWORD '{password}'; CREATE ROLE monitor LOGIN PASSWORD '{password}'; \
         CREATE ROLE managed LOGIN PASSWORD '{password}'; GRANT pg_monitor TO monitor, managed"
    ))
    .await
    .expect("roles");
    let (_holder, _waits) = blocked(&stage).await;
    let locks = [
        "locks.blocking_chain",
        "locks.ddl_queue",
        "locks.hot_row",
        "locks.idle_in_transaction",
        "locks.advisory_leak",
        "connections.saturated",
        "transactions.long",
        "query.runaway",
        "replication.lagging",
        "vacuum.xmin_holder",
    ];

    let (data, text) = check(&stage, "nothing").await;
    let gaps = honest("nothing", &data);
    assert_eq!(
        (data.code, data.json()["status"].as_str()),
        (3, Some("unknown")),
        "{data:?}"
    );
    assert!(
        gaps.iter()
            .any(|g| g["collector"] == "activity" && g["remedy"] == "GRANT pg_monitor TO nothing;"),
        "{gaps:?}"
    );
    let (found, open) = (kinds(&data), undecided(&text));
    for kind in locks {
        assert!(
            open.contains(kind) && !found.contains(kind),
            "{kind}: {open:?} {found:?}"
        );
    }
    assert!(!text.out.contains("Nothing to report"), "{text:?}");

    let (data, text) = check(&stage, "monitor").await;
    let gaps = honest("monitor", &data);
    let (found, open) = (kinds(&data), undecided(&text));
    assert!(found.contains("locks.idle_in_transaction"), "{data:?}");
    assert!(!open.iter().any(|k| k.starts_with("locks.")), "{open:?}");
    // What the server thinks of its files is for superusers until it is granted.
    assert!(
        open.contains("access.rules_invalid") && gaps.iter().any(|g| g["collector"] == "files"),
        "{open:?} {gaps:?}"
    );

    // As at a provider: no functions over files or the control file, no settings that are hidden from most.
    root.batch_execute(
        "REVOKE pg_read_all_settings FROM pg_monitor; \
         REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system(), pg_catalog.pg_control_checkpoint(), \
         pg_catalog.pg_control_init(), pg_catalog.pg_control_recovery() FROM PUBLIC; \
         REVOKE EXECUTE ON FUNCTION pg_catalog.pg_ls_waldir(), pg_catalog.pg_ls_logdir(), pg_catalog.pg_ls_tmpdir(), \
         pg_catalog.pg_ls_archive_statusdir() FROM pg_monitor",
    )
    .await
    .expect("revoked");
    let (data, text) = check(&stage, "managed").await;
    let gaps = honest("managed", &data);
    let (found, open) = (kinds(&data), undecided(&text));
    assert!(
        found.contains("locks.idle_in_transaction"),
        "what it may see it sees: {data:?}"
    );
    assert!(gaps.iter().any(|g| g["collector"] == "identity"), "{gaps:?}");
    assert!(open.contains("access.rules_invalid"), "{open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lesser_logins_of_15_have_honest_gaps_and_call_nothing_healthy_that_they_do_not_see() {
    lesser(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lesser_logins_of_18_have_honest_gaps_and_call_nothing_healthy_that_they_do_not_see() {
    lesser(18).await;
}
