//! `pgbouncer.pool@1`: one symptom, three causes; and who is behind a pooled session.

use muster_lab::testing::{self, TestFleet};
use muster_model::{Outcome, Record};
use serde_json::json;

use crate::estate::{Desk, nothing, targets};
use crate::proofs::{apply, plan};

const POOL: &str = "pgbouncer.pool@1";

/// Brings a cause about and waits until the probe names it.
async fn told(fault: &str, params: &[(&str, &str)], verdict: &str) -> Option<(TestFleet, Desk, Record)> {
    let mut options = testing::small(15);
    options.pooler = true;
    let mut test = testing::fleet(options).await?;
    let desk = Desk::plain(&test.fleet);
    assert_eq!(desk.read(POOL, nothing()).await["verdict"], "ok");
    test.inject(fault, params).await;
    let read = desk.until(POOL, nothing(), |r| r["verdict"] == verdict).await;
    assert_eq!(read["pool"], "app/app", "{read:?}");
    assert!(
        read["waiting"].as_u64() > Some(0) && read["active"].as_u64() > Some(0),
        "{read:?}"
    );
    let named = desk.read(POOL, json!({"pool": "app/app"})).await;
    assert_eq!(named["pools"].as_array().map(Vec::len), Some(1), "{named:?}");
    let other = desk.read(POOL, json!({"pool": "no/such"})).await;
    assert_eq!((&other["pool"], &other["waiting"]), (&json!(""), &json!(0)));
    Some((test, desk, read))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_no_leak() {
    let Some((_test, _, read)) = told("slow-server", &[], "pool.slow_server").await else {
        return;
    };
    assert!(read["running"].as_u64() >= Some(5), "{read:?}");
    assert_eq!(read["leaked"], 0, "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_pool_is_no_leak() {
    let params = [("clients", "40")];
    let Some((_test, _, read)) = told("pool-too-small", &params, "pool.too_small").await else {
        return;
    };
    assert_eq!(
        (&read["size"], &read["leaked"]),
        (&json!(2), &json!(0)),
        "{read:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leak_is_a_leak_and_its_sessions_have_a_client() {
    let Some((test, desk, _)) = told("idle-in-transaction-leak", &[], "connections.leak").await else {
        return;
    };
    let size = test.fleet.pool_size;
    let read = desk.until(POOL, nothing(), |r| r["leaked"] == size).await;
    assert_eq!(
        (
            &read["idle_in_transaction"],
            &read["held_percent"],
            &read["verdict"]
        ),
        (&json!(size), &json!(100.0), &json!("connections.leak"))
    );
    leaked_sessions_have_a_client_and_can_be_ended(&desk, size).await;
}

async fn leaked_sessions_have_a_client_and_can_be_ended(desk: &Desk, pool_size: u32) {
    let with = json!({"over": "2s", "pool": "app/app", "owners": ["app/notes-worker"]});
    let read = desk.read("pg.idle_in_transaction@1", with.clone()).await;
    let sessions = targets(&read, "sessions");
    assert_eq!(sessions.len(), pool_size as usize, "{read:?}");
    assert_eq!(read["owners"], json!(["app/notes-worker"]));
    assert_eq!(read["blocking"], 0);
    for session in &sessions {
        assert!(
            session.label.contains("(client notes-worker 127.0.0.1:"),
            "{}",
            session.label
        );
    }
    let ages: Vec<_> = sessions.iter().map(|s| s.json["state_change"].as_i64()).collect();
    assert!(ages.is_sorted(), "oldest first: {ages:?}");
    let planned = plan(desk, "pg.terminate_backend@1", &sessions).await;
    assert_eq!(planned.blast.targets, u64::from(pool_size));
    for target in &planned.targets {
        let outcome = apply(desk, "pg.terminate_backend@1", target).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }
    desk.until(POOL, nothing(), |r| r["verdict"] == "ok").await;
    assert_eq!(desk.read("pg.idle_in_transaction@1", with).await["count"], 0);
}
