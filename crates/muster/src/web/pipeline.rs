//! The seven stages, and at which of them the newest open incident stands.

use maud::{Markup, html};
use muster_model::{Plan, Run, RunOutcome, RunState, StepPlan};

use super::overall::is_open;
use crate::view::{Story, View};

const STAGES: [(&str, &str); 7] = [
    ("observe", "Observe"),
    ("decide", "Decide"),
    ("plan", "Plan"),
    ("approve", "Approve"),
    ("act", "Act"),
    ("verify", "Verify"),
    ("record", "Record"),
];

/// Where a story stands, whether it is stuck there, and in a few words why.
fn stage(story: &Story) -> (&'static str, bool, String) {
    let Some((plan, run)) = story.runs.last() else {
        return ("decide", false, "seen and judged; no plan yet".to_owned());
    };
    match &run.state {
        RunState::WaitingApproval => ("approve", false, "a plan waits for a person".to_owned()),
        RunState::Ready => ("act", false, "about to start".to_owned()),
        RunState::Waiting { what } => (at_work(plan, run), false, format!("waits for {what}")),
        RunState::Running => (at_work(plan, run), false, "at work".to_owned()),
        RunState::Parked => (at_work(plan, run), true, "parked".to_owned()),
        RunState::Ended => ended(run),
    }
}

fn ended(run: &Run) -> (&'static str, bool, String) {
    let Some(outcome) = run.outcome else {
        return ("record", true, "ended; nobody knows how".to_owned());
    };
    let (stage, stuck) = match outcome {
        RunOutcome::Proven | RunOutcome::Done => ("record", false),
        RunOutcome::Reported => ("decide", false),
        RunOutcome::Nothing | RunOutcome::Declined => ("plan", false),
        RunOutcome::Refused => ("plan", true),
        RunOutcome::Rejected | RunOutcome::Expired => ("approve", true),
        RunOutcome::Escalated => ("verify", true),
        RunOutcome::Undone
        | RunOutcome::UndoFailed
        | RunOutcome::Failed
        | RunOutcome::Indeterminate
        | RunOutcome::Cancelled
        | RunOutcome::Abandoned => ("act", true),
    };
    (
        stage,
        stuck,
        format!("the last run ended {}", outcome.word().replace('_', " ")),
    )
}

/// Verifying begins when no action is left to do.
fn at_work(plan: &Plan, run: &Run) -> &'static str {
    let settled = |id: &str| {
        let record = run.steps.iter().find(|s| s.id == id);
        record.is_some_and(|r| matches!(r.outcome.as_str(), "done" | "not_done" | "proven"))
    };
    let next = plan
        .steps
        .iter()
        .find(|s| matches!(s.plan, StepPlan::Action { .. } | StepPlan::Verify { .. }) && !settled(&s.id));
    match next.map(|s| &s.plan) {
        Some(StepPlan::Action { .. }) => "act",
        Some(_) => "verify",
        None => "record",
    }
}

/// The strip.
pub(super) fn render(view: &View) -> Markup {
    let newest = view
        .stories
        .iter()
        .filter(|s| is_open(s))
        .max_by_key(|s| s.incident.detected_at);
    let (at, stuck, why) = newest.map_or_else(
        || ("observe", false, "no open incident; watching".to_owned()),
        stage,
    );
    let here = STAGES.iter().position(|(id, _)| *id == at).unwrap_or(0);
    html! {
        ol class={ "stages" @if newest.is_none() { " calm" } @if stuck { " stuck" } } {
            @for (i, (id, word)) in STAGES.iter().enumerate() {
                li class={ @if i < here { "past" } @else if i == here { "here" } @else { "ahead" } }
                    aria-current=[(*id == at).then_some("step")] { (word) }
            }
        }
        p.stage-why {
            @if let Some(s) = newest { code { (s.incident.cause.kind) } " on " (s.incident.target) ": " }
            (why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_waiting_plan_lights_approve() {
        let html = render(&sample::leak()).into_string();
        assert!(html.contains("aria-current=\"step\">Approve<"), "{html}");
        assert_eq!(html.matches("aria-current").count(), 1);
    }

    #[test]
    fn a_run_at_work_moves_from_act_to_verify() {
        let mut view = sample::leak();
        let (plan, run) = view.stories[0].runs.last_mut().expect("a run");
        run.state = RunState::Running;
        run.steps.clear();
        assert_eq!(at_work(plan, run), "act");
        run.steps.push(sample::record("terminate", "indeterminate"));
        assert_eq!(
            at_work(plan, run),
            "act",
            "nobody can say, so it is not behind us"
        );
        run.steps.clear();
        let action = sample::record("terminate", "done");
        run.steps.push(action);
        assert_eq!(at_work(plan, run), "verify");
    }
}
