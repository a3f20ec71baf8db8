//! What can be asked of Muster: one function over method, path and body, used by the socket, the page and, without a
//! daemon, by the command itself. There is one way in, so there is one place that says who may what.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_engine::incidents::GLASS;
use muster_engine::journal::Notice;
use muster_engine::planner::Request;
use muster_engine::principals::Role;
use muster_engine::{EngineError, Event, If, Place, Starter, guards, story};
use muster_model::{Incident, Plan, PlanResult, Run, Span};
use muster_observe::Extent;
use muster_rules::{Mode, RuleState, correlate, judge};
use serde_json::{Value, json};

use super::watch::{Watch, is_open, read};
use super::would::would;
use crate::notify::board::Board;
use crate::notify::deliver::Postman;
use crate::notify::due;
use crate::view::{Story, View};

/// A refusal with its HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status: 400 wrong, 403 may not, 404 not there, 409 does not fit, 500 cannot.
    pub status: u16,
    /// One sentence.
    pub error: String,
    /// What to do.
    pub remedy: String,
}

impl ApiError {
    pub(super) fn new(status: u16, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(e: EngineError) -> Self {
        let status = match &e {
            EngineError::Refused(r) if r.guard == "approval" => 403,
            EngineError::Refused(_) | EngineError::AlreadyDriven(_) => 409,
            EngineError::NoSuchRun(_) => 404,
            EngineError::Lease(muster_engine::lease::LeaseError::Held { .. }) => 409,
            EngineError::Journal(muster_engine::JournalError::Twice { .. }) => 409,
            EngineError::Journal(_) | EngineError::Code(_) | EngineError::Lease(_) => 500,
        };
        Self::new(status, e.to_string(), e.remedy().unwrap_or_default())
    }
}

/// Who asks, and whether runs are driven in the background (daemon) or here (a command without one).
#[derive(Clone, Debug)]
pub struct Caller {
    /// Name.
    pub who: String,
    /// What they may do; nobody's for who only looks at the page.
    pub role: Option<Role>,
    /// Whether the call returns only when its run is over or waits.
    pub inline: bool,
}

pub(super) type Answer = Result<Value, ApiError>;

/// What a call takes; `None` for what says nothing of anybody: plans, incidents and the journal name sessions, owners and
/// statements.
fn needed(method: &str, parts: &[&str]) -> Option<Role> {
    match (method, parts) {
        ("GET", ["api", "v1", "ping"]) => None,
        ("GET", ["api", "v1", "auth", ..]) => Some(Role::Admin),
        ("GET", _) => Some(Role::Viewer),
        (_, ["api", "v1", "check" | "queries"]) => Some(Role::Viewer),
        (
            _,
            ["api", "v1", "runs", _, "approve" | "reject" | "break-glass"]
            | ["api", "v1", "incidents", _, "resolve"],
        ) => Some(Role::Approver),
        (_, ["api", "v1", "auth" | "proofs", ..] | ["api", "v1", "runs", _, "abandon"]) => Some(Role::Admin),
        (_, _) => Some(Role::Operator),
    }
}

/// Answers one request.
///
/// # Errors
/// A refusal with what to do.
pub async fn handle(w: &Arc<Watch>, caller: &Caller, method: &str, path: &str, body: &Value) -> Answer {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let why = || text("why").unwrap_or_else(|| "no reason given".to_owned());
    let who = caller.who.clone();
    if let Some(needed) = needed(method, &parts)
        && caller.role < Some(needed)
    {
        let error = format!("{who} may not do this: it takes the role {}", needed.word());
        return Err(ApiError::new(
            403,
            error,
            "an admin changes roles with `muster auth add NAME --role ROLE`",
        ));
    }
    match (method, &parts[..]) {
        ("POST", ["api", "v1", "check"]) => check(w, text("target").as_deref(), within_of(body)?).await,
        ("POST", ["api", "v1", "queries"]) => super::queries::top(w, text("target").as_deref()).await,
        ("POST", ["api", "v1", "queries", what]) => super::queries::one(w, what, body).await,
        ("GET", ["api", "v1", "incidents"]) => incidents(w),
        ("GET", ["api", "v1", "incidents", id]) => Ok(json!(incident_story(w, &incident(w, id)?)?)),
        ("GET", ["api", "v1", "incidents", id, "postmortem"]) => postmortem(w, id),
        ("GET", ["api", "v1", "incidents", id, "evidence"]) => {
            let found = incident(w, id)?;
            Ok(json!(
                w.app
                    .engine
                    .journal()
                    .evidence(&found.id)
                    .map_err(EngineError::from)?
            ))
        }
        ("POST", ["api", "v1", "incidents", id, "note"]) => {
            let found = incident(w, id)?;
            if text("text").is_none_or(|t| t.trim().is_empty()) {
                return Err(ApiError::new(400, "the note is empty", "write a sentence"));
            }
            w.desk
                .note(&w.app, &found.id, &who, &text("text").unwrap_or_default())?;
            w.changed();
            Ok(json!({"noted": found.id}))
        }
        ("POST", ["api", "v1", "incidents", id, "resolve"]) => {
            let found = incident(w, id)?;
            let closed = w.desk.resolve(&w.app, &found.id, &who, &why())?;
            w.changed();
            Ok(json!(closed))
        }
        ("GET", ["api", "v1", "runs"]) => {
            let runs: Vec<Run> = w.app.engine.runs()?.into_iter().map(|(_, r)| r).collect();
            Ok(json!(runs))
        }
        ("GET", ["api", "v1", "runs", id]) => {
            let (plan, run) = run_of(w, id)?;
            let timeline = story::timeline(
                &w.app
                    .engine
                    .journal()
                    .of_run(&run.id)
                    .map_err(EngineError::from)?,
            );
            let asks = w.app.engine.asked(&run.id)?.map(|(_, question)| question);
            Ok(json!({"plan": plan, "run": run, "timeline": timeline, "asks": asks}))
        }
        ("GET", ["api", "v1", "runs", id, "would", verb]) => would(w, caller, id, verb).await,
        ("POST", ["api", "v1", "hooks", "alertmanager"]) => super::starts::alerts(w, &who, body).await,
        ("GET", ["api", "v1", "ping"]) => Ok(json!({"awake": true})),
        ("POST", ["api", "v1", "plans"]) => plan(w, &who, body).await,
        ("POST", ["api", "v1", "plans", "apply"]) => apply(w, caller, body).await,
        ("POST", ["api", "v1", "runs", id, "approve"]) => {
            let (plan, run) = run_of(w, id)?;
            let begun = run.state.under_way();
            // Only the question that is being asked now can be answered.
            let step = w.app.engine.asked(&plan.id)?.map(|(step, _)| step);
            if begun && step.is_none() {
                return Err(ApiError::new(
                    409,
                    format!("run {} is at work and asks nothing now", plan.id),
                    format!("`muster runs show {}` follows it", plan.id),
                ));
            }
            let typed = body.get("target").and_then(Value::as_str);
            w.app.engine.approve(&plan.id, &who, step.as_deref(), typed)?;
            go_on(w, caller, &plan.id).await
        }
        ("POST", ["api", "v1", "runs", id, "break-glass"]) => {
            let (plan, run) = run_of(w, id)?;
            let (typed, why) = (
                text("target").unwrap_or_default(),
                text("why").unwrap_or_default(),
            );
            w.app.engine.may_break_glass(&plan.id, &who, &typed, &why)?;
            // The first of two waits for the second.
            let first = plan.over_limits && run.glass.as_ref().is_none_or(|by| *by == who);
            let more = if first {
                If::BrokenByTwo(&who)
            } else {
                If::Broken(&who)
            };
            // What no glass lifts is not worth an incident.
            w.app
                .engine
                .judge_if(&plan, guards::Phase::Start, Starter::Person(who.clone()), more)
                .await?
                .map_err(EngineError::Refused)?;
            // Meanwhile it may have begun; from here on nothing is waited for.
            w.app.engine.may_break_glass(&plan.id, &who, &typed, &why)?;
            // The incident first: should we be killed in between, people are told of what did not happen, and not the reverse.
            let incident = w.desk.glass(&w.app, &plan, &who, &why)?;
            w.app
                .engine
                .break_glass(&plan.id, &who, &typed, &why, &incident)?;
            w.changed();
            let mut answer = if first {
                let waiting =
                    "a second approver has to break the glass too: it reaches farther than its limits";
                json!({"run": w.app.engine.run(&plan.id)?.1, "refused": Value::Null, "waiting": waiting})
            } else {
                go_on(w, caller, &plan.id).await?
            };
            answer["incident"] = incident.into();
            answer["called"] = (!caller.inline && !w.app.config().notify.channels.is_empty()).into();
            Ok(answer)
        }
        ("POST", ["api", "v1", "runs", id, "reject"]) => {
            let (plan, _) = run_of(w, id)?;
            let run = w.app.engine.reject(&plan.id, &who, &why())?;
            w.changed();
            Ok(json!(run))
        }
        ("POST", ["api", "v1", "runs", id, "cancel"]) => {
            let (plan, _) = run_of(w, id)?;
            w.app.engine.cancel(&plan.id, &who, &why())?;
            go_on(w, caller, &plan.id).await
        }
        ("POST", ["api", "v1", "runs", id, "abandon"]) => {
            let (plan, _) = run_of(w, id)?;
            w.app.engine.abandon(&plan.id, &who, &why())?;
            w.changed();
            Ok(json!(run_of(w, &plan.id)?.1))
        }
        ("POST", ["api", "v1", "runs", id, "resume"]) => {
            let (plan, _) = run_of(w, id)?;
            go_on(w, caller, &plan.id).await
        }
        ("POST", ["api", "v1", "freeze"]) => {
            let scope = frozen_scope(w, body)?;
            w.app.engine.freeze(&who, &scope, &why())?;
            w.changed();
            Ok(json!({"frozen": why(), "scope": scope}))
        }
        ("POST", ["api", "v1", "unfreeze"]) => {
            let scope = frozen_scope(w, body)?;
            if !w.app.engine.freezes()?.contains_key(&scope) {
                let what = if scope.is_empty() {
                    "everywhere".to_owned()
                } else {
                    format!("at {scope}")
                };
                return Err(ApiError::new(
                    409,
                    format!("nothing is frozen {what}"),
                    "`muster check` and every page say what is",
                ));
            }
            w.app.engine.unfreeze(&who, &scope)?;
            w.changed();
            Ok(json!({"frozen": Value::Null, "scope": scope}))
        }
        ("POST", ["api", "v1", "ack"]) => ack(w, &who, &text("id").unwrap_or_default(), &why()),
        ("GET", ["api", "v1", "notifications"]) => {
            let mut board = Board::default();
            super::tell::catch_up(&w.app.engine, &mut board)?;
            Ok(json!(board.outbox()))
        }
        ("POST", ["api", "v1", "notifications", "test"]) => trial(w, &who, text("channel").as_deref()).await,
        ("GET", ["api", "v1", "explain", ..]) => explain(w, &parts[3..].join("/")),
        ("GET", ["api", "v1", "auth"]) => Ok(json!(w.app.engine.principals()?)),
        ("POST", ["api", "v1", "auth"]) => {
            let name = &text("name").unwrap_or_default();
            let asked = text("role").unwrap_or_else(|| Role::Viewer.word().to_owned());
            let role = Role::ALL.into_iter().find(|r| r.word() == asked).ok_or_else(|| {
                ApiError::new(
                    400,
                    format!("`{asked}` is no role"),
                    "one of: viewer, operator, approver, admin",
                )
            })?;
            let service = body.get("service").and_then(Value::as_bool).unwrap_or(false);
            let token = w.app.engine.admit(&who, name, role, service)?;
            Ok(json!({"name": name, "role": role, "service": service, "token": token}))
        }
        ("POST", ["api", "v1", "auth", "revoke"]) => {
            let name = &text("name").unwrap_or_default();
            w.app.engine.dismiss(&who, name)?;
            Ok(json!({"revoked": name}))
        }
        ("GET", ["api", "v1", "proofs"]) => Ok(json!(w.app.engine.proofs()?)),
        ("POST", ["api", "v1", "proofs"]) => {
            let proof = serde_json::from_value(body.clone()).map_err(|e| {
                ApiError::new(
                    400,
                    format!("not a proof: {e}"),
                    "export one with `muster drill --proof-out`",
                )
            })?;
            w.app
                .engine
                .append(&who, &Place::default(), Event::Proof { proof })?;
            Ok(json!({"imported": true}))
        }
        ("GET", ["api", "v1", "journal"]) => {
            Ok(json!(w.app.engine.journal().all().map_err(EngineError::from)?))
        }
        ("GET", ["api", "v1", "journal", "verify"]) => {
            let journal = w.app.engine.journal();
            let entries = journal.verify().map_err(EngineError::from)?;
            let heads: Vec<muster_engine::journal::Head> = match body.get("heads") {
                None | Some(Value::Null) => Vec::new(),
                Some(list) => serde_json::from_value(list.clone()).map_err(|e| {
                    ApiError::new(
                        400,
                        format!("these are not heads: {e}"),
                        "give the file that `journal.export_head` wrote",
                    )
                })?,
            };
            journal.verify_heads(&heads).map_err(EngineError::from)?;
            let (_, head) = w.app.engine.journal().head().map_err(EngineError::from)?;
            Ok(json!({"entries": entries, "head": head, "heads": heads.len()}))
        }
        _ => Err(ApiError::new(
            404,
            format!("there is nothing at {method} {path}"),
            "the page is at /; README.md lists what can be asked",
        )),
    }
}

fn incident(w: &Watch, id: &str) -> Result<Incident, ApiError> {
    let all = w.desk.all();
    let found = if id == "latest" {
        all.last().cloned()
    } else {
        all.into_iter().find(|i| i.id == id)
    };
    found.ok_or_else(|| {
        ApiError::new(
            404,
            format!("there is no incident `{id}`"),
            "`muster incident list` shows them",
        )
    })
}

/// A run by its id or by that of its incident; of an incident, and for `latest`, the newest that waits for approval, else the
/// newest. A plan that ran out is made anew: who was called about the first means the one there is now.
pub(super) fn run_of(w: &Watch, id: &str) -> Result<(Plan, Run), ApiError> {
    let mut runs = match w.desk.get(id) {
        _ if id == "latest" => w.app.engine.runs()?,
        None => return Ok(w.app.engine.run(id)?),
        Some(incident) => {
            let of = incident.runs.iter().map(|run| w.app.engine.run(run));
            of.collect::<Result<Vec<_>, _>>()?
        }
    };
    let waiting = runs
        .iter()
        .rposition(|(_, r)| matches!(r.state, muster_model::RunState::WaitingApproval));
    let pick = waiting.or_else(|| runs.len().checked_sub(1));
    let none = || ApiError::new(404, "there is no run yet", "`muster plan RUNBOOK` makes a plan");
    pick.map(|i| runs.swap_remove(i)).ok_or_else(none)
}

/// Starts a run or goes on with it; at once with what keeps it from starting.
async fn go_on(w: &Arc<Watch>, caller: &Caller, id: &str) -> Answer {
    let (plan, run) = w.app.engine.run(id)?;
    let starter = Starter::Person(caller.who.clone());
    if caller.inline {
        return Ok(driven(&w.app.engine.drive(id, starter, &w.stop).await?));
    }
    let begun = run.state.under_way();
    let clear = begun
        || w.app
            .engine
            .judge(&plan, guards::Phase::Start, starter.clone())
            .await?
            .is_ok();
    if clear {
        // The guards have answered; the work goes on in the background.
        w.drive(id, starter).await;
        w.changed();
        return Ok(json!({"run": w.app.engine.run(id)?.1, "refused": Value::Null, "waiting": Value::Null}));
    }
    // In a task of its own: a client that goes away must not stop it half-way.
    let (watch, id) = (w.clone(), id.to_owned());
    let task = tokio::spawn(async move { watch.app.engine.drive(&id, starter, &watch.stop).await });
    let done = task
        .await
        .map_err(|e| ApiError::new(500, e.to_string(), "please report this"))?;
    w.changed();
    Ok(driven(&done?))
}

/// The parameters of a request: text, numbers and truth values.
fn given_params(body: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let wrong = |what: String| ApiError::new(400, what, "send {\"params\": {\"name\": \"value\"}}");
    let map = match body.get("params") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map,
        Some(other) => return Err(wrong(format!("`params` is {other}, not an object"))),
    };
    map.iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
            other => Err(wrong(format!("parameter `{name}` is {other}, not a value"))),
        })
        .collect()
}

fn target_of(body: &Value) -> Result<Option<&str>, ApiError> {
    match body.get("target") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(ApiError::new(
            400,
            format!("`target` is {other}, not text"),
            "`muster config show` lists the targets",
        )),
    }
}

async fn check(w: &Watch, target: Option<&str>, within: Option<Span>) -> Answer {
    let config = w.app.config();
    let wrong = |e: String| ApiError::new(400, e, "`muster config show` lists the targets");
    let clusters: Vec<String> = match target {
        Some(t) => vec![config.target(Some(t)).map_err(wrong)?.0.reach.name.clone()],
        None => config.clusters.iter().map(|c| c.reach.name.clone()).collect(),
    };
    let only = target
        .map(|t| config.target(Some(t)).map(|(_, a)| a))
        .transpose()
        .map_err(wrong)?;
    let (mut findings, mut gaps, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let mut cost = json!({});
    let mut deep = Vec::new();
    let mut taken_at = w.app.engine.now();
    for name in &clusters {
        let (Some(cluster), Some(settings)) = (w.app.estate.cluster(name), config.cluster(name)) else {
            continue;
        };
        let observer = muster_observe::Observer::new(cluster.clone(), config.cadence);
        // Three looks in a second: as many misses as make a server down. Catalogues at the first and the last: two are enough
        // for what counts.
        let first = observer.pass(w.app.engine.now(), Extent::All).await;
        let (mut state, mut judged) = judge(&RuleState::default(), &first, &settings.thresholds, Mode::Check);
        let mut last = first;
        for extent in [Extent::Hot, Extent::All] {
            tokio::time::sleep(Span::from_millis(510).duration()).await;
            last = observer.pass(w.app.engine.now(), extent).await;
            if let Some(within) = within.filter(|_| extent == Extent::All) {
                let (told, open) = super::deep::look(cluster, &mut last, only.as_deref(), within).await;
                deep.push(told);
                unknown.extend(open);
            }
            (state, judged) = judge(&state, &last, &settings.thresholds, Mode::Check);
        }
        let mut told = correlate(&last, &judged.findings);
        for root in &mut told.roots {
            w.app.remedies(std::slice::from_mut(&mut root.cause));
            w.app.remedies(&mut root.symptoms);
        }
        findings.extend(told.all());
        gaps.extend(last.gaps.clone());
        unknown.extend(judged.unknown);
        unknown.extend(
            judged
                .health
                .iter()
                .filter(|(_, h)| *h == muster_model::Health::Unknown)
                .map(|(a, _)| muster_rules::Unknown {
                    kind: "reach".into(),
                    target: a.clone(),
                    why: "it cannot be read".into(),
                }),
        );
        cost = json!(last.cost);
        taken_at = last.taken_at;
    }
    if let Some(only) = only.filter(|o| !clusters.contains(o)) {
        findings.retain(|f| f.target == only);
        gaps.retain(|g| g.target == only);
        unknown.retain(|u| u.target == only);
    }
    let worst = findings.iter().filter(|f| !f.pending).map(|f| f.severity).max();
    let status = match worst {
        Some(muster_model::Severity::Critical) => "critical",
        _ if !unknown.is_empty() => "unknown",
        Some(muster_model::Severity::Warning) => "warning",
        _ => "ok",
    };
    let mut answer = json!({
        "status": status, "taken_at": taken_at, "findings": findings, "gaps": gaps, "unknown": unknown, "cost": cost,
    });
    if within.is_some() {
        answer["deep"] = json!(deep);
    }
    Ok(answer)
}

/// For how long `--deep` may look; nothing where it is not asked for.
fn within_of(body: &Value) -> Result<Option<Span>, ApiError> {
    match body.get("deep_ms") {
        None | Some(Value::Null) => Ok(None),
        Some(ms) => match ms.as_u64() {
            Some(ms) if (1..=3_600_000).contains(&ms) => Ok(Some(Span::from_millis(ms))),
            _ => Err(ApiError::new(
                400,
                format!("`deep_ms` is {ms}, not a time of at most an hour"),
                "give it as --within 30s",
            )),
        },
    }
}

fn incidents(w: &Watch) -> Answer {
    let mut out = Vec::new();
    for i in w.desk.all() {
        let mut runs = Vec::new();
        for id in &i.runs {
            let (_, run) = w.app.engine.run(id)?;
            let steps: Vec<Value> = run
                .steps
                .iter()
                .map(|s| json!({"id": s.id, "uses": s.uses, "targets": s.targets, "outcome": s.outcome}))
                .collect();
            let outcome = run.outcome.map(muster_model::RunOutcome::word);
            runs.push(json!({"id": run.id, "runbook": run.runbook.id, "outcome": outcome, "steps": steps}));
        }
        out.push(json!({
            "id": i.id, "state": i.state, "severity": i.severity, "target": i.target, "cause": i.cause,
            "symptoms": i.symptoms, "opened_at": i.opened_at, "detected_at": i.detected_at,
            "first_action_at": i.first_action_at, "resolved_at": i.resolved_at, "runs": runs,
        }));
    }
    Ok(json!(out))
}

fn incident_story(w: &Watch, incident: &Incident) -> Result<Story, ApiError> {
    let mut runs = Vec::new();
    for id in &incident.runs {
        runs.push(w.app.engine.run(id)?);
    }
    let entries = w
        .app
        .engine
        .journal()
        .of_incident(&incident.id)
        .map_err(EngineError::from)?;
    let onset = entries
        .iter()
        .find_map(|e| match &e.event {
            Event::IncidentOpened { incident } => Some(incident.findings.clone()),
            _ => None,
        })
        .unwrap_or_default();
    Ok(Story {
        incident: incident.clone(),
        runs,
        timeline: story::timeline(&entries),
        onset,
        taken: entries
            .iter()
            .rev()
            .find(|e| matches!(e.event, Event::Acknowledged { .. }) && e.place.incident == incident.id)
            .map(|e| (e.who.clone(), e.at)),
    })
}

fn postmortem(w: &Watch, id: &str) -> Answer {
    let found = incident(w, id)?;
    let entries = w
        .app
        .engine
        .journal()
        .of_incident(&found.id)
        .map_err(EngineError::from)?;
    let evidence = w
        .app
        .engine
        .journal()
        .evidence(&found.id)
        .map_err(EngineError::from)?;
    Ok(json!({"markdown": story::postmortem(&found, &entries, &evidence)}))
}

/// The incident that a plan is to answer. What answers an incident may be exempt from windows, so it must be there, and the
/// runbook must be the one that answers it.
fn answered(w: &Watch, incident: &str, cluster: &str, runbook: &str) -> Result<String, ApiError> {
    let known = w.desk.get(incident);
    let open = known.filter(|k| is_open(k) && k.cluster == cluster && k.cause.kind != GLASS);
    let Some(open) = open else {
        let error = format!("there is no open incident `{incident}` on {cluster}");
        return Err(ApiError::new(400, error, "`muster incident list` shows them"));
    };
    let library = w.app.library();
    let answer = library.answers(&open.cause.kind).map(|r| r.id.clone());
    // What only looks may be run for any incident: no window holds it back.
    let looks = library
        .get(runbook)
        .is_some_and(muster_runbooks::Runbook::read_only);
    if looks || answer.as_deref() == Some(runbook) {
        return Ok(open.id);
    }
    let remedy = match answer {
        Some(answer) => format!("plan `{answer}`, or plan `{runbook}` without an incident"),
        None => format!("no runbook does; plan `{runbook}` without an incident"),
    };
    let error = format!("`{runbook}` does not answer {} of {incident}", open.cause.kind);
    Err(ApiError::new(400, error, remedy))
}

async fn plan(w: &Arc<Watch>, who: &str, body: &Value) -> Answer {
    let config = w.app.config();
    let id = body.get("runbook").and_then(Value::as_str).unwrap_or_default();
    let library = w.app.library();
    let runbook = library.get(id).ok_or_else(|| {
        let known: Vec<String> = library.iter().map(|s| s.runbook.id.clone()).collect();
        let help = muster_runbooks::problem::did_you_mean(id, known.iter().map(String::as_str));
        ApiError::new(
            400,
            format!("there is no runbook `{id}`"),
            help.unwrap_or_else(|| format!("there are: {}", known.join(", "))),
        )
    })?;
    let (settings, target) = config
        .target(target_of(body)?)
        .map_err(|e| ApiError::new(400, e, "`muster config show` lists the targets"))?;
    let given = given_params(body)?;
    let params = muster_runbooks::params(runbook, &given).map_err(|p| {
        ApiError::new(
            400,
            p.join("; "),
            format!("`muster runbook show {id}` lists its parameters"),
        )
    })?;
    let incident = match body.get("incident") {
        None | Some(Value::Null) => None,
        Some(Value::String(i)) => Some(answered(w, i, &settings.reach.name, id)?),
        Some(other) => {
            let error = format!("`incident` is {other}, not text");
            return Err(ApiError::new(400, error, "`muster incident list` shows them"));
        }
    };
    let request = Request {
        cluster: settings.reach.name.clone(),
        target,
        params,
        requested_by: who.to_owned(),
        incident: incident.clone(),
        valid: config.plan_valid,
        over_limits: body.get("over_limits") == Some(&Value::Bool(true)),
        library: &library,
        known: None,
    };
    let planned = w.app.engine.plan(runbook, request).await?;
    if let Some(i) = incident.filter(|_| planned.journaled) {
        w.desk.planned(&i, &planned.plan.id);
    }
    w.changed();
    let refused = planned
        .refused
        .map(|r| json!({"guard": r.guard, "why": r.why, "remedy": r.remedy}));
    let rules = w.app.engine.rules(&planned.plan.scope.cluster);
    let needed = if planned.plan.result == PlanResult::Changes {
        guards::approvals_needed(&planned.plan, &rules.policy)
    } else {
        0
    };
    Ok(
        json!({"plan": planned.plan, "refused": refused, "approvals_needed": needed, "attached": planned.attached}),
    )
}

async fn apply(w: &Arc<Watch>, caller: &Caller, body: &Value) -> Answer {
    let remedy = "make a new plan with `muster plan`; a plan file is never edited";
    let plan: Plan = serde_json::from_value(body.get("plan").cloned().unwrap_or_default())
        .map_err(|e| ApiError::new(400, format!("this is not a plan file: {e}"), remedy))?;
    if !plan.intact() {
        return Err(ApiError::new(
            409,
            "the plan was edited: its digest does not fit its text",
            remedy,
        ));
    }
    let issued = w.app.engine.run(&plan.id).ok().map(|(p, _)| p.digest);
    if issued.as_deref() != Some(plan.digest.as_str()) {
        return Err(ApiError::new(
            409,
            "the plan was not issued by this state's journal",
            remedy,
        ));
    }
    let (_, run) = w.app.engine.run(&plan.id)?;
    if run.state == muster_model::RunState::Ended {
        return Ok(json!({"run": run, "refused": Value::Null, "waiting": Value::Null}));
    }
    if body.get("dry_run").and_then(Value::as_bool).unwrap_or(false) {
        return would(w, caller, &plan.id, "apply").await;
    }
    go_on(w, caller, &plan.id).await
}

/// What is to be frozen: everything, or the full name of a target.
fn frozen_scope(w: &Watch, body: &Value) -> Result<String, ApiError> {
    match target_of(body)? {
        None => Ok(String::new()),
        Some(t) => w
            .app
            .config()
            .target(Some(t))
            .map(|(_, address)| address)
            .map_err(|e| ApiError::new(400, e, "`muster config show` lists the targets")),
    }
}

fn driven(driven: &muster_engine::Driven) -> Value {
    use muster_engine::Driven;
    let (refused, waiting) = match driven {
        Driven::Refused(_, r) => (
            json!({"guard": r.guard, "why": r.why, "remedy": r.remedy}),
            Value::Null,
        ),
        Driven::Waiting(_, what) => (Value::Null, json!(what)),
        Driven::Ended(_) | Driven::Parked(_) => (Value::Null, Value::Null),
    };
    json!({"run": driven.run(), "refused": refused, "waiting": waiting})
}

/// Somebody has an incident that is open, or a run that is open or ended badly.
fn ack(w: &Watch, who: &str, id: &str, why: &str) -> Answer {
    let over = |what: &str| {
        ApiError::new(
            409,
            format!("{what}: nobody is called about it"),
            "`muster incident list` and `muster runs list` show what there is",
        )
    };
    let place = if id == "latest" {
        let all = w.desk.all();
        let open = all.iter().rev().find(|i| is_open(i));
        let found = open.ok_or_else(|| over("no incident is open"))?;
        second_person(w, who, found)?;
        Place::incident(&found.id)
    } else if let Some(found) = w.desk.get(id) {
        if !is_open(&found) {
            return Err(over(&format!("incident {id} is over")));
        }
        second_person(w, who, &found)?;
        Place::incident(&found.id)
    } else {
        let (plan, run) = w.app.engine.run(id)?;
        let fine = run.outcome.is_some_and(|o| !o.needs_human());
        if fine {
            return Err(over(&format!("run {id} is over")));
        }
        Place::run(&plan.id, plan.incident.as_deref())
    };
    let what = if place.run.is_empty() {
        place.incident.clone()
    } else {
        place.run.clone()
    };
    w.app.engine.acknowledge(who, &place, why)?;
    w.changed();
    Ok(json!({"acknowledged": what}))
}

/// A broken glass is in the hand of a second person, and of no program.
fn second_person(w: &Watch, who: &str, incident: &Incident) -> Result<(), ApiError> {
    if incident.cause.kind != GLASS {
        return Ok(());
    }
    let service = w
        .app
        .engine
        .principals()?
        .iter()
        .any(|p| p.name == who && p.service);
    if service || incident.cause.subject == muster_model::Subject::new("person", who) {
        let error = format!("{who} cannot be the second person for {}", incident.id);
        return Err(ApiError::new(409, error, "somebody else says `muster ack`"));
    }
    Ok(())
}

/// Sends a test through one channel, or through all.
async fn trial(w: &Watch, who: &str, only: Option<&str>) -> Answer {
    let notify = w.app.config().notify.clone();
    let known: Vec<&str> = notify.channels.keys().map(String::as_str).collect();
    let remedy = "docs/guides/notifications.md says how one is made";
    if known.is_empty() {
        return Err(ApiError::new(
            400,
            "the config names no channel under `notify.channels`",
            remedy,
        ));
    }
    if let Some(asked) = only.filter(|c| !known.contains(c)) {
        let error = format!("there is no channel `{asked}`; there are: {}", known.join(", "));
        return Err(ApiError::new(400, error, remedy));
    }
    let postman =
        Postman::new().map_err(|e| ApiError::new(500, e, "look at the certificates of this system"))?;
    let now = w.app.engine.now();
    let mut out = Vec::new();
    for (name, channel) in notify
        .channels
        .iter()
        .filter(|(n, _)| only.is_none_or(|o| o == *n))
    {
        let mut message = due::trial(name, who, now);
        let mut result = postman.send(channel, &message, now).await;
        if result.is_ok() {
            // What was raised is ended, so that nobody is called again for a test.
            message.notice = Notice::Over;
            message.id = muster_model::digest_of_bytes(format!("{} over", message.id).as_bytes());
            result = postman.send(channel, &message, now).await;
        }
        out.push(
            json!({"channel": name, "kind": channel.kind(), "taken": result.is_ok(),
            "why": result.err().map(|r| r.why)}),
        );
    }
    Ok(json!(out))
}

fn explain(w: &Watch, asked: &str) -> Answer {
    let told = read(&w.told);
    let mut out = Vec::new();
    let is = |f: &muster_model::Finding| f.kind == asked || f.subject.0 == asked || f.key() == asked;
    for (cluster, correlated) in told.iter() {
        for root in &correlated.roots {
            let members: Vec<_> = std::iter::once(&root.cause).chain(&root.symptoms).collect();
            if members.iter().any(|f| is(f)) {
                let rules: Vec<Value> = members.iter().map(|f| rule_of(w, cluster, f)).collect();
                out.push(json!({"cause": root.cause, "symptoms": root.symptoms, "why": root.why, "severity": root.severity, "rules": rules}));
            }
        }
        for f in correlated.rest.iter().filter(|f| is(f)) {
            out.push(json!({"cause": f, "symptoms": [], "why": [f.summary], "severity": Value::Null, "rules": [rule_of(w, cluster, f)]}));
        }
    }
    if out.is_empty() {
        let error = format!("there is no finding `{asked}` now");
        return Err(ApiError::new(
            404,
            error,
            "`muster check` lists the findings; give a kind or a subject",
        ));
    }
    Ok(json!(out))
}

/// Which rule found it: what it looks at, with which thresholds, what it leaves out, and when it was last proved able to fire.
fn rule_of(w: &Watch, cluster: &str, f: &muster_model::Finding) -> Value {
    let config = w.app.config();
    let thresholds = config.cluster(cluster).and_then(|c| c.thresholds.0.get(&f.kind));
    let pictures = read(&w.pictures);
    let proved = pictures.get(cluster).and_then(|p| p.proved.as_ref());
    let fires = proved.and_then(|(at, all)| {
        let own = all.iter().find(|p| p.kind == f.kind)?;
        Some(json!({"at": at, "fires": own.fires, "quiet": own.quiet}))
    });
    let rule = muster_rules::catalogue().into_iter().find(|r| r.kind == f.kind);
    json!({
        "kind": f.kind,
        "about": rule.as_ref().map(|r| r.about),
        "ignores": rule.as_ref().map(|r| r.ignores),
        "advice": rule.as_ref().map(|r| r.advice),
        "thresholds": thresholds,
        "proved": fires,
    })
}

/// Everything that a page shows.
///
/// # Errors
/// When the journal cannot be read.
pub fn view(w: &Watch) -> Result<View, ApiError> {
    let config = w.app.config();
    let mut stories = Vec::new();
    let mut all = w.desk.all();
    all.reverse();
    let (open, over): (Vec<Incident>, Vec<Incident>) = all.into_iter().partition(is_open);
    for i in open.iter().chain(over.iter().take(10)) {
        stories.push(incident_story(w, i)?);
    }
    let mut notices = w.notices();
    for (scope, why) in w.app.engine.freezes()? {
        let of = if scope.is_empty() {
            String::new()
        } else {
            format!(" of {scope}")
        };
        notices.push(format!("Changes{of} are frozen: {why}."));
    }
    if config.policy.solo {
        notices.push("policy.solo is on: who asks for a disruptive run may approve it.".to_owned());
    }
    if !config.policy.require_proof {
        notices.push("policy.require_proof is off: autopilot acts without a passed drill.".to_owned());
    }
    Ok(View {
        at: w.app.engine.now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        watched: w.app.estate.clusters().len(),
        clusters: read(&w.pictures).values().cloned().collect(),
        stories,
        notices,
    })
}
