//! `pg.replication@1`: healthy, paused, stopped.

use muster_lab::testing;
use muster_model::{FrozenTarget, Record};
use serde_json::json;

use crate::estate::{Desk, nothing, targets, until};

const PROBE: &str = "pg.replication@1";

fn addresses(read: &Record, output: &str) -> Vec<String> {
    let address = |t: FrozenTarget| t.json["server"].as_str().expect("address").to_owned();
    targets(read, output).into_iter().map(address).collect()
}

async fn standbys_are_judged_from_both_ends(major: u32) {
    let mut options = testing::small(major);
    options.standbys = 2;
    let Some(mut test) = testing::fleet(options).await else {
        return;
    };
    let desk = Desk::plain(&test.fleet);
    let healthy = |r: &Record| r["verdict"] == "ok" && r["streaming"] == 2;
    let read = desk.until(PROBE, nothing(), healthy).await;
    assert_eq!(read["expected"], 2);
    for list in ["broken", "paused", "lagging"] {
        assert!(addresses(&read, list).is_empty(), "{list}: {read:?}");
    }
    let rows = read["standbys"].as_array().expect("rows");
    let slots: Vec<_> = rows
        .iter()
        .map(|r| (&r["server"], &r["slot"], &r["sync"]))
        .collect();
    assert_eq!(
        slots,
        [
            (&json!("shop/b"), &json!("standby_b"), &json!("async")),
            (&json!("shop/c"), &json!("standby_c"), &json!("async"))
        ]
    );

    test.inject("standby-paused", &[]).await;
    let read = desk
        .until(PROBE, nothing(), |r| {
            let behind =
                |row: &serde_json::Value| row["server"] == "shop/b" && row["lag_bytes"].as_u64() > Some(0);
            r["verdict"] == "replication.paused"
                && r["standbys"].as_array().is_some_and(|a| a.iter().any(behind))
        })
        .await;
    assert_eq!(addresses(&read, "paused"), ["shop/b"]);
    assert!(addresses(&read, "broken").is_empty(), "{read:?}");
    assert_eq!(read["streaming"], 2, "a paused standby still receives: {read:?}");
    assert!(
        read["summary"]
            .as_str()
            .is_some_and(|s| s.contains("shop/b: replay is paused")),
        "{read:?}"
    );
    test.heal().await;
    desk.until(PROBE, nothing(), healthy).await;

    test.inject("standby-stopped", &[]).await;
    let read = desk.until(PROBE, nothing(), |r| r["streaming"] == 1).await;
    assert_eq!(read["verdict"], "server.down", "{read:?}");
    assert_eq!(addresses(&read, "broken"), ["shop/c"]);
    assert!(addresses(&read, "paused").is_empty() && addresses(&read, "lagging").is_empty());
    assert_eq!(read["expected"], 2);
    // One that was never seen up counts as expected too.
    let fresh = Desk::plain(&test.fleet);
    let read = fresh.read(PROBE, nothing()).await;
    assert_eq!(
        (&read["expected"], &read["streaming"]),
        (&json!(2), &json!(1)),
        "{read:?}"
    );
    assert_eq!(addresses(&read, "broken"), ["shop/c"]);
    test.heal().await;
    desk.until(PROBE, nothing(), healthy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standbys_are_judged_from_both_ends_on_15() {
    standbys_are_judged_from_both_ends(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standbys_are_judged_from_both_ends_on_18() {
    standbys_are_judged_from_both_ends(18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_primary_nothing_is_said() {
    let Some(mut test) = testing::fleet(testing::small(15)).await else {
        return;
    };
    let desk = Desk::plain(&test.fleet);
    desk.read(PROBE, nothing()).await;
    test.inject("primary-killed", &[]).await;
    let probe = desk.catalogue.find_probe(PROBE).expect("probe");
    let said = probe.read(&desk.scope(), &Record::new()).await;
    let e = said.expect_err("it must not guess");
    assert!(e.to_string().contains("the primary does not answer"), "{e}");
    assert!(e.remedy().is_some());
    test.heal().await;
    let back = until(async || probe.read(&desk.scope(), &Record::new()).await.ok()).await;
    assert_eq!(back.expect("the primary is back")["expected"], 0);
}
