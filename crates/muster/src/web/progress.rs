//! How far a run is: its steps in the order of the plan, what came of each, target by target.

use maud::{Markup, html};
use muster_model::{AttemptRecord, Outcome, Plan, Run, RunOutcome, StepPlan, StepRecord, Time};

use super::words::{at, chip, count, digest, prose, run_state};

/// One run.
pub(super) fn render(plan: &Plan, run: &Run, today: Time) -> Markup {
    html! {
        section.run aria-label="Run" {
            header.plan-head {
                @match run.outcome {
                    Some(outcome) => (run_outcome(outcome)),
                    None => (run_state(&run.state)),
                }
                h4 { (run.runbook.title) }
            }
            @if !run.detail.is_empty() { p { (prose(&run.detail)) } }
            p.muted {
                code { (run.id) } " · plan " (digest(&run.digest)) " · asked for by " (run.requested_by)
                @for a in &run.approvals { " · approved by " (a.by) " " (at(a.at, today)) }
                @if let Some(t) = run.first_action_at { " · first change " (at(t, today)) }
                @if let Some(t) = run.ended_at { " · ended " (at(t, today)) }
            }
            @if run.outcome.is_some_and(RunOutcome::needs_human) {
                p.warning-line { "A person is needed here." }
            }
            ol.steps {
                @for step in &plan.steps {
                    @if !matches!(step.plan, StepPlan::Record { .. }) {
                        (line(plan, &step.id, step.plan.uses().unwrap_or(step.plan.word()), run, today))
                    }
                }
            }
        }
    }
}

fn line(plan: &Plan, id: &str, uses: &str, run: &Run, today: Time) -> Markup {
    let record = run.steps.iter().find(|s| s.id == id);
    let word = record.map_or("pending", |r| r.outcome.as_str());
    html! {
        li {
            (step_outcome(word))
            div.step-body {
                p { code { (id) } span.muted { " " (uses) } }
                @if let Some(r) = record.filter(|r| !r.attempts.is_empty()) { (attempts(plan, r, today)) }
            }
        }
    }
}

fn attempts(plan: &Plan, record: &StepRecord, today: Time) -> Markup {
    let done = record
        .attempts
        .iter()
        .filter(|a| matches!(a.outcome, Some(Outcome::Done { .. })))
        .count();
    html! {
        details data-key={ "tries-" (plan.id) "-" (record.id) } {
            summary { (done) " of " (count(record.attempts.len(), "try", "tries")) " done" }
            ul.tries { @for a in &record.attempts { (attempt(a, today)) } }
        }
    }
}

fn attempt(a: &AttemptRecord, today: Time) -> Markup {
    html! {
        li {
            (at(a.at, today)) " "
            @if a.undo { "undo of " }
            (a.target) ": "
            @match &a.outcome {
                Some(o) => { (step_outcome(o.word())) " " (o.detail()) }
                None => { (chip("unknown", "no answer yet")) }
            }
        }
    }
}

fn step_outcome(word: &str) -> Markup {
    let class = match word {
        "done" | "proven" => "ok",
        "not_done" | "undone" => "info",
        "pending" => "pending",
        "failed" | "refuted" => "crit",
        // What nobody can say, and any word not known here, never looks like success.
        _ => "unknown",
    };
    chip(class, &word.replace('_', " "))
}

/// How a run ended, as a chip.
pub(super) fn run_outcome(outcome: RunOutcome) -> Markup {
    let class = match outcome {
        RunOutcome::Proven | RunOutcome::Done => "ok",
        RunOutcome::Nothing | RunOutcome::Declined | RunOutcome::Reported | RunOutcome::Rejected => "info",
        RunOutcome::Undone
        | RunOutcome::Refused
        | RunOutcome::Expired
        | RunOutcome::Cancelled
        | RunOutcome::Abandoned => "warn",
        RunOutcome::Failed | RunOutcome::Escalated | RunOutcome::UndoFailed => "crit",
        RunOutcome::Indeterminate => "unknown",
    };
    chip(class, &outcome.word().replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn only_known_success_looks_like_success() {
        for word in ["done", "proven"] {
            assert!(step_outcome(word).into_string().contains("chip ok"), "{word}");
        }
        for word in ["indeterminate", "unknown", "something new"] {
            assert!(
                step_outcome(word).into_string().contains("chip unknown"),
                "{word}"
            );
        }
        assert!(
            run_outcome(RunOutcome::Indeterminate)
                .into_string()
                .contains("unknown")
        );
    }

    #[test]
    fn steps_stand_in_the_order_of_the_plan_and_missing_ones_are_pending() {
        let mut view = sample::leak();
        let at = view.at;
        let (plan, run) = view.stories[0].runs.last_mut().expect("a run");
        run.steps = vec![sample::record("terminate", "indeterminate")];
        let html = render(plan, run, at).into_string();
        let place = |text: &str| html.find(text).expect(text);
        assert!(place("<code>pool</code>") < place("<code>terminate</code>"));
        assert!(place("<code>terminate</code>") < place("<code>proven</code>"));
        assert!(html.contains("chip pending") && html.contains("chip unknown"));
    }
}
