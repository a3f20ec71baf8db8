//! A run as its journal tells it: a pure fold.

use muster_model::{
    AttemptRecord, Outcome, Plan, PlannedStep, Run, RunOutcome, RunState, StepPlan, StepRecord, Time, Verdict,
};

use crate::journal::{Entry, Event};
use crate::progress::attempt_key;

/// The plan of a run.
#[must_use]
pub fn plan_of(entries: &[Entry]) -> Option<&Plan> {
    entries.iter().find_map(|e| match &e.event {
        Event::Planned { plan } => Some(plan),
        _ => None,
    })
}

/// The run that these entries tell of; `needs_approval` says whether policy wants signatures that are not there yet.
#[must_use]
pub fn fold(plan: &Plan, entries: &[Entry], needs_approval: bool) -> Run {
    let mut run = Run {
        id: plan.id.clone(),
        runbook: plan.runbook.clone(),
        scope: plan.scope.clone(),
        digest: plan.digest.clone(),
        requested_by: plan.requested_by.clone(),
        incident: plan.incident.clone(),
        state: if needs_approval {
            RunState::WaitingApproval
        } else {
            RunState::Ready
        },
        outcome: None,
        detail: String::new(),
        approvals: Vec::new(),
        created_at: plan.created_at,
        expires_at: plan.expires_at,
        first_action_at: None,
        ended_at: None,
        steps: plan.steps.iter().map(|s| step_record(s, entries)).collect(),
    };
    for e in entries {
        match &e.event {
            Event::Approved { approval } if e.place.step.is_empty() => run.approvals.push(approval.clone()),
            Event::Started { .. } | Event::Resumed => run.state = RunState::Running,
            Event::Parked { why } => {
                run.state = RunState::Parked;
                run.detail.clone_from(why);
            }
            Event::Intent { undo: false, .. } => {
                run.first_action_at.get_or_insert(e.at);
            }
            Event::Ended { outcome, detail } => {
                run.state = RunState::Ended;
                run.outcome = Some(*outcome);
                run.detail.clone_from(detail);
                run.ended_at = Some(e.at);
            }
            _ => {}
        }
    }
    run
}

fn step_record(step: &PlannedStep, entries: &[Entry]) -> StepRecord {
    let mine: Vec<&Entry> = entries.iter().filter(|e| e.place.step == step.id).collect();
    let (uses, targets) = match &step.plan {
        StepPlan::Action { uses, targets, .. } => (uses.clone(), targets.clone()),
        other => (other.uses().unwrap_or(other.word()).to_owned(), Vec::new()),
    };
    let mut attempts: Vec<AttemptRecord> = Vec::new();
    let mut outcome = "pending".to_owned();
    for e in &mine {
        match &e.event {
            Event::Intent { target, undo } => {
                attempts.push(AttemptRecord {
                    target: target.label.clone(),
                    at: e.at,
                    outcome: None,
                    undo: *undo,
                });
                "running".clone_into(&mut outcome);
            }
            Event::Tried { outcome: o, undo } => {
                if let Some(last) = attempts
                    .iter_mut()
                    .rev()
                    .find(|a| a.undo == *undo && a.outcome.is_none())
                {
                    last.outcome = Some(o.clone());
                }
            }
            Event::ProbeRead { go_on, expected, .. } => {
                if *go_on && *expected { "done" } else { "not_done" }.clone_into(&mut outcome);
            }
            Event::Verified { verdict, .. } => match verdict {
                Verdict::Proven { .. } => "proven",
                Verdict::Refuted { .. } => "refuted",
                Verdict::Unknown { .. } => "unknown",
            }
            .clone_into(&mut outcome),
            Event::Approved { .. } | Event::Waited | Event::Recorded { .. } => {
                "done".clone_into(&mut outcome);
            }
            _ => {}
        }
    }
    if let StepPlan::Action { .. } = &step.plan {
        outcome = action_outcome(&targets, &mine);
    }
    StepRecord {
        id: step.id.clone(),
        uses,
        targets: targets.into_iter().map(|t| t.label).collect(),
        outcome,
        attempts,
    }
}

fn action_outcome(targets: &[muster_model::FrozenTarget], mine: &[&Entry]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for target in targets {
        let last = |undo| {
            let key = attempt_key(target, undo);
            mine.iter().rev().find_map(move |e| match &e.event {
                Event::Tried { outcome, .. } if e.place.target == key => Some(outcome.word()),
                Event::Observed { observation, .. } if e.place.target == key => Some(match observation {
                    muster_model::Observation::Done { .. } if !undo => "done",
                    muster_model::Observation::NotDone { .. } if undo => "done",
                    muster_model::Observation::Done { .. } | muster_model::Observation::NotDone { .. } => {
                        "not_done"
                    }
                    muster_model::Observation::Unknown { .. } => "indeterminate",
                }),
                Event::Intent { .. } if e.place.target == key => Some("running"),
                _ => None,
            })
        };
        if last(true) == Some("done") {
            words.push("undone");
        } else {
            words.push(last(false).unwrap_or("pending"));
        }
    }
    for worst in ["indeterminate", "failed", "running", "undone", "done", "not_done"] {
        if words.contains(&worst) {
            return worst.to_owned();
        }
    }
    if targets.is_empty() { "not_done" } else { "pending" }.to_owned()
}

/// What guards need to know about earlier runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Id.
    pub id: String,
    /// Runbook.
    pub runbook: String,
    /// Stable identity of its cluster.
    pub identity: String,
    /// Address it worked on.
    pub target: String,
    /// Whether its plan changes something.
    pub mutating: bool,
    /// Who asked.
    pub requested_by: String,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// How it ended.
    pub outcome: Option<RunOutcome>,
    /// How many effects it had.
    pub effects: u32,
}

/// The past of one run.
#[must_use]
pub fn past(plan: &Plan, entries: &[Entry]) -> Past {
    let mut past = Past {
        id: plan.id.clone(),
        runbook: plan.runbook.id.clone(),
        identity: plan.scope.identity.clone(),
        target: plan.scope.target.clone(),
        mutating: plan.target_count() > 0,
        requested_by: plan.requested_by.clone(),
        started_at: None,
        ended_at: None,
        outcome: None,
        effects: 0,
    };
    for e in entries {
        match &e.event {
            Event::Started { .. } => past.started_at = Some(e.at),
            Event::Ended { outcome, .. } => {
                past.ended_at = Some(e.at);
                past.outcome = Some(*outcome);
            }
            Event::Tried {
                outcome: Outcome::Done { .. },
                undo: false,
            } => past.effects += 1,
            _ => {}
        }
    }
    past
}
