//! What a verb would do to a run now, without doing it.

use muster_engine::principals::Role;
use muster_engine::{EngineError, Event, If, Starter, guards};
use muster_model::{Plan, Run};
use serde_json::json;

use super::api::{Answer, ApiError, Caller, run_of};
use super::watch::Watch;

/// What a verb would do to a run now, without doing it: sentences, and a guard that would refuse or make it wait.
pub(super) async fn would(w: &Watch, caller: &Caller, id: &str, verb: &str) -> Answer {
    let who = &caller.who;
    let (plan, run) = run_of(w, id)?;
    let told = |says: Vec<String>, refused: Option<guards::Refusal>| {
        let refused = refused.map(|r| json!({"guard": r.guard, "why": r.why, "remedy": r.remedy}));
        Ok(json!({"run": plan.id, "says": says, "refused": refused}))
    };
    if run.state == muster_model::RunState::Ended {
        return told(vec![format!("Nothing: run {} is over.", plan.id)], None);
    }
    let engine = &w.app.engine;
    let entries = engine.journal().of_run(&plan.id).map_err(EngineError::from)?;
    let phase = if entries.iter().any(|e| matches!(e.event, Event::Started { .. })) {
        guards::Phase::Change
    } else {
        guards::Phase::Start
    };
    match verb {
        "approve" => {
            let policy = engine.rules(&plan.scope.cluster).policy;
            let refused = if caller.role < Some(Role::Approver) {
                Some(guards::Refusal {
                    guard: "approval",
                    why: format!("{who} may not do this: it takes the role approver"),
                    remedy: "ask an approver".to_owned(),
                    until: None,
                })
            } else {
                let person = guards::may_approve(&plan, &policy, who).err();
                let judged = engine
                    .judge_if(&plan, phase, Starter::Person(who.clone()), If::Signed(who))
                    .await?;
                // Another signature that is missing is no refusal of this one.
                person.or(judged.err().filter(|r| r.guard != "approval"))
            };
            let needed = guards::approvals_needed(&plan, &policy);
            let there = run.approvals.iter().filter(|a| a.by != *who).count() + 1;
            let digest: String = plan.digest.chars().take(12).collect();
            let mut says = vec![format!("{who} signs {digest}…: {there} of {needed} approvals.")];
            if plan.risk == muster_model::Risk::Irreversible {
                says.push(format!(
                    "The name of the target is typed: --target {}.",
                    plan.scope.target
                ));
            }
            if there >= needed && refused.is_none() {
                says.extend(would_do(&plan, &run, Would::GoOn));
            }
            told(says, refused)
        }
        "apply" | "resume" => {
            let refused = engine
                .judge(&plan, phase, Starter::Person(who.clone()))
                .await?
                .err();
            told(would_do(&plan, &run, Would::GoOn), refused)
        }
        "cancel" => told(would_do(&plan, &run, Would::TakeBack), None),
        "abandon" => told(would_do(&plan, &run, Would::Leave), None),
        other => Err(ApiError::new(
            404,
            format!("nobody can say what `{other}` would do"),
            "one of: apply, approve, resume, cancel, abandon",
        )),
    }
}

/// What becomes of the changes of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Would {
    GoOn,
    TakeBack,
    Leave,
}

/// A sentence for each changing step.
fn would_do(plan: &Plan, run: &Run, would: Would) -> Vec<String> {
    use muster_model::{StepPlan, UndoPlan};
    let mut out = Vec::new();
    for step in &plan.steps {
        let StepPlan::Action {
            targets, blast, undo, ..
        } = &step.plan
        else {
            continue;
        };
        let record = run.steps.iter().find(|s| s.id == step.id);
        let tried: std::collections::BTreeSet<&str> = record
            .into_iter()
            .flat_map(|s| &s.attempts)
            .filter(|a| !a.undo)
            .map(|a| a.target.as_str())
            .collect();
        let (id, begun, all) = (&step.id, tried.len(), targets.len());
        out.push(match (would, undo) {
            (Would::GoOn, _) if begun == 0 => format!("`{id}`: {}.", blast.summary),
            (Would::GoOn, _) => format!("`{id}` was begun at {begun} of {all} targets, and goes on."),
            (_, _) if begun == 0 => format!("`{id}` was not begun, and will not be."),
            (Would::TakeBack, UndoPlan::Inverse { how }) => {
                format!("`{id}` was begun at {begun} of {all} targets, and is taken back: {how}.")
            }
            (Would::TakeBack, UndoPlan::None { why }) => {
                format!("`{id}` was begun at {begun} of {all} targets, which stays: {why}.")
            }
            (Would::Leave, _) => {
                format!("`{id}` was begun at {begun} of {all} targets, which stays as it is.")
            }
        });
    }
    out
}
