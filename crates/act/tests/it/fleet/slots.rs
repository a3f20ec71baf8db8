//! `pg.connections@1` and `pg.idle_sessions@1`: all slots are taken; what may go, and that ending it is enough.

use muster_lab::testing;
use muster_model::Outcome;
use serde_json::json;

use crate::estate::{Desk, nothing, targets};
use crate::proofs::{apply, plan};

const CONNECTIONS: &str = "pg.connections@1";
const IDLE: &str = "pg.idle_sessions@1";

async fn a_flood_is_seen_and_ended(major: u32) {
    let mut options = testing::small(major);
    options.max_connections = 40;
    let Some(mut test) = testing::fleet(options).await else {
        return;
    };
    let desk = Desk::plain(&test.fleet);
    let calm = desk.read(CONNECTIONS, nothing()).await;
    assert_eq!((&calm["verdict"], &calm["full"]), (&json!("ok"), &json!(false)));
    assert_eq!(calm["max_connections"], 40);
    assert_eq!(calm["usable"], if major >= 16 { 35 } else { 37 });
    let none = desk.read(IDLE, json!({"over": "0s"})).await;
    assert_eq!(none["count"], 0, "nothing has to go: {none:?}");
    // With all slots taken nobody can log in again: the acting session must be there before.
    let server = desk
        .estate
        .cluster("shop")
        .and_then(|c| c.server("shop/a"))
        .expect("server");
    server.acting().await.expect("login");

    test.inject("connection-flood", &[]).await;
    let read = desk
        .until(CONNECTIONS, nothing(), |r| {
            r["verdict"] == "connections.saturated"
        })
        .await;
    assert_eq!(read["biggest"], "app/lab-flood", "{read:?}");
    assert!(read["percent"].as_f64() >= Some(90.0), "{read:?}");
    // Full for clients, also where Muster's own login gets in by its right to reserved slots (from 16 on).
    assert_eq!(read["full"], true, "{read:?}");
    let flood = &read["owners"][0];
    assert_eq!(flood["owner"], "app/lab-flood");
    assert_eq!(
        (&flood["sessions"], &flood["active"]),
        (&flood["idle"], &json!(0))
    );
    let owners = read["owners"].as_array().expect("owners");
    assert!(
        owners
            .iter()
            .all(|o| !o["owner"].as_str().is_some_and(|o| o.contains("/muster/")))
    );

    // Not yet old enough; the owner keeps what it is left; and never more than are needed.
    assert_eq!(desk.read(IDLE, json!({"over": "1h"})).await["count"], 0);
    let held = flood["sessions"].as_u64().expect("count");
    let most = desk.read(IDLE, json!({"over": "0s", "leave": held - 1})).await;
    assert_eq!(most["count"], 1, "{most:?}");
    let nobody = desk
        .read(IDLE, json!({"over": "0s", "owner": "app/nobody"}))
        .await;
    assert_eq!(
        (&nobody["count"], &nobody["owner"]),
        (&json!(0), &json!("app/nobody"))
    );
    let read = desk.read(IDLE, json!({"over": "0s"})).await;
    assert_eq!(read["owner"], "app/lab-flood");
    let sessions = targets(&read, "sessions");
    assert!(
        !sessions.is_empty() && (sessions.len() as u64) < held,
        "{} of {held}",
        sessions.len()
    );
    let planned = plan(&desk, "pg.terminate_backend@1", &sessions).await;
    assert!(planned.facts.iter().all(|f| f.excluded.is_none()));
    for target in &planned.targets {
        let outcome = apply(&desk, "pg.terminate_backend@1", target).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    }
    let read = desk.read(CONNECTIONS, nothing()).await;
    assert_eq!(
        (&read["verdict"], &read["full"]),
        (&json!("ok"), &json!(false)),
        "{read:?}"
    );
    assert!(read["percent"].as_f64() <= Some(76.0), "{read:?}");
    test.heal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_seen_and_ended_on_15() {
    a_flood_is_seen_and_ended(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_seen_and_ended_on_18() {
    a_flood_is_seen_and_ended(18).await;
}
