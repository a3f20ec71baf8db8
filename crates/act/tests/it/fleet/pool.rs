//! `pgbouncer.pool@1`: one symptom, three causes; and who is behind a pooled session.

use muster_lab::testing;
use muster_model::Outcome;
use serde_json::json;

use crate::estate::{Desk, nothing, targets};
use crate::proofs::{apply, plan};

const POOL: &str = "pgbouncer.pool@1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_causes_of_one_symptom_are_told_apart() {
    let mut options = testing::small(15);
    options.pooler = true;
    let Some(mut test) = testing::fleet(options).await else {
        return;
    };
    let desk = Desk::plain(&test.fleet);
    assert_eq!(desk.read(POOL, nothing()).await["verdict"], "ok");
    let t0 = std::time::Instant::now();
    for (fault, verdict) in [
        // ("slow-server", "pool.slow_server"),
        ("pool-too-small", "pool.too_small"),
        ("idle-in-transaction-leak", "connections.leak"),
    ] {
        eprintln!("T0 {fault} {:?}", t0.elapsed());
        test.inject(fault, &[]).await;
        eprintln!("T1 {fault} {:?}", t0.elapsed());
        let read = desk.until(POOL, nothing(), |r| r["verdict"] == verdict).await;
        eprintln!("T2 {fault} {:?}", t0.elapsed());
        assert_eq!(read["pool"], "app/app", "{read:?}");
        assert!(read["waiting"].as_u64() > Some(0), "{read:?}");
        assert!(read["active"].as_u64() > Some(0), "{read:?}");
        let named = desk.read(POOL, json!({"pool": "app/app"})).await;
        assert_eq!(named["pools"].as_array().map(Vec::len), Some(1), "{named:?}");
        let other = desk.read(POOL, json!({"pool": "no/such"})).await;
        assert_eq!((&other["pool"], &other["waiting"]), (&json!(""), &json!(0)));
        match verdict {
            "connections.leak" => {
                let size = test.fleet.pool_size;
                let read = desk.until(POOL, nothing(), |r| r["leaked"] == size).await;
                assert_eq!((&read["idle_in_transaction"], &read["verdict"]), (&json!(size), &json!(verdict)));
                assert_eq!(read["held_percent"], 100.0);
                leaked_sessions_have_a_client_and_can_be_ended(&desk, test.fleet.pool_size).await;
            }
            "pool.slow_server" => assert!(read["running"].as_u64() >= Some(5), "{read:?}"),
            _ => assert_eq!(
                (&read["size"], &read["leaked"]),
                (&json!(2), &json!(0)),
                "{read:?}"
            ),
        }
        eprintln!("T3 {fault} {:?}", t0.elapsed());
        test.heal().await;
        let _ = std::fs::copy(test.fleet.dir.join("pgbouncer/pgbouncer.log"), "/tmp/pgb.log");
        eprintln!("T4 {fault} {:?}", t0.elapsed());
        let last = std::cell::RefCell::new(String::new());
        desk.until(POOL, nothing(), |r| {
            let now = format!("{} | active {} idle {} run {} iit {}", r["summary"], r["active"], r["idle"], r["running"], r["idle_in_transaction"]);
            if *last.borrow() != now { eprintln!("  {:?} {now}", t0.elapsed()); *last.borrow_mut() = now; }
            r["verdict"] == "ok" && r["waiting"] == 0})
            .await;
    }
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
