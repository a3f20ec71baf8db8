//! One drill of every runbook, as a user runs it, on both majors in turn; the report has the promised shape.

use serde_json::Value;

use crate::shapes::fits;
use crate::stage::muster;

async fn passes(drill: &str, major: &str) {
    let said = muster(None, &["drill", drill, "--only", "--pg", major, "--json"]).await;
    let missing = said.err.contains("cannot be found") || said.err.contains("is not installed");
    if missing && std::env::var_os("MUSTER_TEST_REQUIRE_ALL").is_none() {
        return;
    }
    let rows = said.json();
    fits("drill", &rows);
    let all = rows.as_array().expect("rows");
    assert!(!all.is_empty());
    for row in all {
        assert_eq!(row["safe_pass"], true, "{row:#}\n{}", said.err);
        assert_eq!(row["harm"], Value::Array(vec![]), "{row:#}");
        assert_eq!(row["lost_writes"], 0, "{row:#}");
        assert_eq!(row["pg_major"].to_string(), major, "{row:#}");
        for (control, held) in row["controls"].as_object().expect("controls") {
            assert_eq!(held, true, "{control}: {row:#}\n{}", said.err);
        }
    }
    assert_eq!(said.code, 0, "{said:?}");
}

#[tokio::test]
async fn pool_exhausted() {
    passes("pool-exhausted", "18").await;
}

#[tokio::test]
async fn pool_exhausted_relapse() {
    passes("pool-exhausted-relapse", "15").await;
}

#[tokio::test]
async fn blocking_chain() {
    passes("blocking-chain", "15").await;
}

#[tokio::test]
async fn blocking_chain_relapse() {
    passes("blocking-chain-relapse", "18").await;
}

#[tokio::test]
async fn ddl_queue() {
    passes("ddl-queue", "18").await;
}

#[tokio::test]
async fn connections_saturated() {
    passes("connections-saturated", "15").await;
}

#[tokio::test]
async fn pool_status() {
    passes("pool-status", "15").await;
}

#[tokio::test]
async fn replica_health() {
    passes("replica-health", "18").await;
}
