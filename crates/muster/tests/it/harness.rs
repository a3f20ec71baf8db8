//! Every built-in runbook under trouble: each effect twice, an error at each node, lost answers. One line a runbook.

use muster::drill::harness::{Trial, all};
use muster::drill::run::Own;
use muster::drill::{Drill, Expect, built_in};
use muster_lab::{LabOptions, testing};

use crate::stage::pooled;

/// Fleets at once; they mostly wait.
const AT_ONCE: usize = 6;

/// A built-in drill.
pub(crate) fn of(id: &str) -> Drill {
    let all = built_in().expect("right");
    all.into_iter().find(|d| d.id == id).expect("there is one")
}

/// What is built in, with the program for the faults.
pub(crate) fn own() -> Own {
    Own {
        runbooks: Vec::new(),
        thresholds: muster_rules::defaults(),
        program: Some(env!("CARGO_BIN_EXE_muster").into()),
    }
}

/// Treats the drill's fault under all troubles; nothing may be wrong in any.
async fn under_trouble(drill: &str, options: fn() -> LabOptions) {
    let Some(probe) = testing::fleet(options()).await else {
        return;
    };
    drop(probe);
    let drill = of(drill);
    let trials = all(&drill, &options, &own(), AT_ONCE, &|_| {})
        .await
        .expect("plays");
    let wrong: Vec<&Trial> = trials.iter().filter(|t| !t.wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The harness itself: it met what it was to trouble. A later run may need a look fewer than the first.
    let first = &trials[0];
    assert!(first.reads >= 1, "{first:#?}");
    let missed: Vec<&Trial> = trials.iter().skip(1).filter(|t| !t.struck).collect();
    assert!(missed.len() <= 2, "{missed:#?}");
    if !matches!(drill.expect, Expect::Reported(_)) {
        assert!(first.struck && first.effects >= 1, "{first:#?}");
    }
}

/// On 18: before 16 nobody can log in again while the slots are full, so a daemon that is killed then stays outside.
pub(crate) fn few_slots() -> LabOptions {
    let mut options = testing::small(18);
    options.max_connections = 30;
    options
}

fn with_standbys() -> LabOptions {
    let mut options = testing::small(15);
    options.standbys = 2;
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_exhausted() {
    under_trouble("pool-exhausted", || pooled(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_chain() {
    under_trouble("blocking-chain", || testing::small(18)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_saturated() {
    under_trouble("connections-saturated", few_slots).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_status() {
    under_trouble("pool-status", || pooled(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_health() {
    under_trouble("replica-health", with_standbys).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence() {
    under_trouble("evidence", with_standbys).await;
}
