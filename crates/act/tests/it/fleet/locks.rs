//! `pg.blocking@1`: the right lever for each shape of the tree, and that pulling it frees the waiters.

use muster_lab::testing;
use muster_model::Outcome;
use serde_json::json;

use crate::estate::{Desk, nothing, targets};
use crate::proofs::{apply, plan};

struct Case {
    fault: &'static str,
    params: &'static [(&'static str, &'static str)],
    lever: &'static str,
    verdict: &'static str,
    root_state: &'static str,
    action: &'static str,
    application: &'static str,
    waiters: u64,
    frees: u64,
}

const CASES: [Case; 3] = [
    Case {
        fault: "lock-chain",
        params: &[("depth", "2"), ("waiters", "5")],
        lever: "terminate_idle_holder",
        verdict: "locks.blocking_chain",
        root_state: "idle in transaction",
        action: "pg.terminate_backend@1",
        application: "lab-holder",
        waiters: 6,
        frees: 6,
    },
    Case {
        fault: "lock-chain",
        params: &[("running", "true")],
        lever: "cancel_running_holder",
        verdict: "locks.blocking_chain",
        root_state: "active",
        action: "pg.cancel_backend@1",
        application: "lab-holder",
        waiters: 8,
        frees: 8,
    },
    Case {
        fault: "ddl-queue",
        params: &[],
        lever: "cancel_waiting_ddl",
        verdict: "locks.ddl_queue",
        root_state: "active",
        action: "pg.cancel_backend@1",
        application: "lab-migration",
        waiters: 9,
        frees: 8,
    },
];

async fn every_lever_frees_its_waiters(major: u32) {
    let Some(mut test) = testing::fleet(testing::small(major)).await else {
        return;
    };
    let desk = Desk::plain(&test.fleet);
    let quiet = desk.read("pg.blocking@1", nothing()).await;
    assert_eq!(
        (&quiet["verdict"], &quiet["lever"]),
        (&json!("ok"), &json!("none"))
    );
    for case in CASES {
        test.inject(case.fault, case.params).await;
        // A wait younger than asked for does not count; the default is a second.
        let young = desk.read("pg.blocking@1", json!({"over": "1h"})).await;
        assert_eq!((&young["waiters"], &young["lever"]), (&json!(0), &json!("none")));
        assert!(targets(&young, "terminate").is_empty() && targets(&young, "cancel").is_empty());
        let read = desk
            .until("pg.blocking@1", nothing(), |r| r["waiters"] == case.waiters)
            .await;
        let place = format!("{} {:?}: {read:?}", case.fault, case.params);
        assert_eq!(read["lever"], case.lever, "{place}");
        assert_eq!(read["verdict"], case.verdict, "{place}");
        assert_eq!(read["root_state"], case.root_state, "{place}");
        assert_eq!(read["frees"], case.frees, "{place}");
        assert_eq!(read["ddl_queue"], case.fault == "ddl-queue", "{place}");
        assert_eq!(read["person"], "", "{place}");
        assert!(read["depth"].as_u64() >= Some(1), "{place}");
        assert_eq!(targets(&read, "roots").len(), 1, "{place}");
        let (terminate, cancel) = (targets(&read, "terminate"), targets(&read, "cancel"));
        let ends = case.action == "pg.terminate_backend@1";
        assert_eq!(
            (terminate.len(), cancel.len()),
            if ends { (1, 0) } else { (0, 1) },
            "{place}"
        );
        let target = terminate.into_iter().chain(cancel).next().expect("one target");
        assert_eq!(target.json["application"], case.application, "{place}");

        let planned = plan(&desk, case.action, &[target]).await;
        assert_eq!(planned.facts[0].excluded, None);
        let outcome = apply(&desk, case.action, &planned.targets[0]).await;
        assert!(matches!(outcome, Outcome::Done { .. }), "{place}: {outcome:?}");
        let with = json!({"over": "0s"});
        desk.until("pg.blocking@1", with, |r| {
            r["waiters"].as_u64() < Some(case.frees)
        })
        .await;
        test.heal().await;
        let with = json!({"over": "0s"});
        desk.until("pg.blocking@1", with, |r| r["verdict"] == "ok").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_lever_frees_its_waiters_on_15() {
    every_lever_frees_its_waiters(15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_lever_frees_its_waiters_on_18() {
    every_lever_frees_its_waiters(18).await;
}
