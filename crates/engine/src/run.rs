//! A run as its journal tells it: a pure fold.

use muster_model::{
    AttemptRecord, FrozenTarget, Observation, Outcome, Plan, PlannedStep, Run, RunOutcome, RunState,
    StepPlan, StepRecord, Time, Verdict,
};

use crate::guards::Starter;
use crate::journal::{DAEMON, Entry, Event};
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

/// On whose word a run goes on that is not driven by anybody just now: on the last person's who started it, went on with it or
/// wanted it to start; else on that of who signed. On nobody's new one: what a person began is not Muster's own to stop.
#[must_use]
pub fn starter_of(plan: &Plan, entries: &[Entry]) -> Starter {
    let of_run = |e: &&Entry| e.place.step.is_empty();
    let began = entries.iter().rev().filter(of_run).find_map(|e| match &e.event {
        Event::Started { by: Some(by), .. } => Some(by.clone()),
        Event::Started { by: None, .. } | Event::Resumed | Event::Waits { .. } => {
            Some(e.who.clone()).filter(|who| who != DAEMON)
        }
        _ => None,
    });
    let signed = || {
        entries.iter().rev().filter(of_run).find_map(|e| {
            let said = matches!(e.event, Event::Approved { .. } | Event::GlassBroken { .. });
            said.then(|| e.who.clone())
        })
    };
    let asked = || Some(plan.requested_by.clone()).filter(|by| by != DAEMON);
    began
        .or_else(signed)
        .or_else(asked)
        .map_or(Starter::Autopilot, Starter::Person)
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
            // Also when the answer was lost, or nobody was there to hear it: a look says that it happened.
            Event::Tried {
                outcome: Outcome::Done { .. },
                undo: false,
            }
            | Event::Observed {
                observation: Observation::Done { .. },
                undo: false,
            } => past.effects += 1,
            _ => {}
        }
    }
    past
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guards::fixture::{at, plan, target};
    use crate::journal::Place;

    fn entries(plan: &Plan, events: Vec<(&str, Event)>) -> Vec<Entry> {
        let entry = |(n, (who, event)): (usize, (&str, Event))| Entry {
            seq: n as u64 + 1,
            at: at(n as i64),
            who: who.to_owned(),
            place: Place::run(&plan.id, None),
            epoch: 0,
            event,
            prev: String::new(),
            hash: String::new(),
        };
        events.into_iter().enumerate().map(entry).collect()
    }

    /// The answer was lost and a look shows it: the world was changed, and needs the same rest.
    #[test]
    fn an_effect_that_only_a_look_showed_is_an_effect() {
        let plan = plan(1);
        let looked = |observation, undo| {
            let intent = Event::Intent {
                target: target(1),
                undo,
            };
            let all = entries(
                &plan,
                vec![("cy", intent), ("cy", Event::Observed { observation, undo })],
            );
            past(&plan, &all).effects
        };
        let detail = || "seen".to_owned();
        assert_eq!(looked(Observation::Done { detail: detail() }, false), 1);
        assert_eq!(looked(Observation::Done { detail: detail() }, true), 0);
        assert_eq!(looked(Observation::NotDone { detail: detail() }, false), 0);
    }

    #[test]
    fn on_whose_word_it_goes_on_is_read_from_what_was_written() {
        let plan = plan(1);
        let started = |by: Option<&str>| Event::Started {
            on: "policy".into(),
            by: by.map(str::to_owned),
        };
        let approved = || Event::Approved {
            approval: muster_model::Approval {
                digest: plan.digest.clone(),
                by: "ana".into(),
                at: at(1),
            },
        };
        let person = |name: &str| Starter::Person(name.to_owned());
        for (events, expected) in [
            (vec![], Starter::Autopilot),
            (vec![(DAEMON, started(None))], Starter::Autopilot),
            (
                vec![(DAEMON, started(None)), (DAEMON, Event::Resumed)],
                Starter::Autopilot,
            ),
            (vec![("cy", started(Some("cy")))], person("cy")),
            // Of an older version: it wrote down who had asked.
            (vec![("cy", started(None))], person("cy")),
            (vec![("ana", approved()), (DAEMON, started(None))], person("ana")),
            // Somebody took it over from Muster, and it was parked again.
            (
                vec![
                    (DAEMON, started(None)),
                    ("cy", Event::Resumed),
                    (DAEMON, Event::Resumed),
                ],
                person("cy"),
            ),
        ] {
            assert_eq!(
                starter_of(&plan, &entries(&plan, events.clone())),
                expected,
                "{events:?}"
            );
        }
    }
}
