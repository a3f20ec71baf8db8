//! `muster query explain|advise|compare` on real servers: 15 with hypopg, 18 without.

use std::time::{Duration, Instant};

use muster_lab::fleet::{User, connect};
use muster_lab::testing;
use serde_json::Value;
use tokio_postgres::Client;

use crate::stage::{Said, Stage, until};

const TABLES: &str = "
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, state text NOT NULL, placed timestamptz, code varchar(20));
INSERT INTO orders SELECT g, g % 5000, CASE WHEN g % 50 = 0 THEN 'open' ELSE 'done' END, now() - g * interval '1 min', 'c' || g
  FROM generate_series(1, 150000) g;
CREATE INDEX orders_code ON orders (code);
CREATE INDEX orders_state ON orders (state);
CREATE TABLE \"Bulk Load\" (id bigint, customer int) WITH (autovacuum_enabled = false);
INSERT INTO \"Bulk Load\" SELECT g, g FROM generate_series(1, 12000) g;
CREATE SEQUENCE numbers;
CREATE FUNCTION wipes(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM orders; RETURN n; END';
CREATE FUNCTION plus(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n + 1';
CREATE VIEW hidden AS SELECT o.id, wipes(1) AS n FROM orders o;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO muster, app;
GRANT USAGE ON SEQUENCE numbers TO muster;
";
const BULK: &str = "INSERT INTO \"Bulk Load\" SELECT g, 7 FROM generate_series(1, 100000) g";
const OF_CUSTOMER: &str = "SELECT * FROM orders WHERE customer = $1";

async fn boss(stage: &Stage) -> Client {
    let config = stage.fleet().config("a", User::Postgres, "app").expect("config");
    connect(&config).await.expect("login")
}

/// A server with tables; with hypopg where its packages have it.
async fn scene(major: u32, standbys: u8) -> Option<(Stage, Client)> {
    let mut options = testing::small(major);
    options.standbys = standbys;
    let stage = Stage::new(options).await?;
    let boss = boss(&stage).await;
    boss.batch_execute(TABLES).await.expect(TABLES);
    // What is written is counted a moment later, and counts as changed since an ANALYZE that came before that.
    until("the rows are counted", async || {
        let rows =
            "SELECT coalesce(max(n_tup_ins), 0)::int8 FROM pg_stat_user_tables WHERE relname = 'orders'";
        (number(&boss, rows).await > 0).then_some(())
    })
    .await;
    for batch in ["ANALYZE", BULK] {
        boss.batch_execute(batch).await.expect(batch);
    }
    if major == 15 {
        let there = boss
            .query("SELECT 1 FROM pg_available_extensions WHERE name = 'hypopg'", &[])
            .await
            .expect("asks");
        if there.is_empty() {
            let demanded = std::env::var_os("MUSTER_TEST_REQUIRE_ALL").is_some();
            assert!(
                !demanded,
                "hypopg is not installed: `cargo xtask provide` provides it"
            );
            return None;
        }
        boss.batch_execute("CREATE EXTENSION hypopg")
            .await
            .expect("hypopg");
    }
    Some((stage, boss))
}

async fn query(stage: &Stage, args: &[&str]) -> Said {
    let mut all = vec!["query"];
    all.extend(args);
    all.extend(["--database", "app"]);
    stage.muster(&all).await
}

async fn told(stage: &Stage, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.push("--json");
    let said = query(stage, &all).await;
    assert_eq!(said.code, 0, "{args:?}: {said:?}");
    said.json()
}

async fn number(boss: &Client, sql: &str) -> i64 {
    boss.query_one(sql, &[]).await.expect(sql).get(0)
}

fn kinds(advice: &Value) -> Vec<&str> {
    let all = advice["reasons"].as_array().expect("reasons");
    all.iter().filter_map(|r| r["kind"].as_str()).collect()
}

async fn a_missing_index_is_found_and_what_it_brings_is_measured(major: u32) {
    let Some((stage, boss)) = scene(major, 0).await else {
        return;
    };
    let hypopg = major == 15;
    let indexes = "SELECT count(*) FROM pg_index";
    let before = number(&boss, indexes).await;

    let advice = told(&stage, &["advise", "--sql", OF_CUSTOMER]).await;
    let candidates = advice["candidates"].as_array().expect("candidates");
    assert_eq!(candidates.len(), 1, "{advice:#}");
    let one = &candidates[0];
    assert_eq!(
        (&one["table"], &one["columns"]),
        (&"public.orders".into(), &"customer".into())
    );
    let create = one["create"].as_str().expect("a statement").to_owned();
    assert_eq!(
        create,
        "CREATE INDEX CONCURRENTLY orders_customer_idx ON public.orders (customer);"
    );
    assert_eq!(one["writes"]["inserted"], 150_000, "{one:#}");
    assert!(one["writes"]["per_second"].is_number(), "{one:#}");
    let bytes = one["bytes"].as_u64().expect("a size");
    if hypopg {
        assert_eq!(
            (&one["advice"], &one["used"]),
            (&"advised".into(), &true.into()),
            "{advice:#}"
        );
        let (cost, after) = (one["cost_before"].as_f64(), one["cost_after"].as_f64());
        assert!(after.expect("after") < cost.expect("before") / 2.0, "{one:#}");
        assert_eq!(advice["method"], "forced_generic");
    } else {
        assert_eq!(one["advice"], "cannot_prove", "{one:#}");
        assert_eq!(
            advice["hypopg"]["reason"],
            "hypopg is not installed in database app: install the package hypopg of this PostgreSQL, then CREATE EXTENSION hypopg;"
        );
        assert!(
            one["cost_after"].is_null() && one["used"].is_null(),
            "nothing is made up"
        );
        assert_eq!(advice["method"], "generic");
    }
    assert_eq!(number(&boss, indexes).await, before, "it makes none");

    let file = stage.fleet().dir.join("before.json");
    let file = file.to_str().expect("a path");
    let measure = ["compare", "--sql", OF_CUSTOMER, "--param", "4711", "--runs", "12"];
    let mut save = measure.to_vec();
    save.extend(["--save", file]);
    let said = query(&stage, &save).await;
    assert_eq!(said.code, 0, "{said:?}");
    let kept = std::fs::read_to_string(file).expect("kept");
    assert!(!kept.contains("4711"), "no value is kept: {kept}");

    let mut with = measure.to_vec();
    with.extend(["--with", file, "--json"]);
    boss.batch_execute(&create).await.expect("makes it");
    let real = number(&boss, "SELECT pg_relation_size('orders_customer_idx')")
        .await
        .unsigned_abs();
    // An index of repeated values is deduplicated, which no estimate here knows.
    assert!(bytes > real / 2 && bytes < real * 5, "{bytes} and {real}");
    let said = query(&stage, &with).await;
    let compared = said.json();
    assert_eq!(compared["compared"]["verdict"], "faster", "{compared:#}");
    assert!(compared["compared"]["interval_ms"][1].as_f64() < Some(0.0));
    assert_eq!(compared["sides"][1]["summary"]["runs"], 12);
    assert_eq!(compared["sides"][1]["measured"]["rows"], 30.0);
    assert!(
        compared["sides"][1]["summary"]["p95_ms"].is_null(),
        "12 runs bear no p95"
    );

    let advice = told(&stage, &["advise", "--sql", OF_CUSTOMER]).await;
    assert_eq!(advice["candidates"], serde_json::json!([]), "{advice:#}");
    let other = [
        "compare",
        "--sql",
        "SELECT id FROM orders WHERE id = 3",
        "--with",
        file,
    ];
    query(&stage, &other).await.refused(3, &["two statements"]);
    let drop = one["drop"].as_str().expect("a statement");
    boss.batch_execute(drop).await.expect("undoes it");
    assert_eq!(number(&boss, indexes).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_index_is_proven_and_what_it_brings_is_measured_on_15() {
    a_missing_index_is_found_and_what_it_brings_is_measured(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hypopg_an_index_is_named_and_not_proven_on_18() {
    a_missing_index_is_found_and_what_it_brings_is_measured(18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_index_helps_is_told_with_its_reason() {
    for major in [15, 18] {
        let Some((stage, _boss)) = scene(major, 0).await else {
            return;
        };
        for (sql, kind, words) in [
            (
                "SELECT * FROM orders WHERE code::int = 7",
                "cast",
                "index orders_code is on code itself",
            ),
            (
                "SELECT * FROM orders WHERE state = 'done'",
                "low_selectivity",
                "cheaper than index orders_state",
            ),
            (
                "SELECT * FROM orders WHERE lower(code) = 'c9'",
                "function",
                "puts code through lower",
            ),
            (
                "SELECT * FROM orders WHERE code LIKE '%99'",
                "leading_wildcard",
                "begins with a wildcard",
            ),
            (
                "SELECT * FROM \"Bulk Load\" WHERE customer = 7",
                "stale_statistics",
                // Whether the rows of before its ANALYZE count is a matter of a moment.
                "00 rows of public.\"Bulk Load\" changed since its last ANALYZE",
            ),
            (
                "SELECT * FROM orders WHERE customer = 4 OR state = 'open'",
                "or",
                "each side needs its own",
            ),
        ] {
            // Counters arrive a moment after the statement that they count.
            let advice = until(kind, async || {
                let advice = told(&stage, &["advise", "--sql", sql]).await;
                let first = kinds(&advice).first().is_some_and(|k| *k == kind);
                first.then_some(advice)
            })
            .await;
            let why = advice["reasons"][0]["text"].as_str().expect("a sentence");
            assert!(why.contains(words), "{major} {sql}: {why}");
            let all = advice["candidates"].as_array().expect("candidates");
            assert!(
                all.iter().all(|c| c["advice"] != "advised"),
                "{major} {sql}: {advice:#}"
            );
            let summary = advice["summary"].as_str().expect("a sentence");
            assert!(summary.starts_with("No index is"), "{major} {sql}: {summary}");
        }
        let said = query(
            &stage,
            &["advise", "--sql", "SELECT * FROM orders WHERE code = 'c7'"],
        )
        .await;
        assert!(
            said.out.contains("No index is advised"),
            "a varchar is no cast: {said:?}"
        );
        assert!(!said.out.contains("compares code"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_have_an_effect_is_not_carried_out() {
    for major in [15, 18] {
        let Some((stage, boss)) = scene(major, 0).await else {
            return;
        };
        let state = "SELECT count(*) + (SELECT last_value FROM numbers) FROM orders";
        let before = number(&boss, state).await;
        query(&stage, &["explain", "--sql", "DELETE FROM orders"])
            .await
            .refused(3, &["permission denied", "this role only reads"]);
        // Not even when the role could.
        boss.batch_execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO muster")
            .await
            .expect("grants");
        for (sql, word) in [
            ("DELETE FROM orders", "begins with DELETE"),
            (
                "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
                "changes rows",
            ),
            ("SELECT 1; DELETE FROM orders", "several statements"),
            ("SELECT wipes(1)", "function wipes"),
            ("SELECT * FROM hidden", "function wipes"),
            ("SELECT nextval('numbers')", "function nextval"),
            ("SELECT pg_terminate_backend(1)", "function pg_terminate_backend"),
            ("SELECT * FROM orders WHERE id = 1 FOR UPDATE", "locks rows"),
            ("SELECT * INTO copied FROM orders", "INTO"),
            ("SELECT lo_create(0)", "function lo_create"),
            ("CREATE TABLE copied AS SELECT 1", "begins with CREATE"),
        ] {
            for command in [
                &["explain", "--analyze", "--sql", sql][..],
                &["compare", "--sql", sql],
            ] {
                query(&stage, command).await.refused(3, &[word]);
            }
        }
        // A plain EXPLAIN carries nothing out.
        let plan = told(
            &stage,
            &["explain", "--sql", "DELETE FROM orders WHERE state = 'done'"],
        )
        .await;
        assert_eq!(plan["plan"]["kind"], "ModifyTable", "{plan:#}");
        query(&stage, &["explain", "--sql", "SELECT 1; DELETE FROM orders"])
            .await
            .refused(3, &["several statements"]);
        assert_eq!(number(&boss, state).await, before, "nothing changed");
        assert_eq!(
            number(&boss, "SELECT count(*) FROM pg_class WHERE relname = 'copied'").await,
            0
        );

        // What has no effect is carried out, and no literal is told.
        let sql = "SELECT plus(customer), 'geheim' FROM orders WHERE state = 'geheim'";
        let said = query(&stage, &["explain", "--analyze", "--sql", sql]).await;
        assert_eq!(said.code, 0, "{said:?}");
        assert!(
            said.out.contains("came 0") && said.out.contains("It took"),
            "{said:?}"
        );
        assert!(!said.out.contains("geheim"), "{said:?}");
        query(&stage, &["explain", "--analyze", "--sql", OF_CUSTOMER])
            .await
            .refused(64, &["1 parameters", "--param"]);
        let said = query(&stage, &["explain", "--sql", OF_CUSTOMER, "--param", "geheim"]).await;
        said.refused(3, &["invalid input syntax for type integer"]);
        assert!(!said.err.contains("geheim"), "{said:?}");
        let plan = told(
            &stage,
            &["explain", "--analyze", "--sql", OF_CUSTOMER, "--param", "17"],
        )
        .await;
        assert_eq!(
            (&plan["method"], &plan["analyzed"]),
            (&"given".into(), &true.into())
        );
        let hints = plan["hints"].as_array().expect("hints");
        let text = hints[0]["text"].as_str().expect("a sentence");
        assert!(text.contains("reads 150000 rows to keep 30"), "{text}");
        // One that takes too long ends.
        let slow = "SELECT count(*) FROM generate_series(1, 2000000000)";
        query(&stage, &["explain", "--analyze", "--timeout", "1", "--sql", slow])
            .await
            .refused(3, &["longer than 1 s"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_and_a_missing_privilege_end_in_a_sentence() {
    for major in [15, 18] {
        let Some((stage, boss)) = scene(major, 0).await else {
            return;
        };
        let other = crate::queries::boss(&stage).await;
        other
            .batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            .await
            .expect("locks");
        for what in ["explain", "advise"] {
            let began = Instant::now();
            let said = query(&stage, &[what, "--sql", OF_CUSTOMER]).await;
            said.refused(3, &["is locked", "200 ms", "muster check"]);
            assert!(began.elapsed() < Duration::from_secs(10), "{said:?}");
        }
        other.batch_execute("ROLLBACK").await.expect("lets go");

        boss.batch_execute("REVOKE SELECT ON orders FROM muster")
            .await
            .expect("revokes");
        for what in ["explain", "advise", "compare"] {
            let sql = "SELECT * FROM orders WHERE customer = 4";
            let said = query(&stage, &[what, "--sql", sql]).await;
            said.refused(
                3,
                &[
                    "role muster may not read it",
                    "GRANT SELECT ON public.orders TO muster;",
                ],
            );
            let line = said.err.split(" · ").nth(1).expect("a remedy");
            let grant = line.split(';').next().expect("a statement").to_owned();
            boss.batch_execute(&grant).await.expect(&grant);
            assert_eq!(query(&stage, &[what, "--sql", sql]).await.code, 0);
            boss.batch_execute("REVOKE SELECT ON orders FROM muster")
                .await
                .expect("revokes");
        }
        query(&stage, &["explain", "--sql", "SELECT * FROM nowhere"])
            .await
            .refused(3, &["does not exist", "--search-path"]);
        query(&stage, &["explain", "--sql", "SELEC 'geheim'"])
            .await
            .refused(3, &["syntax error"]);
        query(&stage, &["explain", "no-such-id"])
            .await
            .refused(64, &["no statement has the id"]);
        query(&stage, &["explain"])
            .await
            .refused(64, &["no statement is given"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_query_top_is_explained_on_a_fresh_standby_with_the_settings_of_its_user() {
    for major in [15, 18] {
        let Some((stage, boss)) = scene(major, 1).await else {
            return;
        };
        boss.batch_execute(
            "CREATE SCHEMA shop; CREATE TABLE shop.baskets AS SELECT g AS id FROM generate_series(1, 50000) g; \
             GRANT USAGE ON SCHEMA shop TO app, muster; GRANT SELECT ON shop.baskets TO app, muster; \
             ALTER ROLE app SET search_path = shop, public",
        )
        .await
        .expect("a schema");
        boss.batch_execute("ANALYZE shop.baskets")
            .await
            .expect("analyses");
        let daemon = stage.daemon(&[]).await;
        let id = until("its id", async || {
            let config = stage.fleet().config("a", User::App, "app").expect("config");
            let app = connect(&config).await.expect("login");
            app.batch_execute("SELECT id FROM baskets WHERE id = 17")
                .await
                .expect("asks");
            let top = stage.muster(&["query", "top", "a", "--json"]).await.json();
            let all = top[0]["statements"].as_array()?.clone();
            let of = |q: &&Value| q["query"].as_str().is_some_and(|t| t.contains("FROM baskets"));
            all.iter()
                .find(of)
                .map(|q| q["fingerprint"].as_str().expect("an id").to_owned())
        })
        .await;
        // Statements are of all databases, and the standby gets the table a moment later.
        let plan = until("a plan on the standby", async || {
            let said = stage
                .muster(&["query", "explain", &id, "--json", "--database", "app"])
                .await;
            let plan: Value = serde_json::from_str(&said.out).ok()?;
            (said.code == 0 && plan["standby"] == true).then_some(plan)
        })
        .await;
        assert_eq!(plan["server"], "lab/b", "{plan:#}");
        assert_eq!(
            (&plan["user"], &plan["search_path"]),
            (&"app".into(), &"shop, public".into())
        );
        assert_eq!(
            (&plan["plan"]["relation"], &plan["database"]),
            (&"baskets".into(), &"app".into())
        );
        assert!(
            plan["why_here"]
                .as_str()
                .is_some_and(|w| w.contains("bytes behind"))
        );
        let short = id.trim_start_matches("q1:").get(..8).expect("digits").to_owned();
        let named = told(&stage, &["explain", &short, "a"]).await;
        assert_eq!(
            (&named["server"], &named["standby"]),
            (&"lab/a".into(), &false.into())
        );

        // What was written is counted a moment later, and counts as changed since an ANALYZE that came before that.
        let advice = until("fresh statistics", async || {
            boss.batch_execute("ANALYZE shop.baskets")
                .await
                .expect("analyses");
            let advice = told(&stage, &["advise", &id]).await;
            kinds(&advice).is_empty().then_some(advice)
        })
        .await;
        let one = &advice["candidates"][0];
        assert_eq!(
            (&advice["server"], &one["columns"]),
            (&"lab/b".into(), &"id".into()),
            "{advice:#}"
        );
        assert_eq!(
            one["writes"]["server"], "lab/a",
            "only the primary knows what is written"
        );
        assert_eq!(
            one["advice"] == "advised",
            major == 15,
            "hypopg works on a standby"
        );

        let sql = "SELECT count(*) FROM orders WHERE customer = 4";
        let both = told(
            &stage,
            &["compare", "--sql", sql, "a", "--against", "b", "--runs", "10"],
        )
        .await;
        let servers: Vec<&Value> = both["sides"]
            .as_array()
            .expect("two")
            .iter()
            .map(|s| &s["measured"]["server"])
            .collect();
        assert_eq!(servers, ["lab/a", "lab/b"]);
        let verdict = both["compared"]["verdict"].as_str().expect("a verdict");
        assert!(["none", "faster", "slower"].contains(&verdict), "{both:#}");
        drop(daemon);
    }
}
