//! What comes next: a pure function of a plan and its journal.
//!
//! There is one way to run and to resume: read the journal, decide the next thing, obey, append. A crash between two
//! appends is therefore nothing special; an intent without a result is answered by looking, never by trying again.

use std::collections::BTreeMap;

use muster_model::{
    FrozenTarget, Observation, OnFail, Outcome, Plan, PlannedStep, RunOutcome, Span, StepPlan, Time,
    UndoPlan, Verdict,
};

use crate::journal::{Entry, Event};

/// How often an undo is tried.
pub const UNDO_TRIES: u32 = 3;

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

/// What became of one step at one target.
#[derive(Clone, Debug, PartialEq)]
enum Tried {
    Never,
    /// Intent without a result.
    Open(u32),
    Done(u32),
    NotDone(String),
    Failed(u32, String),
    Unknown(String),
}

/// What comes next.
#[must_use]
pub fn next(plan: &Plan, entries: &[Entry], now: Time) -> Next {
    if entries.iter().any(|e| matches!(e.event, Event::Ended { .. })) {
        return Next::Over;
    }
    if let Some(open) = open_intent(plan, entries) {
        return open;
    }
    let Some(started) = entries.iter().find(|e| matches!(e.event, Event::Started { .. })) else {
        return if entries
            .iter()
            .any(|e| matches!(e.event, Event::CancelAsked { .. }))
        {
            end(
                RunOutcome::Cancelled,
                "cancelled before it began; nothing was touched",
            )
        } else {
            Next::Start
        };
    };
    if let Some(why) = entries.iter().find_map(|e| match &e.event {
        Event::CancelAsked { why } => Some(why),
        _ => None,
    }) {
        return unwind(plan, entries, RunOutcome::Cancelled, &format!("cancelled: {why}"));
    }
    let mut index = 0;
    let mut proven = None;
    let mut previous_end = started.at;
    while let Some(step) = plan.steps.get(index) {
        match step_next(step, entries, now, previous_end) {
            StepNow::Next(n) => return n,
            StepNow::Passed { at, proof } => {
                previous_end = at;
                proven = proof.or(proven);
                index += 1;
            }
            StepNow::End(n) => return n,
            StepNow::Failed { outcome, why } => match &step.on_fail {
                OnFail::Goto(to) => match plan.steps.iter().position(|s| s.id == *to) {
                    Some(i) if i > index => index = i,
                    _ => return end(outcome, &format!("{why}; its `goto` names no later step")),
                },
                OnFail::Undo => return unwind(plan, entries, RunOutcome::Undone, &why),
                OnFail::Escalate => return end(outcome, &why),
            },
        }
    }
    finish(plan, entries, proven)
}

enum StepNow {
    Next(Next),
    Passed { at: Time, proof: Option<String> },
    End(Next),
    Failed { outcome: RunOutcome, why: String },
}

fn step_next(step: &PlannedStep, entries: &[Entry], now: Time, previous_end: Time) -> StepNow {
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
            action_next(step, targets, limits.canary, limits.max_errors, entries)
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
            let at = previous_end.plus(*span);
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

fn action_next(
    step: &PlannedStep,
    targets: &[FrozenTarget],
    canary: u32,
    max_errors: u32,
    entries: &[Entry],
) -> StepNow {
    let mut failures = Vec::new();
    let mut last = None;
    let starts = batch_starts(targets.len(), canary);
    for (i, target) in targets.iter().enumerate() {
        let (tried, at) = tried(step, target, entries, false);
        match tried {
            Tried::Never => {
                return StepNow::Next(Next::Apply {
                    step: step.id.clone(),
                    target: target.clone(),
                    attempt: 1,
                    batch: starts.contains(&i),
                });
            }
            Tried::Open(attempt) => {
                // Seen as not done after a crash: trying is safe, and it is a new try.
                return StepNow::Next(Next::Apply {
                    step: step.id.clone(),
                    target: target.clone(),
                    attempt: attempt + 1,
                    batch: true,
                });
            }
            Tried::Done(_) | Tried::NotDone(_) => last = at.or(last),
            Tried::Failed(_, error) => {
                failures.push(format!("{}: {error}", target.label));
                if failures.len() > usize::try_from(max_errors).unwrap_or(usize::MAX) {
                    return StepNow::Failed {
                        outcome: RunOutcome::Failed,
                        why: failures.join("; "),
                    };
                }
                last = at.or(last);
            }
            Tried::Unknown(why) => {
                return StepNow::End(end(
                    RunOutcome::Indeterminate,
                    &format!(
                        "nobody can say whether `{}` happened to {}: {why}",
                        step.id, target.label
                    ),
                ));
            }
        }
    }
    let begun = entries.iter().map(|e| e.at).max().unwrap_or(Time::from_micros(0));
    StepNow::Passed {
        at: last.unwrap_or(begun),
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

fn tried(step: &PlannedStep, target: &FrozenTarget, entries: &[Entry], undo: bool) -> (Tried, Option<Time>) {
    let mut state = Tried::Never;
    let mut when = None;
    let key = attempt_key(target, undo);
    for e in entries
        .iter()
        .filter(|e| e.place.step == step.id && e.place.target == key)
    {
        state = match &e.event {
            Event::Intent { .. } => Tried::Open(e.place.attempt),
            Event::Tried { outcome, .. } => match outcome {
                Outcome::Done { .. } => Tried::Done(e.place.attempt),
                Outcome::NotDone { why } => Tried::NotDone(why.clone()),
                Outcome::Failed { error } => Tried::Failed(e.place.attempt, error.clone()),
                Outcome::Indeterminate { why } => Tried::Unknown(why.clone()),
            },
            // What is observed is the effect of the action: while it is there, its undo has not happened.
            Event::Observed { observation, .. } => match observation {
                Observation::Done { .. } if undo => Tried::Open(e.place.attempt),
                Observation::NotDone { .. } if undo => Tried::Done(e.place.attempt),
                Observation::Done { .. } => Tried::Done(e.place.attempt),
                Observation::NotDone { .. } => Tried::Open(e.place.attempt),
                Observation::Unknown { why } => Tried::Unknown(why.clone()),
            },
            _ => continue,
        };
        when = Some(e.at);
    }
    (state, when)
}

/// The key under which tries at a target are journaled; an undo has its own.
#[must_use]
pub fn attempt_key(target: &FrozenTarget, undo: bool) -> String {
    if undo {
        format!("{}/undo", target.fingerprint)
    } else {
        target.fingerprint.clone()
    }
}

fn open_intent(plan: &Plan, entries: &[Entry]) -> Option<Next> {
    let mut open: BTreeMap<(String, String, u32), (FrozenTarget, bool)> = BTreeMap::new();
    for e in entries {
        let key = (e.place.step.clone(), e.place.target.clone(), e.place.attempt);
        match &e.event {
            Event::Intent { target, undo } => {
                open.insert(key, (target.clone(), *undo));
            }
            Event::Tried { .. } | Event::Observed { .. } => {
                open.remove(&key);
            }
            _ => {}
        }
    }
    let ((step, _, attempt), (target, undo)) = open.into_iter().next()?;
    plan.step(&step)?;
    Some(Next::Observe {
        step,
        target,
        attempt,
        undo,
    })
}

/// Takes back, in reverse order, what really happened.
fn unwind(plan: &Plan, entries: &[Entry], outcome: RunOutcome, why: &str) -> Next {
    let mut undone = 0;
    let mut lasting = Vec::new();
    for step in plan.steps.iter().rev() {
        let StepPlan::Action { targets, undo, .. } = &step.plan else {
            continue;
        };
        for target in targets.iter().rev() {
            if !matches!(
                tried(step, target, entries, false).0,
                Tried::Done(_) | Tried::Failed(..)
            ) {
                continue;
            }
            if let UndoPlan::None { why } = undo {
                if matches!(tried(step, target, entries, false).0, Tried::Done(_)) {
                    lasting.push(format!("{} ({why})", target.label));
                }
                continue;
            }
            let again = |attempt| Next::Undo {
                step: step.id.clone(),
                target: target.clone(),
                attempt,
            };
            match tried(step, target, entries, true).0 {
                Tried::Never => return again(1),
                Tried::Open(attempt) => return again(attempt + 1),
                Tried::Done(_) | Tried::NotDone(_) => undone += 1,
                Tried::Failed(attempt, _) if attempt < UNDO_TRIES => return again(attempt + 1),
                Tried::Failed(_, error) => {
                    return end(
                        RunOutcome::UndoFailed,
                        &format!("{why}; undoing {} failed: {error}", target.label),
                    );
                }
                Tried::Unknown(unknown) => {
                    return end(
                        RunOutcome::Indeterminate,
                        &format!(
                            "{why}; nobody can say whether undoing {} happened: {unknown}",
                            target.label
                        ),
                    );
                }
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

fn finish(plan: &Plan, entries: &[Entry], proven: Option<String>) -> Next {
    let mut done = 0;
    let mut skipped = 0;
    let mut failed = 0;
    let mut acts = false;
    for step in &plan.steps {
        if let StepPlan::Action { targets, .. } = &step.plan {
            for target in targets {
                acts = true;
                match tried(step, target, entries, false).0 {
                    Tried::Done(_) => done += 1,
                    Tried::NotDone(_) => skipped += 1,
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
