//! What is planned without a finding: by the clock, and when an alert from outside comes in. The guards judge it as any plan;
//! autopilot says who starts it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_engine::journal::{DAEMON, Event, Place};
use muster_engine::planner::Request;
use muster_engine::{EngineError, Starter};
use muster_model::{Autopilot, PlanResult, Time};
use serde_json::{Value, json};

use super::api::ApiError;
use super::watch::Watch;

/// Uses the slots of all schedules, until the daemon stops.
pub(super) async fn by_the_clock(watch: Arc<Watch>) {
    let began = watch.app.engine.now();
    let mut used: BTreeMap<String, Time> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !watch.stop.is_set() {
        tick.tick().await;
        for schedule in &watch.app.config().schedules {
            let last = match used.get(&schedule.name) {
                Some(last) => *last,
                None => match watch.app.engine.last_slot(&schedule.name) {
                    Ok(last) => last.unwrap_or(began),
                    Err(e) => {
                        tracing::warn!(schedule = %schedule.name, error = %e, "cannot be read");
                        continue;
                    }
                },
            };
            used.insert(schedule.name.clone(), last);
            // A file that cannot be understood is not accepted, so this is about a clock out of its range.
            let Ok(Some(slot)) = schedule.due(last, watch.app.engine.now()) else {
                continue;
            };
            let target = Some(schedule.target.as_str()).filter(|t| !t.is_empty());
            let (run, what) = start(&watch, &schedule.runbook, target, &schedule.params).await;
            tracing::info!(schedule = %schedule.name, %what, "due");
            let event = Event::Scheduled {
                name: schedule.name.clone(),
                slot,
                what,
            };
            let place = Place::run(&run.unwrap_or_default(), None);
            match watch.app.engine.append(DAEMON, &place, event) {
                Ok(_) => {
                    used.insert(schedule.name.clone(), slot);
                }
                Err(e) => {
                    tracing::error!(schedule = %schedule.name, error = %e, "its slot cannot be written down, so it is used again");
                }
            }
            watch.changed();
        }
    }
}

/// Plans a runbook, and starts it where autopilot and policy let it; its run, and what came of it.
async fn start(
    watch: &Arc<Watch>,
    runbook: &str,
    target: Option<&str>,
    given: &BTreeMap<String, String>,
) -> (Option<String>, String) {
    match plan(watch, runbook, target, given).await {
        Ok((run, what)) => (run, what),
        Err(Unplanned::Now(why) | Unplanned::Ever(why)) => {
            (None, format!("`{runbook}` was not planned: {why}"))
        }
    }
}

/// Why there is no plan.
enum Unplanned {
    /// Something cannot be read; later it may be.
    Now(String),
    /// The config and the runbooks do not fit.
    Ever(String),
}

async fn plan(
    watch: &Arc<Watch>,
    id: &str,
    target: Option<&str>,
    given: &BTreeMap<String, String>,
) -> Result<(Option<String>, String), Unplanned> {
    let config = watch.app.config();
    let library = watch.app.library();
    let runbook = library
        .get(id)
        .ok_or_else(|| Unplanned::Ever(format!("there is no runbook `{id}`")))?;
    let (settings, address) = config.target(target).map_err(Unplanned::Ever)?;
    let params = muster_runbooks::params(runbook, given).map_err(|p| Unplanned::Ever(p.join("; ")))?;
    let request = Request {
        cluster: settings.reach.name.clone(),
        target: address,
        params,
        requested_by: DAEMON.to_owned(),
        incident: None,
        valid: config.plan_valid,
        over_limits: false,
        library: &library,
        known: None,
    };
    let planned = watch
        .app
        .engine
        .plan(runbook, request)
        .await
        .map_err(|e: EngineError| Unplanned::Now(e.to_string()))?;
    let run = planned.plan.id.clone();
    if planned.attached {
        return Ok((Some(run), format!("`{id}` is under way already")));
    }
    if let Some(r) = planned.refused {
        return Ok((
            Some(run),
            format!("`{id}` was refused by `{}`: {}", r.guard, r.why),
        ));
    }
    let what = match &planned.plan.result {
        PlanResult::Changes if settings.autopilot == Autopilot::Act => {
            watch.drive(&run, Starter::Autopilot).await;
            format!("`{id}` was planned, and is started where the guards let it")
        }
        PlanResult::Changes => format!("`{id}` was planned and waits for a person"),
        PlanResult::Nothing { why } => format!("`{id}` has nothing to do: {why}"),
        PlanResult::Declined { why, .. } => format!("`{id}` declined: {why}"),
        PlanResult::Report { summary, .. } => format!("`{id}` reports: {summary}"),
    };
    Ok((Some(run), what.trim_end_matches('.').to_owned()))
}

/// One alert of a call of Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// Whether it is over.
    pub resolved: bool,
    /// Its labels that are text.
    pub labels: BTreeMap<String, String>,
    /// Its fingerprint with the time at which it began; `None` when it lacks either.
    pub key: Option<String>,
}

/// Reads a call in the form of Alertmanager's webhook, version 4: the alerts, and whether some were left out of it.
///
/// # Errors
/// What is missing, when it is no such call.
pub fn call(body: &Value) -> Result<(Vec<Alert>, bool), String> {
    let list = body
        .get("alerts")
        .and_then(Value::as_array)
        .ok_or("`alerts` is missing")?;
    let mut out = Vec::new();
    for alert in list {
        let labels: BTreeMap<String, String> = alert["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
            .collect();
        let name = labels
            .get("alertname")
            .ok_or("an alert has no `alertname`")?
            .clone();
        let text = |key: &str| alert.get(key).and_then(Value::as_str).unwrap_or_default();
        let (fingerprint, began) = (text("fingerprint"), text("startsAt"));
        let whole = !fingerprint.is_empty() && !began.is_empty();
        out.push(Alert {
            name,
            resolved: text("status") == "resolved",
            labels,
            key: whole.then(|| format!("{fingerprint}/{began}")),
        });
    }
    let cut = body.get("truncatedAlerts").and_then(Value::as_u64).unwrap_or(0);
    Ok((out, cut > 0))
}

/// Takes up the alerts of one call. An alert that is resolved, unknown or taken up already leads to nothing; the answer says which.
///
/// # Errors
/// When the body is no such call.
pub(super) async fn alerts(watch: &Arc<Watch>, who: &str, body: &Value) -> Result<Value, ApiError> {
    let (watch, who, body) = (watch.clone(), who.to_owned(), body.clone());
    // In a task of its own, one call after the other: who calls again because it took long, and the second of two
    // Alertmanagers, shall find it taken up.
    let task = tokio::spawn(async move {
        let _one = watch.alerts.lock().await;
        taken_up(&watch, &who, &body).await
    });
    task.await
        .map_err(|e| ApiError::new(500, e.to_string(), "please report this"))?
}

async fn taken_up(watch: &Arc<Watch>, who: &str, body: &Value) -> Result<Value, ApiError> {
    let wrong = |what: &str| {
        ApiError::new(
            400,
            format!("this is no call of Alertmanager: {what}"),
            "send its webhook, version 4",
        )
    };
    let (list, incomplete) = call(body).map_err(|e| wrong(&e))?;
    let config = watch.app.config();
    let mut out = Vec::new();
    for alert in list {
        let mut said = |what: String| out.push(json!({"alert": alert.name, "what": what}));
        if alert.resolved {
            said("it is resolved".to_owned());
            continue;
        }
        let Some(trigger) = config.triggers.get(&alert.name) else {
            said("no trigger of the config names it".to_owned());
            continue;
        };
        let Some(key) = &alert.key else {
            return Err(wrong("an alert has no `fingerprint` or no `startsAt`"));
        };
        let label = trigger.label.as_ref();
        let target = label.and_then(|l| alert.labels.get(l)).map(String::as_str);
        if let (Some(label), None) = (label, target) {
            said(format!("it has no label `{label}` that names a target"));
            continue;
        }
        // One call a target, however many alerts say the same; the same alert again is the same key.
        let key = format!("{key}/{}", target.unwrap_or_default());
        if watch.app.engine.triggered(&key)? {
            said("it was taken up before".to_owned());
            continue;
        }
        let planned = plan(watch, &trigger.runbook, target, &BTreeMap::new()).await;
        let (run, what) = match planned {
            Ok(told) => told,
            // Not read now: it is not taken up, and Alertmanager calls again.
            Err(Unplanned::Now(why)) => {
                let error = format!("`{}` cannot be planned now: {why}", trigger.runbook);
                return Err(ApiError::new(503, error, "it is taken up when it is sent again"));
            }
            Err(Unplanned::Ever(why)) => {
                said(format!("`{}` was not planned: {why}", trigger.runbook));
                continue;
            }
        };
        let event = Event::Triggered {
            alert: alert.name.clone(),
            key,
            what: what.clone(),
        };
        let place = Place::run(&run.clone().unwrap_or_default(), None);
        watch.app.engine.append(who, &place, event)?;
        out.push(json!({"alert": alert.name, "what": what, "run": run}));
        watch.changed();
    }
    Ok(json!({"alerts": out, "incomplete": incomplete}))
}
