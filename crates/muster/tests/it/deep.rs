//! `muster check --deep`: indexes that are really broken are named, healthy look-alikes are not, and nobody is kept waiting.

use std::os::unix::fs::FileExt;

use muster_lab::Fleet;
use muster_lab::fleet::{User, connect};
use muster_lab::server::{How, start, stop};
use muster_lab::testing;
use serde_json::Value;
use tokio_postgres::Client;

use crate::stage::{Said, Stage, until};

async fn client(stage: &Stage, user: User, database: &str) -> Client {
    let fleet = Fleet::open(&stage.fleet().dir).expect("fleet");
    let config = fleet.config("a", user, database).expect("config");
    connect(&config).await.expect("login")
}

/// The broken indexes that a check names.
fn broken(said: &Said) -> Vec<String> {
    let findings = said.json()["findings"].as_array().cloned().unwrap_or_default();
    let of = |f: &Value| {
        (f["kind"] == "data.index_corruption").then(|| f["evidence"]["index"].as_str().map(str::to_owned))?
    };
    let mut names: Vec<String> = findings.iter().filter_map(of).collect();
    names.sort();
    names
}

fn gap(said: &Said) -> Vec<Value> {
    let gaps = said.json()["gaps"].as_array().cloned().unwrap_or_default();
    gaps.into_iter().filter(|g| g["collector"] == "amcheck").collect()
}

/// Overwrites a block of an index while its server is stopped.
async fn tear(stage: &Stage, root: Client, index: &str) {
    let row = root
        .query_one(
            "SELECT pg_catalog.pg_relation_filepath($1::text::regclass)",
            &[&index],
        )
        .await
        .expect("a file");
    let path = stage.fleet().data("a").join(row.get::<_, String>(0));
    root.batch_execute("CHECKPOINT").await.expect("written");
    drop(root);
    let mut fleet = Fleet::open(&stage.fleet().dir).expect("fleet");
    stop(&fleet, "a", How::Fast).await.expect("stops");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("opens");
    file.write_all_at(&[0; 8192], 8192).expect("overwritten");
    file.sync_all().expect("on disk");
    start(&mut fleet, "a").await.expect("starts");
    fleet.save().expect("saved");
}

async fn named(major: u32) {
    let Some(stage) = Stage::new(testing::small(major)).await else {
        return;
    };
    let deep = async || stage.muster(&["check", "--deep", "--json"]).await;
    let without = deep().await;
    assert!(without.code == 3 && broken(&without).is_empty(), "{without:?}");
    assert!(
        gap(&without).iter().any(|g| g["remedy"]
            .as_str()
            .is_some_and(|r| r.contains("CREATE EXTENSION amcheck"))),
        "{without:?}"
    );
    let usual = stage.muster(&["check", "--json"]).await;
    assert!(
        gap(&usual).is_empty() && usual.json().get("deep").is_none(),
        "only on request: {usual:?}"
    );

    for database in ["app", "postgres"] {
        let root = client(&stage, User::Postgres, database).await;
        root.batch_execute("CREATE EXTENSION amcheck")
            .await
            .expect("amcheck");
    }
    let denied = deep().await;
    let lines: Vec<String> = gap(&denied)
        .iter()
        .filter_map(|g| g["remedy"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(lines.len(), 2, "{denied:?}");
    for line in lines {
        let (place, sql) = line.split_once(" on the primary: ").expect("where, and what");
        let root = client(&stage, User::Postgres, place.trim_start_matches("in ")).await;
        root.batch_execute(sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let calm = stage.muster(&["check", "--deep"]).await;
    assert!(calm.out.contains("0 broken, 0 not checked"), "{calm:?}");

    // An order that changes under an index, as a collation does; one that was made after the change; one that has none.
    let root = client(&stage, User::Postgres, "app").await;
    root.batch_execute(
        "CREATE FUNCTION public.odd(int4, int4) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT pg_catalog.btint4cmp($1, $2)';
         CREATE OPERATOR CLASS public.odd_ops FOR TYPE int4 USING btree AS
           OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 public.odd(int4, int4);
         CREATE TABLE turned (v int4); INSERT INTO turned SELECT generate_series(1, 5000);
         CREATE INDEX turned_v ON turned (v public.odd_ops);
         CREATE TABLE sound (v int4); INSERT INTO sound SELECT generate_series(1, 5000); CREATE INDEX sound_v ON sound (v);
         CREATE TABLE torn (v text); INSERT INTO torn SELECT 'row ' || g FROM generate_series(1, 5000) g; CREATE INDEX torn_v ON torn (v);
         CREATE OR REPLACE FUNCTION public.odd(int4, int4) RETURNS int4 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT pg_catalog.btint4cmp($2, $1)';
         CREATE INDEX sound_odd ON sound (v public.odd_ops)",
    )
    .await
    .expect("tables");
    let turned = deep().await;
    assert_eq!(broken(&turned), ["public.turned_v"], "{turned:?}");
    assert_eq!(turned.code, 2, "{turned:?}");
    tear(&stage, root, "public.torn_v").await;
    let torn = deep().await;
    assert_eq!(broken(&torn), ["public.torn_v", "public.turned_v"], "{torn:?}");

    // What somebody has locked is left out and said, and waited for by nobody.
    let holder = client(&stage, User::Postgres, "app").await;
    holder
        .batch_execute("BEGIN; LOCK TABLE sound IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locked");
    let locked = deep().await;
    assert_eq!(
        broken(&locked),
        ["public.torn_v", "public.turned_v"],
        "{locked:?}"
    );
    let reasons: Vec<String> = gap(&locked).iter().map(|g| g["reason"].to_string()).collect();
    assert!(
        reasons.iter().any(|r| r.contains("2 locked by somebody")),
        "{reasons:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_indexes_of_15_are_named_and_healthy_ones_are_not() {
    named(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_indexes_of_18_are_named_and_healthy_ones_are_not() {
    named(18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_keeps_up_is_looked_at_unless_a_server_is_named() {
    let mut options = testing::small(15);
    options.standbys = 1;
    let Some(stage) = Stage::new(options).await else {
        return;
    };
    let looked_at = async |args: &[&str]| {
        let said = stage.muster(args).await;
        said.json()["deep"][0]["server"].as_str().map(str::to_owned)
    };
    until("the standby keeps up", async || {
        (looked_at(&["check", "--deep", "--json"]).await.as_deref() == Some("lab/b")).then_some(())
    })
    .await;
    assert_eq!(
        looked_at(&["check", "--deep", "--json", "lab/a"])
            .await
            .as_deref(),
        Some("lab/a")
    );
    let wrong = stage.muster(&["check", "--within", "5m"]).await;
    assert!(wrong.code != 0 && wrong.err.contains("--deep"), "{wrong:?}");
}
