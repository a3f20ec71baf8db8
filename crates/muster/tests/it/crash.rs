//! kill -9 of the daemon before and after every append to its journal while a runbook runs: the next daemon comes to the same
//! end, and nobody is ended twice. One line a runbook.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_lab::{LabOptions, testing};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::few_slots;
use crate::stage::{Stage, in_time, pooled, told, until};

/// How many fleets at once; they mostly wait.
const LANES: usize = 10;
/// No run of this drill has so many appends; a bound, so that the test ends.
const AT_MOST: usize = 60;

/// A fault that a runbook cures.
#[derive(Clone, Copy)]
struct Case {
    /// The fleet.
    fleet: fn() -> LabOptions,
    /// The fault, with its parameters.
    fault: &'static str,
    with: &'static [(&'static str, &'static str)],
    /// The incident's cause.
    cause: &'static str,
}

/// Kills at one append, lets a new daemon go on; `None` when the run was over before that append.
async fn killed_at(case: Case, point: &str) -> Option<Vec<Value>> {
    let mut stage = Stage::new((case.fleet)()).await?;
    // At its first entries it dies before it listens.
    let armed = [("MUSTER_TEST_KILL_AT_APPEND", point.to_owned())];
    let (mut daemon, mut killed) = match stage.daemon_or_dead(&armed).await {
        Some(daemon) => (daemon, false),
        None => (stage.daemon(&[]).await, true),
    };
    stage.test.inject(case.fault, case.with).await;
    let journal = in_time(async || {
        if daemon.child.try_wait().expect("waits").is_some() {
            killed = true;
            daemon = stage.daemon(&[]).await;
        }
        let runs = stage.muster(&["runs", "list", "--json"]).await;
        let runs: Value = serde_json::from_str(&runs.out).unwrap_or_default();
        let state = |r: &Value, s: &str| r["state"]["state"] == s;
        let all = runs.as_array().cloned().unwrap_or_default();
        if let Some(r) = all.iter().find(|r| state(r, "waiting_approval")) {
            // It may be killed at this very word; then it is said again.
            let id = r["id"].as_str().unwrap_or_default();
            stage.muster(&["approve", "--yes", id]).await;
        }
        let proven = all.iter().any(|r| state(r, "ended") && r["outcome"] == "proven");
        let busy = all.iter().any(|r| !state(r, "ended"));
        if !proven || busy {
            return None;
        }
        let text = stage.muster(&["journal", "export"]).await;
        // It may be killed at this very word too.
        if text.code != 0 {
            return None;
        }
        Some(
            text.out
                .lines()
                .filter_map(|l| serde_json::from_str(l).ok())
                .collect::<Vec<Value>>(),
        )
    })
    .await;
    let Some(journal) = journal else {
        let story = daemon.story(&stage).await;
        panic!("killed at {point}: the run is not over after two minutes\n{story}");
    };
    // The last points are after the proof, when the incident is put under watch.
    until(&format!("all is well, killed at {point}"), async || {
        if daemon.child.try_wait().expect("waits").is_some() {
            killed = true;
            daemon = stage.daemon(&[]).await;
        }
        let verify = stage.muster(&["journal", "verify"]).await;
        let check = stage.muster(&["check"]).await;
        (verify.out.contains("unbroken") && check.code == 0).then_some(())
    })
    .await;
    daemon.signal(Signal::TERM);
    daemon.ended().await;
    killed.then_some(journal)
}

/// What must hold in the end, wherever it was killed.
fn same_end(case: Case, point: &str, journal: &[Value]) {
    let events =
        |name: &str| -> Vec<&Value> { journal.iter().filter(|e| e["event"]["event"] == name).collect() };
    let target = |e: &&Value| e["place"]["target"].to_string();
    // An intent may be told twice (killed before its effect); the effect is there once.
    let mut intents: Vec<String> = events("intent").iter().map(target).collect();
    intents.sort();
    intents.dedup();
    let ended = events("ended");
    let proven_run = |run: &Value| {
        ended
            .iter()
            .any(|e| e["place"]["run"] == *run && e["event"]["outcome"] == "proven")
    };
    let planned: usize = events("planned")
        .iter()
        .filter(|e| proven_run(&e["place"]["run"]))
        .map(|e| {
            e["event"]["plan"]["facts"]["targets"]
                .as_array()
                .map_or(0, Vec::len)
        })
        .sum();
    assert!(
        intents.len() == planned && planned > 0,
        "killed at {point}: of {planned} targets: {intents:?}\n{}",
        told(journal)
    );
    for intent in intents {
        let tried = events("tried").into_iter().map(|e| (e, "outcome"));
        let observed = events("observed").into_iter().map(|e| (e, "observation"));
        let effects = tried
            .chain(observed)
            .filter(|(e, key)| target(e) == intent && e["event"][key].to_string().contains("\"done\""));
        assert_eq!(effects.count(), 1, "killed at {point}: {intent} was ended once");
    }
    let proven: Vec<_> = ended
        .iter()
        .filter(|e| e["event"]["outcome"] == "proven")
        .collect();
    assert_eq!(proven.len(), 1, "killed at {point}");
    let strange: Vec<_> = ended
        .iter()
        .filter(|e| {
            !["proven", "declined", "nothing"].contains(&e["event"]["outcome"].as_str().unwrap_or_default())
        })
        .collect();
    assert!(strange.is_empty(), "killed at {point}: {strange:?}");
    let opened = events("incident_opened");
    let kinds: Vec<String> = opened
        .iter()
        .map(|e| e["event"]["incident"]["cause"]["kind"].to_string())
        .collect();
    assert_eq!(
        kinds,
        [format!("\"{}\"", case.cause)],
        "killed at {point}\n{}",
        told(journal)
    );
}

/// At every append of this case.
async fn at_every_append(case: Case) {
    if Stage::new((case.fleet)()).await.is_none() {
        return;
    }
    let over = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false))];
    let lane = async |lane: usize| {
        let mut points = 0;
        for number in (1..=AT_MOST).filter(|n| n % LANES == lane) {
            for (over, sign) in over.iter().zip(["", "+"]) {
                if over.load(Ordering::Relaxed) {
                    continue;
                }
                let point = format!("{sign}{number}");
                match killed_at(case, &point).await {
                    Some(journal) => {
                        same_end(case, &point, &journal);
                        points += 1;
                    }
                    None => over.store(true, Ordering::Relaxed),
                }
            }
        }
        points
    };
    let lanes = (0..LANES).map(lane);
    let points: usize = futures::future::join_all(lanes).await.into_iter().sum();
    assert!(points >= 20, "only {points} points were tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_exhausted() {
    at_every_append(Case {
        fleet: || pooled(2),
        fault: "idle-in-transaction-leak",
        with: &[],
        cause: "connections.leak",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_chain() {
    at_every_append(Case {
        fleet: || testing::small(18),
        fault: "lock-chain",
        with: &[("depth", "3"), ("waiters", "12")],
        cause: "locks.blocking_chain",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_saturated() {
    at_every_append(Case {
        fleet: few_slots,
        fault: "connection-flood",
        with: &[],
        cause: "connections.saturated",
    })
    .await;
}
