//! Blows to a real daemon at the appends to its journal while a runbook runs: killed, stopped for longer than its lease, a full disk.
//! Whatever comes, the end is the same, and nobody is ended twice. One line a runbook.

use muster::drill::blows;
use muster::drill::harness::Trial;
use muster_lab::{LabOptions, testing};

use crate::harness::{few_slots, of, own};
use crate::stage::pooled;

/// Fleets at once; they mostly wait.
const LANES: u32 = 10;

async fn at_every_append(drill: &str, options: fn() -> LabOptions) {
    let Some(probe) = testing::fleet(options()).await else {
        return;
    };
    drop(probe);
    let trials = blows::all(&of(drill), &options, &own(), LANES, &|_| {})
        .await
        .expect("plays");
    let wrong: Vec<&Trial> = trials.iter().filter(|t| !t.wrong.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let points: Vec<u32> = trials.iter().map(|t| t.points).collect();
    let [killed_in, killed_after, stopped_in, stopped_after, full] = points[..] else {
        panic!("{trials:#?}")
    };
    assert!(
        killed_in + killed_after >= 20 && stopped_in >= 1 && stopped_after >= 1 && full >= 1,
        "only so many points were tried: {points:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pool_exhausted() {
    at_every_append("pool-exhausted", || pooled(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_chain() {
    at_every_append("blocking-chain", || testing::small(18)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_saturated() {
    at_every_append("connections-saturated", few_slots).await;
}
