//! What comes next: a pure function of a plan and its journal.
//!
//! There is one way to run and to resume: read the journal, decide the next thing, obey, append. A crash between two
//! appends is therefore nothing special; an intent without a result is answered by looking, never by trying again.

use std::collections::BTreeMap;

use muster_model::{
    FrozenTarget, Limits, OnFail, Plan, PlanResult, PlannedStep, RunOutcome, Span, StepPlan, Time, UndoPlan,
    Verdict,
};

use crate::journal::{Entry, Event};
use crate::node::{Illegal, Node, NodeEvent, NodeState};

/// How long an undo that failed is left alone before it is tried again; twice as long the next time.
const UNDO_PAUSE: Span = Span::from_secs(1);

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Write down that the run begins.
    Start,
    /// Read a probe of the plan again.
    Read {
        /// Step.
        step: String,
    },
    /// Try an effect.
    Apply {
        /// Step.
        step: String,
        /// At what.
        target: FrozenTarget,
        /// Which try.
        attempt: u32,
        /// Whether a batch begins here: the guards are asked again.
        batch: bool,
    },
    /// Look, before the next batch, whether the last one did what it said and nothing says stop.
    Check {
        /// Step.
        step: String,
        /// The batch that would begin or go on, from 1.
        batch: u32,
        /// What the last one did.
        done: Vec<FrozenTarget>,
        /// How many of them may be missing.
        budget: usize,
    },
    /// Look whether an effect happened whose result was lost.
    Observe {
        /// Step.
        step: String,
        /// At what.
        target: FrozenTarget,
        /// Which try.
        attempt: u32,
        /// Whether it was an undo.
        undo: bool,
    },
    /// Prove.
    Verify {
        /// Step.
        step: String,
    },
    /// Wait until a time.
    WaitUntil {
        /// Step.
        step: String,
        /// Until when.
        at: Time,
    },
    /// Wait for a person.
    Ask {
        /// Step.
        step: String,
        /// The question.
        question: String,
    },
    /// Write values down.
    Record {
        /// Step.
        step: String,
    },
    /// Take an effect back.
    Undo {
        /// Step.
        step: String,
        /// At what.
        target: FrozenTarget,
        /// Which try.
        attempt: u32,
    },
    /// Write down that everything is taken back from here on.
    Unwind {
        /// How the run ends when that is done.
        outcome: RunOutcome,
        /// Why.
        why: String,
    },
    /// Do nothing until a time; nothing is written down.
    Pause {
        /// Until when.
        at: Time,
    },
    /// Write down how the run ended.
    End {
        /// How.
        outcome: RunOutcome,
        /// The sentence that belongs to it.
        detail: String,
    },
    /// Nothing: it is over.
    Over,
}

/// Every node of a run, as its journal tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes(BTreeMap<(String, String), (Node, Option<Time>)>);

impl Nodes {
    /// Folds the entries of a run.
    ///
    /// # Errors
    /// [`Illegal`], when they tell what cannot have happened; such a run is not driven on.
    pub fn fold(entries: &[Entry]) -> Result<Self, Illegal> {
        let mut nodes = Self::default();
        for e in entries.iter().filter(|e| !e.place.step.is_empty()) {
            let Some(event) = NodeEvent::of(e) else { continue };
            let target = e.place.target.trim_end_matches(UNDO_SUFFIX).to_owned();
            let slot = nodes.0.entry((e.place.step.clone(), target)).or_default();
            // A second signature under the same question says nothing new.
            if matches!(e.event, Event::Approved { .. })
                && matches!(slot.0.state(), NodeState::Succeeded { .. })
            {
                continue;
            }
            *slot = (slot.0.after(&event)?, Some(e.at));
        }
        for e in entries {
            if let Event::Ended {
                outcome: RunOutcome::Abandoned,
                detail,
            } = &e.event
            {
                let event = NodeEvent::Abandon {
                    who: e.who.clone(),
                    reason: detail.clone(),
                };
                for slot in nodes.0.values_mut() {
                    *slot = (slot.0.after(&event)?, Some(e.at));
                }
            }
        }
        Ok(nodes)
    }

    /// The node of a step at a target.
    #[must_use]
    pub fn at(&self, step: &str, target: &FrozenTarget) -> (Node, Option<Time>) {
        self.get(step, &target.fingerprint)
    }

    /// The node of a step that has no targets.
    #[must_use]
    pub fn of(&self, step: &str) -> (Node, Option<Time>) {
        self.get(step, "")
    }

    fn get(&self, step: &str, target: &str) -> (Node, Option<Time>) {
        let key = (step.to_owned(), target.to_owned());
        self.0.get(&key).cloned().unwrap_or_default()
    }
}

/// How a plan ends of which nothing is to be done: only what making it came to is to be written down, however the world looks by
/// now. `None` when there is something to do.
#[must_use]
pub fn came_to(plan: &Plan) -> Option<(RunOutcome, &str)> {
    match &plan.result {
        PlanResult::Changes => None,
        PlanResult::Nothing { why } => Some((RunOutcome::Nothing, why)),
        PlanResult::Declined { why, .. } => Some((RunOutcome::Declined, why)),
        PlanResult::Report { summary, .. } => Some((RunOutcome::Reported, summary)),
    }
}

/// What comes next.
#[must_use]
pub fn next(plan: &Plan, entries: &[Entry], now: Time) -> Next {
    if entries.iter().any(|e| matches!(e.event, Event::Ended { .. })) {
        return Next::Over;
    }
    if let Some((outcome, why)) = came_to(plan) {
        return end(outcome, why);
    }
    let nodes = match Nodes::fold(entries) {
        Ok(nodes) => nodes,
        Err(illegal) => {
            return end(
                RunOutcome::Indeterminate,
                &format!("its journal tells what cannot have happened: {illegal}"),
            );
        }
    };
    if let Some(open) = open_intent(plan, &nodes) {
        return open;
    }
    let cancelled = entries.iter().find_map(|e| match &e.event {
        Event::CancelAsked { why } => Some(format!("cancelled: {why}")),
        _ => None,
    });
    if let Some((outcome, why)) = entries.iter().find_map(|e| match &e.event {
        Event::Unwinds { outcome, why } => Some((*outcome, why)),
        _ => None,
    }) {
        return unwind(plan, &nodes, now, outcome, why);
    }
    let Some(started) = entries.iter().find(|e| matches!(e.event, Event::Started { .. })) else {
        return if cancelled.is_some() {
            end(
                RunOutcome::Cancelled,
                "cancelled before it began; nothing was touched",
            )
        } else {
            Next::Start
        };
    };
    if let Some(why) = cancelled {
        return Next::Unwind {
            outcome: RunOutcome::Cancelled,
            why,
        };
    }
    let mut index = 0;
    let mut proven = None;
    let mut previous_end = started.at;
    while let Some(step) = plan.steps.get(index) {
        match step_next(step, &nodes, entries, now, previous_end) {
            StepNow::Next(n) | StepNow::End(n) => return n,
            StepNow::Passed { at, proof } => {
                previous_end = at;
                proven = proof.or(proven);
                index += 1;
            }
            StepNow::Failed { outcome, why } => match &step.on_fail {
                OnFail::Goto(to) => match plan.steps.iter().position(|s| s.id == *to) {
                    Some(i) if i > index => index = i,
                    _ => return end(outcome, &format!("{why}; its `goto` names no later step")),
                },
                OnFail::Undo => {
                    return Next::Unwind {
                        outcome: RunOutcome::Undone,
                        why,
                    };
                }
                OnFail::Escalate => return end(outcome, &why),
            },
        }
    }
    finish(plan, &nodes, proven)
}

enum StepNow {
    Next(Next),
    Passed { at: Time, proof: Option<String> },
    End(Next),
    Failed { outcome: RunOutcome, why: String },
}

fn step_next(step: &PlannedStep, nodes: &Nodes, entries: &[Entry], now: Time, previous_end: Time) -> StepNow {
    let mine = || entries.iter().filter(|e| e.place.step == step.id);
    let id = step.id.clone();
    match &step.plan {
        StepPlan::Probe { .. } => {
            let read = mine().rev().find_map(|e| match &e.event {
                Event::ProbeRead {
                    go_on, expected, why, ..
                } => Some((e.at, *go_on, *expected, why.clone())),
                _ => None,
            });
            match read {
                None => StepNow::Next(Next::Read { step: id }),
                Some((at, true, true, _)) => StepNow::Passed { at, proof: None },
                Some((_, false, _, why)) => StepNow::End(end(RunOutcome::Nothing, &why)),
                Some((_, true, false, why)) => StepNow::End(end(RunOutcome::Declined, &why)),
            }
        }
        StepPlan::Action { targets, limits, .. } => {
            let looks = Looks::of(step, entries);
            action_next(step, targets, limits, &looks, nodes, previous_end)
        }
        StepPlan::Verify { .. } => {
            let verdict = mine().rev().find_map(|e| match &e.event {
                Event::Verified { verdict, .. } => Some((e.at, verdict.clone())),
                _ => None,
            });
            match verdict {
                None => StepNow::Next(Next::Verify { step: id }),
                Some((at, Verdict::Proven { detail })) => StepNow::Passed {
                    at,
                    proof: Some(detail),
                },
                Some((_, Verdict::Refuted { why })) => StepNow::Failed {
                    outcome: RunOutcome::Escalated,
                    why: format!("not cured: {why}"),
                },
                Some((_, Verdict::Unknown { why })) => StepNow::Failed {
                    outcome: RunOutcome::Escalated,
                    why: format!("cannot be proven: {why}"),
                },
            }
        }
        StepPlan::Approve { question } => {
            let signed = mine().find(|e| matches!(e.event, Event::Approved { .. }));
            match signed {
                Some(e) => StepNow::Passed {
                    at: e.at,
                    proof: None,
                },
                None => StepNow::Next(Next::Ask {
                    step: id,
                    question: question.clone(),
                }),
            }
        }
        StepPlan::Wait { span } => {
            if let Some(e) = mine().find(|e| matches!(e.event, Event::Waited)) {
                return StepNow::Passed {
                    at: e.at,
                    proof: None,
                };
            }
            // After the clock was set back it begins anew.
            let at = previous_end.min(now).plus(*span);
            let at = if at < now { now } else { at };
            StepNow::Next(Next::WaitUntil { step: id, at })
        }
        StepPlan::Record { .. } => match mine().find(|e| matches!(e.event, Event::Recorded { .. })) {
            Some(e) => StepNow::Passed {
                at: e.at,
                proof: None,
            },
            None => StepNow::Next(Next::Record { step: id }),
        },
    }
}

/// What looks before the batches of a step said.
struct Looks<'a> {
    /// Whether any is wanted before its first batch.
    first: bool,
    /// Whether the run stood still after it had done something: then a look is wanted in the middle of a batch, too.
    stood: bool,
    /// By batch, from 1; one that said yes before the run stood still says nothing any more.
    said: BTreeMap<u32, (bool, &'a str)>,
    /// Targets that were done and were not there when it was looked.
    missing: usize,
}

impl<'a> Looks<'a> {
    fn of(step: &PlannedStep, entries: &'a [Entry]) -> Self {
        let still = entries.iter().rev().find(|e| {
            matches!(
                e.event,
                Event::Waits { .. } | Event::Parked { .. } | Event::Resumed
            )
        });
        let still = still.map_or(0, |e| e.seq);
        let mut looks = Self {
            first: matches!(&step.plan, StepPlan::Action { abort_if, .. } if !abort_if.is_empty()),
            stood: entries
                .iter()
                .any(|e| e.seq < still && matches!(e.event, Event::Intent { .. })),
            said: BTreeMap::new(),
            missing: 0,
        };
        let mut missing: BTreeMap<u32, usize> = BTreeMap::new();
        for e in entries.iter().filter(|e| e.place.step == step.id) {
            if let Event::Checked {
                batch,
                go_on,
                missing: n,
                why,
            } = &e.event
            {
                let n = usize::try_from(*n).unwrap_or(usize::MAX);
                let most = missing.entry(*batch).or_default();
                *most = n.max(*most);
                if !go_on || e.seq > still {
                    looks.said.insert(*batch, (*go_on, why.as_str()));
                }
            }
        }
        looks.missing = missing.values().sum();
        looks
    }
}

fn action_next(
    step: &PlannedStep,
    targets: &[FrozenTarget],
    limits: &Limits,
    looks: &Looks<'_>,
    nodes: &Nodes,
    previous_end: Time,
) -> StepNow {
    let mut failures = Vec::new();
    let mut last = None;
    let starts = batch_starts(targets.len(), limits.canary);
    for (i, target) in targets.iter().enumerate() {
        let (node, at) = nodes.at(&step.id, target);
        let b = starts.iter().rposition(|s| *s <= i).unwrap_or(0);
        let begins = starts.contains(&i) && (b > 0 || looks.first);
        if matches!(node.state(), NodeState::NeverStarted | NodeState::Waiting(_)) && (begins || looks.stood)
        {
            let batch = u32::try_from(b).unwrap_or(u32::MAX).saturating_add(1);
            match looks.said.get(&batch) {
                Some((true, _)) => {}
                Some((false, why)) => {
                    return StepNow::Failed {
                        outcome: RunOutcome::Escalated,
                        why: format!("stopped before batch {batch} of `{}`: {why}", step.id),
                    };
                }
                None => {
                    // The last batch, and what was done of this one.
                    let last = targets[starts[b.saturating_sub(1)]..i].iter();
                    let done = |t: &&FrozenTarget| {
                        matches!(nodes.at(&step.id, t).0.state(), NodeState::Succeeded { .. })
                    };
                    return StepNow::Next(Next::Check {
                        step: step.id.clone(),
                        batch,
                        done: last.filter(done).cloned().collect(),
                        budget: usize::try_from(limits.max_errors)
                            .unwrap_or(usize::MAX)
                            .saturating_sub(failures.len() + looks.missing),
                    });
                }
            }
        }
        match node.state() {
            NodeState::NeverStarted | NodeState::Waiting(_) => {
                return StepNow::Next(Next::Apply {
                    step: step.id.clone(),
                    target: target.clone(),
                    attempt: node.tries() + 1,
                    // After a crash or a wait the guards are asked again, wherever in its batch it is.
                    batch: starts.contains(&i)
                        || *node.state() != NodeState::NeverStarted
                        || node.tries() > 0,
                });
            }
            NodeState::Succeeded { .. } | NodeState::Skipped { .. } => last = at.or(last),
            NodeState::Failed { error, .. } => {
                failures.push(format!("{}: {error}", target.label));
                if failures.len() > usize::try_from(limits.max_errors).unwrap_or(usize::MAX) {
                    return StepNow::Failed {
                        outcome: RunOutcome::Failed,
                        why: failures.join("; "),
                    };
                }
                last = at.or(last);
            }
            NodeState::Indeterminate { why, .. } => {
                return StepNow::End(end(
                    RunOutcome::Indeterminate,
                    &format!(
                        "nobody can say whether `{}` happened to {}: {why}",
                        step.id, target.label
                    ),
                ));
            }
            // Undoing is written down before it begins, so nobody comes here while it lasts.
            other @ (NodeState::Started
            | NodeState::UndoStarted
            | NodeState::Undone
            | NodeState::UndoFailed { .. }
            | NodeState::Abandoned { .. }) => {
                return StepNow::End(end(
                    RunOutcome::Indeterminate,
                    &format!("`{}` is {} at {}", step.id, other.word(), target.label),
                ));
            }
        }
    }
    StepNow::Passed {
        at: last.unwrap_or(previous_end),
        proof: None,
    }
}

/// Indexes at which a batch begins: 1, then 2, then 4, … of `canary`; one batch when `canary` is 0.
fn batch_starts(count: usize, canary: u32) -> Vec<usize> {
    let mut starts = vec![0];
    let mut size = usize::try_from(canary).unwrap_or(0);
    let mut at = size;
    while size > 0 && at < count {
        starts.push(at);
        size = size.saturating_mul(2);
        at = at.saturating_add(size);
    }
    starts
}

/// What the key of an undo ends with.
const UNDO_SUFFIX: &str = "/undo";

/// The key under which tries at a target are journaled; an undo has its own.
#[must_use]
pub fn attempt_key(target: &FrozenTarget, undo: bool) -> String {
    if undo {
        format!("{}{UNDO_SUFFIX}", target.fingerprint)
    } else {
        target.fingerprint.clone()
    }
}

fn open_intent(plan: &Plan, nodes: &Nodes) -> Option<Next> {
    let ((step, key), (node, _)) = nodes.0.iter().find(|(_, (node, _))| node.state().open())?;
    let StepPlan::Action { targets, .. } = &plan.step(step)?.plan else {
        return None;
    };
    let target = targets.iter().find(|t| t.fingerprint == *key)?;
    let undo = *node.state() == NodeState::UndoStarted;
    Some(Next::Observe {
        step: step.clone(),
        target: target.clone(),
        attempt: if undo { node.undo_tries() } else { node.tries() },
        undo,
    })
}

/// Takes back, in reverse order, what really happened; of what failed, a look says first whether anything did.
fn unwind(plan: &Plan, nodes: &Nodes, now: Time, outcome: RunOutcome, why: &str) -> Next {
    let mut undone = 0;
    let mut lasting = Vec::new();
    for step in plan.steps.iter().rev() {
        let StepPlan::Action { targets, undo, .. } = &step.plan else {
            continue;
        };
        for target in targets.iter().rev() {
            let (node, at) = nodes.at(&step.id, target);
            if let NodeState::Indeterminate { why: unknown, undo } = node.state() {
                let what = if *undo { "undoing " } else { "" };
                return end(
                    RunOutcome::Indeterminate,
                    &format!(
                        "{why}; nobody can say whether {what}`{}` happened to {}: {unknown}",
                        step.id, target.label
                    ),
                );
            }
            if let UndoPlan::None { why } = undo {
                if matches!(node.state(), NodeState::Succeeded { .. }) {
                    lasting.push(format!("{} ({why})", target.label));
                }
                continue;
            }
            match node.state() {
                NodeState::Failed { clean: false, .. } => {
                    return Next::Observe {
                        step: step.id.clone(),
                        target: target.clone(),
                        attempt: node.tries(),
                        undo: false,
                    };
                }
                NodeState::Succeeded { .. } | NodeState::UndoFailed { .. } if node.can_undo() => {
                    let tries = node.undo_tries();
                    let pause = Span::from_millis(UNDO_PAUSE.millis() << tries.saturating_sub(1));
                    // A last try in the future is one before the clock was set back: nobody knows how long ago it was.
                    let due = at.filter(|at| *at <= now).map_or(now, |at| at.plus(pause));
                    if tries > 0 && now < due {
                        return Next::Pause { at: due };
                    }
                    return Next::Undo {
                        step: step.id.clone(),
                        target: target.clone(),
                        attempt: tries + 1,
                    };
                }
                NodeState::UndoFailed { error } => {
                    return end(
                        RunOutcome::UndoFailed,
                        &format!(
                            "{why}; undoing {} failed {} times: {error}",
                            target.label,
                            node.undo_tries()
                        ),
                    );
                }
                NodeState::Undone => undone += 1,
                _ => {}
            }
        }
    }
    let outcome = if outcome == RunOutcome::Undone && undone == 0 {
        RunOutcome::Escalated
    } else {
        outcome
    };
    let mut detail = why.to_owned();
    if undone > 0 {
        detail.push_str(&format!("; {undone} undone"));
    }
    if !lasting.is_empty() {
        detail.push_str(&format!("; not undone: {}", lasting.join(", ")));
    }
    end(outcome, &detail)
}

fn finish(plan: &Plan, nodes: &Nodes, proven: Option<String>) -> Next {
    let mut done = 0;
    let mut skipped = 0;
    let mut failed = 0;
    let mut acts = false;
    for step in &plan.steps {
        if let StepPlan::Action { targets, .. } = &step.plan {
            for target in targets {
                acts = true;
                match nodes.at(&step.id, target).0.state() {
                    NodeState::Succeeded { .. } => done += 1,
                    NodeState::Skipped { .. } => skipped += 1,
                    _ => failed += 1,
                }
            }
        }
    }
    if acts && done == 0 && failed > 0 {
        return end(
            RunOutcome::Escalated,
            &format!("{failed} failed and none was done; look at each of them"),
        );
    }
    if acts && done == 0 {
        let tail = proven.map(|p| format!("; {p}")).unwrap_or_default();
        return end(
            RunOutcome::Nothing,
            &format!("nothing was touched: {skipped} of {skipped} targets had changed since the plan{tail}"),
        );
    }
    match proven {
        Some(detail) => end(RunOutcome::Proven, &detail),
        None if acts => end(
            RunOutcome::Done,
            &format!("{done} done, {skipped} changed since the plan"),
        ),
        None => end(RunOutcome::Reported, "read and reported; nothing was changed"),
    }
}

fn end(outcome: RunOutcome, detail: &str) -> Next {
    Next::End {
        outcome,
        detail: detail.to_owned(),
    }
}

/// How long a proof must hold: the longest of the plan's own hold, 10 s, and twice the observed refill time up to 60 s.
#[must_use]
pub fn hold_for(asked: Span, refill: Option<Span>) -> Span {
    let twice = refill.map_or(Span::ZERO, |r| Span::from_millis(r.millis().saturating_mul(2)));
    asked.max(twice.max(Span::from_secs(10)).min(Span::from_secs(60)))
}
