//! A run as its journal tells it: a pure fold.

use muster_model::{
    AttemptRecord, FrozenTarget, Outcome, Plan, PlannedStep, Run, RunOutcome, RunState, StepPlan, StepRecord,
    Time, Verdict,
};

use crate::journal::{Entry, Event};
use crate::node::NodeState;
use crate::progress::Nodes;

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
    // A history that cannot have happened is said when somebody wants to go on with it; looking at it still works.
    let nodes = Nodes::fold(entries).unwrap_or_default();
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
        glass: None,
        glass_second: None,
        created_at: plan.created_at,
        expires_at: plan.expires_at,
        first_action_at: None,
        ended_at: None,
        steps: plan
            .steps
            .iter()
            .map(|s| step_record(s, entries, &nodes))
            .collect(),
    };
    for e in entries {
        match &e.event {
            Event::GlassBroken { digest, .. } if *digest == plan.digest => broke(&mut run, &e.who),
            Event::Approved { approval } if e.place.step.is_empty() => run.approvals.push(approval.clone()),
            Event::Started { .. }
            | Event::Resumed
            | Event::Waited
            | Event::Approved { .. }
            | Event::Unwinds { .. } => run.state = RunState::Running,
            Event::Waits { what, why, .. } => {
                run.state = RunState::Waiting {
                    what: what.word().to_owned(),
                };
                run.detail.clone_from(why);
            }
            Event::Parked { why } => {
                run.state = RunState::Parked;
                run.detail.clone_from(why);
            }
            Event::Intent { undo, .. } => {
                run.state = RunState::Running;
                if !undo {
                    run.first_action_at.get_or_insert(e.at);
                }
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

fn step_record(step: &PlannedStep, entries: &[Entry], nodes: &Nodes) -> StepRecord {
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
        outcome = action_outcome(&step.id, &targets, nodes);
    }
    StepRecord {
        id: step.id.clone(),
        uses,
        targets: targets.into_iter().map(|t| t.label).collect(),
        outcome,
        attempts,
    }
}

/// Somebody broke the glass for it: the first, or a second one.
pub(crate) fn broke(run: &mut Run, by: &str) {
    match &run.glass {
        None => run.glass = Some(by.to_owned()),
        Some(first) if first == by => {}
        Some(_) => run.glass_second = Some(by.to_owned()),
    }
}

/// The worst of what became of its targets.
fn action_outcome(step: &str, targets: &[FrozenTarget], nodes: &Nodes) -> String {
    let words: Vec<&str> = targets
        .iter()
        .map(|t| match nodes.at(step, t).0.state() {
            NodeState::NeverStarted | NodeState::Waiting(_) => "pending",
            NodeState::Started | NodeState::UndoStarted => "running",
            NodeState::Succeeded { .. } => "done",
            NodeState::Failed { .. } | NodeState::UndoFailed { .. } => "failed",
            NodeState::Undone => "undone",
            NodeState::Indeterminate { .. } => "indeterminate",
            NodeState::Skipped { .. } => "not_done",
            NodeState::Abandoned { .. } => "abandoned",
        })
        .collect();
    for worst in [
        "indeterminate",
        "failed",
        "running",
        "abandoned",
        "undone",
        "done",
        "not_done",
    ] {
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
