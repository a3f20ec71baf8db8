//! `muster query explain`: the plan of one statement, with what it costs and facts about it.
//!
//! Plans and, when asked and harmless, carries out; always in a read-only transaction that is rolled back.

use muster_model::query::{PlanMethod, TableFacts};
use muster_observe::queries;
use muster_reach::{ReachError, redact};
use muster_rules::queries::hints::{heaviest, hints};
use muster_rules::queries::tree::PlanTree;
use muster_rules::queries::{refusals, words};
use serde_json::{Value, json};

use super::super::api::{Answer, ApiError};
use super::super::watch::Watch;
use super::ask::{Ask, Ready, ready, refused, said};

/// A plan that was made, in a transaction that is still open.
pub(super) struct Planned {
    pub(super) tree: PlanTree,
    pub(super) method: PlanMethod,
    pub(super) types: Vec<String>,
    raw: Value,
}

/// The plan of a statement.
pub(super) async fn explain(w: &Watch, body: &Value) -> Answer {
    let ask = Ask::of(body);
    let analyze = body.get("analyze").and_then(Value::as_bool).unwrap_or(false);
    if analyze && let Some(sql) = &ask.sql {
        refused(refusals::of_text(&redact::whole_statement(sql)))?;
    }
    let ready = ready(w, &ask).await?;
    let told = look(w, &ready, analyze).await;
    ready.trial.end().await;
    told
}

async fn look(w: &Watch, ready: &Ready, analyze: bool) -> Answer {
    let mut planned = begin(ready).await?;
    if analyze {
        cleared(ready, &planned).await?;
        let answer = queries::analyzed(&ready.trial, &ready.brought).await;
        planned.raw = or_said(ready, answer).await?;
        planned.tree = tree(ready, &planned.raw)?;
    }
    let tables = or_said(
        ready,
        queries::tables(&ready.trial, &relations(&planned.tree)).await,
    )
    .await?;
    Ok(told(w, ready, &planned, &tables, analyze))
}

/// What is told of a plan.
pub(super) fn told(
    w: &Watch,
    ready: &Ready,
    planned: &Planned,
    tables: &[TableFacts],
    analyzed: bool,
) -> Value {
    json!({
        "server": ready.at.server.address, "why_here": ready.at.why, "standby": ready.place.standby,
        "database": ready.place.database, "user": ready.user, "search_path": ready.search_path(),
        "taken_at": w.app.engine.now(), "fingerprint": ready.fingerprint, "statement": ready.shown,
        "parameters": planned.types, "method": planned.method, "how": planned.method.sentence(),
        "analyzed": analyzed, "cost": planned.tree.root.cost, "rows": planned.tree.root.all_rows(),
        "planning_ms": planned.tree.planning_ms, "execution_ms": planned.tree.execution_ms,
        "heaviest": heaviest(&planned.tree), "hints": hints(&planned.tree, tables),
        "plan": planned.tree.root, "lines": planned.tree.lines(),
    })
}

/// Begins and plans.
pub(super) async fn begin(ready: &Ready) -> Result<Planned, ApiError> {
    or_said(ready, ready.trial.begin(&ready.settings).await).await?;
    let types = or_said(ready, ready.trial.prepare(&ready.brought).await).await?;
    let given = ready.brought.values.len();
    if given != 0 && given != types.len() {
        return Err(ApiError::new(
            400,
            format!("{given} values are given, and it has {} parameters", types.len()),
            "one `--param VALUE` for each of $1, $2, … in order; \\N stands for NULL",
        ));
    }
    let answer = queries::plan(&ready.trial, types.len(), &ready.brought).await;
    let (raw, method) = or_said(ready, answer).await?;
    Ok(Planned {
        tree: tree(ready, &raw)?,
        method,
        types,
        raw,
    })
}

/// Whether it may be carried out only to be measured.
pub(super) async fn cleared(ready: &Ready, planned: &Planned) -> Result<(), ApiError> {
    let text = redact::whole_statement(&ready.brought.text);
    refused(refusals::of_text(&text))?;
    if !planned.types.is_empty() && ready.brought.values.is_empty() {
        let error = format!(
            "it has {} parameters ({}), and without values it cannot be carried out",
            planned.types.len(),
            planned.types.join(", ")
        );
        let remedy = "give one `--param VALUE` for each of $1, $2, … in order; \\N stands for NULL";
        return Err(ApiError::new(400, error, remedy));
    }
    refused(refusals::of_plan(&planned.tree.root))?;
    let mut texts = vec![text];
    strings(&planned.raw, &mut texts);
    let doubts = queries::doubts(&ready.trial, &texts, words::names).await;
    let doubts: Vec<(String, String)> = or_said(ready, doubts)
        .await?
        .into_iter()
        .map(|d| (d.what, d.name))
        .collect();
    refused(refusals::of_doubts(&doubts))
}

/// The relations of a plan, each once.
pub(super) fn relations(tree: &PlanTree) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    tree.root.each(&mut |n| {
        if let (Some(schema), Some(name)) = (&n.schema, &n.relation) {
            let pair = (schema.clone(), name.clone());
            if !out.contains(&pair) {
                out.push(pair);
            }
        }
    });
    out
}

/// The answer, or what the server says as a sentence about this statement.
pub(super) async fn or_said<T>(ready: &Ready, answer: Result<T, ReachError>) -> Result<T, ApiError> {
    match answer {
        Ok(value) => Ok(value),
        Err(e) => {
            let error = said(ready, &e).await;
            ready.trial.end().await;
            Err(error)
        }
    }
}

pub(super) fn tree(ready: &Ready, raw: &Value) -> Result<PlanTree, ApiError> {
    PlanTree::of(raw).ok_or_else(|| {
        ApiError::new(
            500,
            format!(
                "{}: its plan has a form that is not known",
                ready.at.server.address
            ),
            "this may be a defect of Muster: please report it",
        )
    })
}

fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|v| strings(v, out)),
        Value::Object(map) => map.values().for_each(|v| strings(v, out)),
        _ => {}
    }
}
