//! Plans and runs: make, show, approve, carry out, look back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_model::{Plan, PlanResult, Run, RunState, StepPlan, TimelineEntry, UndoPlan};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::exit::{CHANGES, Failure, REFUSED, USAGE, WAITING, of_run};
use super::print::{self, coloured, field};
use super::session::Session;
use crate::view::two_glasses;

/// What to plan.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Id of the runbook
    pub runbook: String,
    /// Cluster, or one of its servers or poolers
    #[arg(long, short)]
    pub target: Option<String>,
    /// Parameter, name=value; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// Open incident that it belongs to: its story and its postmortem tell of the run
    #[arg(long, value_name = "ID")]
    pub incident: Option<String>,
}

/// What about runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs
    List,
    /// Show one with its plan and what happened
    Show {
        /// Id; without it the newest that waits, else the newest
        #[arg(default_value = "latest", hide_default_value = true)]
        id: String,
    },
    /// Go on with one that was stopped
    Resume {
        /// Id of the run
        id: String,
        /// Say what would happen, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Stop one; what was done is undone where it can be
    Cancel {
        /// Id of the run
        id: String,
        /// Reason, for the journal
        #[arg(long)]
        why: String,
        /// Say what would happen, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Give up on one that cannot go on; its effects stay
    Abandon {
        /// Id of the run
        id: String,
        /// Reason, for the journal
        #[arg(long)]
        why: String,
        /// Say what would happen, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    serde_json::from_value(value.clone()).map_err(|e| {
        Failure::new(
            1,
            format!("an answer cannot be read: {e}"),
            "use the same version everywhere",
        )
    })
}

async fn make(s: &Session, args: &PlanArgs, over_limits: bool) -> Result<Value, Failure> {
    let mut params = BTreeMap::new();
    for p in &args.param {
        let Some((name, value)) = p.split_once('=') else {
            return Err(Failure::new(
                USAGE,
                format!("`{p}` is not a parameter"),
                "write --param name=value",
            ));
        };
        params.insert(name, value);
    }
    s.call(
        "POST",
        "/api/v1/plans",
        json!({"runbook": args.runbook, "target": args.target, "params": params, "over_limits": over_limits,
            "incident": args.incident}),
    )
    .await
}

/// `muster plan`.
///
/// # Errors
/// When no plan can be made.
pub async fn plan(
    s: &Session,
    args: &PlanArgs,
    over_limits: bool,
    output: Option<&Path>,
    as_json: bool,
) -> Result<u8, Failure> {
    let answer = make(s, args, over_limits).await?;
    let plan: Plan = read(&answer["plan"])?;
    if answer["attached"] == true {
        print::note(format!(
            "run {} of `{}` is under way on it already; this is its plan",
            plan.id, plan.runbook.id
        ));
    }
    if let Some(path) = output {
        let text = serde_json::to_string_pretty(&plan).unwrap_or_default();
        std::fs::write(path, text).map_err(|e| {
            Failure::new(
                1,
                format!("{}: {e}", path.display()),
                "choose another file with -o",
            )
        })?;
    }
    if as_json {
        print::json(&answer);
    } else {
        show_plan(&plan);
        if let Some(path) = output {
            print::note(format!(
                "written to {}; carry it out with `muster apply {}`",
                path.display(),
                path.display()
            ));
        }
    }
    if let Some(refused) = answer.get("refused").filter(|r| !r.is_null()) {
        let message = format!(
            "guard `{}` refuses: {}",
            field(refused, "guard"),
            field(refused, "why")
        );
        return Err(Failure::new(REFUSED, message, field(refused, "remedy")));
    }
    Ok(if plan.result == PlanResult::Changes {
        CHANGES
    } else {
        0
    })
}

/// A plan for people. Where Muster may not act, with the statements for a person who does it by hand.
pub fn show_plan(plan: &Plan) {
    let by_hand = !plan.facts.can_act;
    print::line(format!(
        "{}  {} on {}",
        plan.runbook.title.bold(),
        plan.runbook.id,
        plan.scope.target
    ));
    match &plan.result {
        PlanResult::Changes => {}
        PlanResult::Nothing { why } => return print::line(format!("Nothing to do: {why}.")),
        PlanResult::Declined { why, named, .. } => {
            print::line(format!("Declined: {why}."));
            if let Some(named) = named.as_ref().filter(|n| *n != "ok") {
                print::line(format!("It is {}.", coloured(named)));
            }
            return;
        }
        PlanResult::Report { verdict, summary } => {
            return print::line(format!("{}: {summary}", coloured(verdict).bold()));
        }
    }
    print::line(format!(
        "plan {} · risk {} · asked for by {} · expires {} · digest {}",
        plan.id,
        plan.risk.word(),
        plan.requested_by,
        plan.expires_at.clock(),
        &plan.digest[..plan.digest.len().min(12)]
    ));
    for step in &plan.steps {
        match &step.plan {
            StepPlan::Action {
                uses,
                targets,
                blast,
                undo,
                abort_if,
                ..
            } => {
                print::line(format!("  {} {} {}", "→".red(), step.id.bold(), uses.dimmed()));
                print::line(format!("      {}", blast.summary));
                for t in targets {
                    print::line(format!("      · {}", t.label));
                    if by_hand && let Some(sql) = t.json.get("by_hand").and_then(Value::as_str) {
                        print::line(format!("        {}", sql.dimmed()));
                    }
                }
                match undo {
                    UndoPlan::Inverse { how } => print::line(format!("      undo: {how}")),
                    UndoPlan::None { why } => print::line(format!("      {why}")),
                }
                for a in abort_if {
                    print::line(format!("      stops when {}", a.when));
                }
            }
            StepPlan::Verify { checks, hold, within } => {
                let all: Vec<&str> = checks.iter().map(|c| c.until.as_str()).collect();
                print::line(format!(
                    "  {} {} {} held for {hold}, within {within}",
                    "✓".green(),
                    step.id.bold(),
                    all.join(" and ")
                ));
            }
            StepPlan::Probe { uses, .. } => print::line(format!("  · {} {}", step.id, uses.dimmed())),
            other => print::line(format!("  · {} {}", step.id, other.word())),
        }
    }
    if plan.over_limits {
        print::line(format!("  {}", two_glasses(plan)));
    }
    if let Some(step) = &plan.point_of_no_return {
        print::line(format!("  no way back from step `{step}` on"));
    }
}

/// `muster apply`.
///
/// # Errors
/// When it is refused.
pub async fn apply(s: &Session, what: &str, dry: bool, as_json: bool) -> Result<u8, Failure> {
    let plan: Value = if Path::new(what).exists() {
        let text = std::fs::read_to_string(what).map_err(|e| {
            Failure::new(
                1,
                format!("{what}: {e}"),
                "give the file that `muster plan -o` wrote",
            )
        })?;
        serde_json::from_str(&text).map_err(|e| {
            Failure::new(
                REFUSED,
                format!("{what} is not a plan: {e}"),
                "make a new one with `muster plan -o`",
            )
        })?
    } else {
        s.call("GET", &format!("/api/v1/runs/{what}"), json!({})).await?["plan"].clone()
    };
    if dry {
        let body = json!({"plan": plan, "dry_run": true});
        let answer = s.call("POST", "/api/v1/plans/apply", body).await?;
        if !as_json {
            show_plan(&read(&plan)?);
        }
        if answer.get("says").is_none() {
            return going(s, &answer, as_json).await;
        }
        return said(&answer, "apply", as_json);
    }
    carry_out(s, &plan, as_json).await
}

/// Says what a verb would do to a run; leaves as the verb would when a guard refuses.
async fn would(s: &Session, id: &str, verb: &str, as_json: bool) -> Result<u8, Failure> {
    let answer = s
        .call("GET", &format!("/api/v1/runs/{id}/would/{verb}"), json!({}))
        .await?;
    said(&answer, verb, as_json)
}

fn said(answer: &Value, verb: &str, as_json: bool) -> Result<u8, Failure> {
    if as_json {
        print::json(answer);
    } else {
        print::line(format!("`{verb}` would do this, and nothing was done:"));
        for line in answer["says"].as_array().into_iter().flatten() {
            print::line(format!("  {}", line.as_str().unwrap_or_default()));
        }
    }
    match answer.get("refused").filter(|r| !r.is_null()) {
        None => Ok(0),
        // The one that is not final: it would wait.
        Some(r)
            if verb != "approve"
                && matches!(r["guard"].as_str(), Some("approval" | "window" | "one_run")) =>
        {
            if !as_json {
                print::line(format!(
                    "It would wait: {}; {}.",
                    field(r, "why"),
                    field(r, "remedy")
                ));
            }
            Ok(WAITING)
        }
        Some(_) if as_json => Ok(REFUSED),
        Some(r) => {
            let message = format!("guard `{}` would refuse: {}", field(r, "guard"), field(r, "why"));
            Err(Failure::new(REFUSED, message, field(r, "remedy")))
        }
    }
}

async fn carry_out(s: &Session, plan: &Value, as_json: bool) -> Result<u8, Failure> {
    let answer = s
        .call("POST", "/api/v1/plans/apply", json!({"plan": plan}))
        .await?;
    going(s, &answer, as_json).await
}

/// After a start was asked for: refused, waiting, or followed to its end.
async fn going(s: &Session, answer: &Value, as_json: bool) -> Result<u8, Failure> {
    if let Some(r) = answer.get("refused").filter(|r| !r.is_null()) {
        let message = format!("guard `{}` refuses: {}", field(r, "guard"), field(r, "why"));
        return Err(Failure::new(REFUSED, message, field(r, "remedy")));
    }
    let run: Run = read(&answer["run"])?;
    if let Some(what) = answer.get("waiting").and_then(Value::as_str) {
        if as_json {
            print::json(&answer["run"]);
        } else {
            print::line(format!(
                "Run {} waits: {what}. An approver runs `muster approve {}`.",
                run.id, run.id
            ));
        }
        return Ok(WAITING);
    }
    let run = follow(s, &run.id, as_json).await?;
    Ok(of_run(&run))
}

/// Follows a run to its end, telling what happens.
async fn follow(s: &Session, id: &str, as_json: bool) -> Result<Run, Failure> {
    let mut told = 0;
    loop {
        let answer = s.call("GET", &format!("/api/v1/runs/{id}"), json!({})).await?;
        let run: Run = read(&answer["run"])?;
        if !as_json {
            // By entry, not by line: many alike become one line as they go on.
            let lines: Vec<TimelineEntry> = read(&answer["timeline"])?;
            for line in lines.iter().filter(|l| l.through > told) {
                print::line(format!("{} {}", line.at.clock().dimmed(), line.text));
            }
            told = lines.last().map_or(told, |l| l.through);
        }
        if let Some(question) = answer["asks"].as_str() {
            if as_json {
                print::json(&answer["run"]);
            } else {
                print::line(format!(
                    "Run {} asks: {question} Answer with `muster approve {}`.",
                    run.id, run.id
                ));
            }
            return Ok(run);
        }
        if matches!(
            run.state,
            RunState::Ended | RunState::WaitingApproval | RunState::Parked
        ) {
            if as_json {
                print::json(&answer["run"]);
            }
            return Ok(run);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// `muster run`.
///
/// # Errors
/// When no plan can be made, or it is refused.
pub async fn run(
    s: &Session,
    args: &PlanArgs,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> Result<u8, Failure> {
    let answer = make(s, args, false).await?;
    let plan: Plan = read(&answer["plan"])?;
    if !as_json {
        show_plan(&plan);
    }
    if let Some(r) = answer.get("refused").filter(|r| !r.is_null()) {
        let message = format!("guard `{}` refuses: {}", field(r, "guard"), field(r, "why"));
        return Err(Failure::new(REFUSED, message, field(r, "remedy")));
    }
    if plan.result != PlanResult::Changes || dry_run {
        if as_json {
            print::json(&answer);
        }
        return Ok(if plan.result == PlanResult::Changes {
            CHANGES
        } else {
            0
        });
    }
    if !yes && as_json {
        return Err(Failure::new(
            USAGE,
            "with --json nobody can be asked",
            "add --yes, or use `muster plan` and `muster apply`",
        ));
    }
    if !yes {
        let asked = inquire::Confirm::new("Go ahead?").with_default(false).prompt();
        if !asked.unwrap_or(false) {
            print::line("Left alone.");
            return Ok(0);
        }
    }
    carry_out(s, &answer["plan"], as_json).await
}

/// `muster approve`.
///
/// # Errors
/// When this person may not, or the plan is over.
pub async fn approve(
    s: &Session,
    id: &str,
    yes: bool,
    dry: bool,
    target: Option<&str>,
    as_json: bool,
) -> Result<u8, Failure> {
    let answer = s.call("GET", &format!("/api/v1/runs/{id}"), json!({})).await?;
    let plan: Plan = read(&answer["plan"])?;
    if dry {
        if !as_json {
            show_plan(&plan);
        }
        return would(s, &plan.id, "approve", as_json).await;
    }
    if !as_json && !yes {
        show_plan(&plan);
        // At a terminal a person may still think again; a script has said what it wants.
        if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            let asked = inquire::Confirm::new("Sign it?").with_default(false).prompt();
            if !asked.unwrap_or(false) {
                print::line("Not signed.");
                return Ok(WAITING);
            }
        }
    }
    let answer = s
        .call(
            "POST",
            &format!("/api/v1/runs/{}/approve", plan.id),
            json!({"target": target}),
        )
        .await?;
    let run: Run = read(&answer["run"])?;
    if !as_json {
        let more = if run.state == RunState::WaitingApproval {
            " Another approval is needed."
        } else {
            ""
        };
        print::line(format!("Approved by {}.{more}", s.who.bold()));
    }
    going(s, &answer, as_json).await
}

/// `muster break-glass`.
///
/// # Errors
/// When this person may not, or a guard refuses that no glass lifts.
pub async fn break_glass(
    s: &Session,
    id: &str,
    target: &str,
    why: &str,
    as_json: bool,
) -> Result<u8, Failure> {
    let answer = s
        .call(
            "POST",
            &format!("/api/v1/runs/{id}/break-glass"),
            json!({"target": target, "why": why}),
        )
        .await?;
    if !as_json {
        print::line(format!(
            "You broke the glass. Incident {} stays open until a second person has written down what was learnt and closes it.",
            field(&answer, "incident").bold()
        ));
        if answer["called"] != true {
            print::note(
                "nobody was called: no daemon runs, or it has no channels. Tell a second person yourself",
            );
        }
    }
    going(s, &answer, as_json).await
}

/// `muster reject`.
///
/// # Errors
/// When the plan is over.
pub async fn reject(s: &Session, id: &str, why: &str, as_json: bool) -> Result<u8, Failure> {
    let answer = s.call("GET", &format!("/api/v1/runs/{id}"), json!({})).await?;
    let plan: Plan = read(&answer["plan"])?;
    let run = s
        .call(
            "POST",
            &format!("/api/v1/runs/{}/reject", plan.id),
            json!({"why": why}),
        )
        .await?;
    if as_json {
        print::json(&run);
    } else {
        print::line(format!("Rejected: {} on {}.", plan.runbook.id, plan.scope.target));
    }
    Ok(0)
}

/// `muster runs …`.
///
/// # Errors
/// The refusal.
pub async fn runs(s: &Session, command: RunsCommand, as_json: bool) -> Result<u8, Failure> {
    let (id, verb, why) = match &command {
        RunsCommand::List => {
            let answer = s.call("GET", "/api/v1/runs", json!({})).await?;
            if as_json {
                print::json(&answer);
                return Ok(0);
            }
            let runs: Vec<Run> = read(&answer)?;
            let rows = runs.iter().map(|r| {
                let state = r
                    .outcome
                    .map_or_else(|| state_word(&r.state), |o| o.word().to_owned());
                vec![
                    r.id.clone(),
                    r.runbook.id.clone(),
                    r.scope.target.clone(),
                    coloured(&state),
                    r.created_at.clock(),
                    r.detail.clone(),
                ]
            });
            print::table(
                &["run", "runbook", "target", "state", "made", "detail"],
                rows.collect(),
            );
            return Ok(0);
        }
        RunsCommand::Show { id } => {
            let answer = s.call("GET", &format!("/api/v1/runs/{id}"), json!({})).await?;
            if as_json {
                print::json(&answer);
                return Ok(0);
            }
            let (plan, run): (Plan, Run) = (read(&answer["plan"])?, read(&answer["run"])?);
            show_plan(&plan);
            for line in answer["timeline"].as_array().cloned().unwrap_or_default() {
                let at = field(&line, "at").get(11..19).unwrap_or_default().to_owned();
                print::line(format!(
                    "{} {} [{}]",
                    at.dimmed(),
                    field(&line, "text"),
                    field(&line, "entry")
                ));
            }
            return Ok(of_run(&run));
        }
        RunsCommand::Resume { id, dry_run: true } => return would(s, id, "resume", as_json).await,
        RunsCommand::Cancel {
            id, dry_run: true, ..
        } => return would(s, id, "cancel", as_json).await,
        RunsCommand::Abandon {
            id, dry_run: true, ..
        } => return would(s, id, "abandon", as_json).await,
        RunsCommand::Resume { id, .. } => (id, "resume", String::new()),
        RunsCommand::Cancel { id, why, .. } => (id, "cancel", why.clone()),
        RunsCommand::Abandon { id, why, .. } => (id, "abandon", why.clone()),
    };
    let answer = s
        .call("POST", &format!("/api/v1/runs/{id}/{verb}"), json!({"why": why}))
        .await?;
    if verb == "resume" {
        return going(s, &answer, as_json).await;
    }
    let answer = if verb == "cancel" {
        answer["run"].clone()
    } else {
        answer
    };
    let run: Run = read(&answer)?;
    if as_json {
        print::json(&answer);
    } else {
        let state = run
            .outcome
            .map_or_else(|| state_word(&run.state), |o| o.word().to_owned());
        print::line(format!("Run {} is {}.", run.id, coloured(&state)));
    }
    Ok(0)
}

fn state_word(state: &RunState) -> String {
    match state {
        RunState::WaitingApproval => "waits for approval",
        RunState::Waiting { .. } => "waits",
        RunState::Ready => "ready",
        RunState::Running => "running",
        RunState::Parked => "parked",
        RunState::Ended => "ended",
    }
    .to_owned()
}
