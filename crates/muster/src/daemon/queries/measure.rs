//! `muster query compare`: one statement carried out some times, on one server or on two in turns.
//!
//! What is measured is the server's own execution time, without a clock at each node and without sending rows. Each run is a
//! read-only transaction that is rolled back. Judges nothing.

use std::time::{Duration, Instant};

use muster_observe::queries;
use muster_reach::redact;
use muster_rules::queries::refusals;
use serde_json::{Value, json};

use super::super::api::{Answer, ApiError};
use super::super::watch::Watch;
use super::ask::{Ask, Ready, ready, refused};
use super::explain::{Planned, begin, cleared, or_said, tree};

/// Not counted: the caches, and the server's own memory of the tables, come first.
const WARM_UPS: usize = 2;
const USUAL: u64 = 20;
const MOST: u64 = 1000;
/// All runs together, in seconds, without being asked and at most.
const WITHIN: u64 = 60;
const LONGEST: u64 = 600;

#[derive(Default)]
struct Runs {
    ms: Vec<f64>,
    planning_ms: Vec<f64>,
    hit: Vec<u64>,
    read: Vec<u64>,
    temp: Vec<u64>,
    rows: Option<f64>,
    lines: Vec<String>,
}

/// Runs of a statement.
pub(super) async fn measure(w: &Watch, body: &Value) -> Answer {
    let number = |key: &str, usual: u64, most: u64| {
        body.get(key)
            .and_then(Value::as_u64)
            .unwrap_or(usual)
            .clamp(1, most)
    };
    let (runs, within) = (number("runs", USUAL, MOST), number("within", WITHIN, LONGEST));
    let mut asks = vec![Ask::of(body)];
    if let Some(other) = body.get("against").and_then(Value::as_str) {
        asks.push(Ask {
            target: Some(other.to_owned()),
            ..Ask::of(body)
        });
    }
    if let Some(sql) = &asks[0].sql {
        refused(refusals::of_text(&redact::whole_statement(sql)))?;
    }
    let mut sides: Vec<(Ready, Planned, Runs)> = Vec::new();
    for ask in &asks {
        let mut ready = ready(w, ask).await?;
        // The same text on both sides: an id may be known to one of them alone.
        if let Some((first, _, _)) = sides.first() {
            ready.brought = first.brought.clone();
            if first.at.server.address == ready.at.server.address {
                let error = format!("both sides are {}", ready.at.server.address);
                return Err(ApiError::new(
                    400,
                    error,
                    "name two servers, such as `shop/a --against shop/b`",
                ));
            }
        }
        let planned = gate(&ready).await?;
        sides.push((ready, planned, Runs::default()));
    }
    let began = Instant::now();
    let mut early = false;
    for round in 0..usize::try_from(runs).unwrap_or(0) + WARM_UPS {
        if began.elapsed() > Duration::from_secs(within) {
            early = true;
            break;
        }
        // In turns, so that what changes meanwhile changes both.
        for (ready, _, runs) in &mut sides {
            run(ready, runs, round >= WARM_UPS).await?;
        }
    }
    let told: Vec<Value> = sides
        .iter()
        .map(|(ready, planned, runs)| side(w, ready, planned, runs, early.then_some(within)))
        .collect();
    Ok(json!(told))
}

async fn gate(ready: &Ready) -> Result<Planned, ApiError> {
    let passed = async {
        let planned = begin(ready).await?;
        cleared(ready, &planned).await?;
        Ok(planned)
    }
    .await;
    ready.trial.end().await;
    passed
}

async fn run(ready: &Ready, runs: &mut Runs, counts: bool) -> Result<(), ApiError> {
    or_said(ready, ready.trial.begin(&ready.settings).await).await?;
    let answer = queries::measured(&ready.trial, &ready.brought).await;
    let raw = or_said(ready, answer).await?;
    ready.trial.end().await;
    if !counts {
        return Ok(());
    }
    let plan = tree(ready, &raw)?;
    runs.ms.extend(plan.execution_ms);
    runs.planning_ms.extend(plan.planning_ms);
    runs.hit.extend(plan.root.hit);
    runs.read.extend(plan.root.read);
    runs.temp.extend(plan.root.temp_written);
    runs.rows = plan.root.actual_rows;
    runs.lines = nodes(&plan);
    Ok(())
}

/// The nodes by name, without numbers: the shape of the plan.
fn nodes(plan: &muster_rules::queries::tree::PlanTree) -> Vec<String> {
    let mut out = Vec::new();
    plan.root.each(&mut |n| out.push(n.name()));
    out
}

fn side(w: &Watch, ready: &Ready, planned: &Planned, runs: &Runs, early: Option<u64>) -> Value {
    json!({
        "format": muster_model::FORMAT, "server": ready.at.server.address, "why_here": ready.at.why, "standby": ready.place.standby,
        "database": ready.place.database, "version_num": ready.place.version_num, "taken_at": w.app.engine.now(),
        "fingerprint": ready.fingerprint, "statement": ready.shown, "parameters": planned.types.len(),
        "runs_ms": runs.ms, "warm_ups": WARM_UPS, "planning_ms": middle(&runs.planning_ms),
        "blocks_hit": middle_count(&runs.hit), "blocks_read": middle_count(&runs.read), "temp_blocks": middle_count(&runs.temp),
        "rows": runs.rows, "plan": runs.lines, "cost": planned.tree.root.cost,
        "stopped": early.map(|s| format!("stopped after {s} s with {} runs", runs.ms.len())),
    })
}

fn middle(all: &[f64]) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn middle_count(all: &[u64]) -> Option<u64> {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
