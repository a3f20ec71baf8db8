//! A plan that waits for a person: everything somebody needs before signing, and the two buttons.
//!
//! Knows what must never be left out: which exact things, how a person would do it by hand, what else it touches,
//! whether there is a way back, and until when it holds.

use maud::{Markup, html};
use muster_model::{Blast, FrozenTarget, Limits, Plan, PlannedStep, Risk, Run, StepPlan, Time, UndoPlan};

use super::words::{ago, chip, count, digest, fact, prose, until};
use crate::view::two_glasses;

/// Targets shown at once; more are one click away.
const SHOWN: usize = 5;

/// The plan with its buttons.
pub(super) fn render(plan: &Plan, run: &Run, today: Time) -> Markup {
    let expired = today >= plan.expires_at;
    html! {
        section.plan aria-label="Plan waiting for approval" {
            header.plan-head {
                @if expired { (chip("warn", "expired")) } @else { (chip("busy", "waits for approval")) }
                h4 { (plan.runbook.title) }
            }
            dl.facts {
                (fact("risk", &risk(plan.risk)))
                (fact("where", &html! { (plan.scope.target) }))
                (fact("requested by", &html! { (plan.requested_by) }))
                (fact("made", &ago(plan.created_at, today)))
                (fact("expires", &until(plan.expires_at, today)))
                (fact("point of no return", &html! {
                    @if let Some(step) = &plan.point_of_no_return { "after " code { (step) } } @else { "none" }
                }))
                (fact("digest", &digest(&plan.digest)))
                @if !run.approvals.is_empty() {
                    (fact("signed by", &html! {
                        (run.approvals.iter().map(|a| a.by.as_str()).collect::<Vec<_>>().join(", "))
                    }))
                }
            }
            @for step in &plan.steps { (step_in_words(plan, step)) }
            @if !plan.facts.can_act {
                p.warning-line { "Muster has no login to act with here: it proposes, a person does it by hand." }
            }
            @if plan.over_limits {
                p.warning-line { (prose(&two_glasses(plan))) }
            }
            @for line in &plan.facts.missing_privileges {
                p.warning-line { "Missing privilege: " code { (line) } }
            }
            @if expired {
                p.muted { "Nobody signed in time. A fresh look at the servers is needed before anything is done." }
            } @else {
                (buttons(plan))
            }
        }
    }
}

fn buttons(plan: &Plan) -> Markup {
    let what = in_one_line(plan);
    html! {
        div.buttons {
            button.primary id={ "approve-" (plan.id) } type="button" data-do="approve" data-run=(plan.id)
                data-what=(what) { "Approve" }
            button id={ "reject-" (plan.id) } type="button" data-do="reject" data-run=(plan.id)
                data-what=(what) { "Reject" }
            output.said data-said=(plan.id) role="status" {}
        }
        p.muted.or-by { "or in a terminal: " code { "muster approve " (plan.id) } }
    }
}

/// What the dialog repeats before somebody signs.
fn in_one_line(plan: &Plan) -> String {
    let mut text = format!("{} on {}: ", plan.runbook.title, plan.scope.target);
    for step in &plan.steps {
        if let StepPlan::Action { blast, undo, .. } = &step.plan {
            text.push_str(&blast.summary);
            text.push_str(if matches!(undo, UndoPlan::None { .. }) {
                ". No undo. "
            } else {
                ". Can be undone. "
            });
        }
    }
    text.push_str("Digest ");
    text.extend(plan.digest.chars().take(12));
    text
}

fn step_in_words(plan: &Plan, step: &PlannedStep) -> Markup {
    match &step.plan {
        StepPlan::Action {
            uses,
            targets,
            limits,
            blast,
            undo,
            abort_if,
            ..
        } => html! {
            div.step {
                p.step-name { code { (step.id) } span.muted { " " (uses) } }
                p.blast { (blast_in_words(blast)) }
                @if !blast.also.is_empty() {
                    p { "Also affected: " (blast.also.join("; ")) }
                }
                @match undo {
                    UndoPlan::Inverse { how } => p.undo { strong { "Undo: " } (how) },
                    UndoPlan::None { why } => p.no-undo {
                        strong { "No undo" } ": " (why.strip_prefix("no undo: ").unwrap_or(why))
                    },
                }
                p.muted { (limits_in_words(limits)) }
                @if !abort_if.is_empty() {
                    p { "Stops when one of these holds, which is looked at before each batch:" }
                    ul.checks { @for a in abort_if { li { code { (a.step) ": " (a.when) } } } }
                }
                (target_list(plan, step, targets))
            }
        },
        StepPlan::Verify { checks, hold, within } => html! {
            div.step {
                p.step-name { code { (step.id) } span.muted { " verify" } }
                p { "Proven when all of this holds for " (hold.human()) ", within " (within.human()) ":" }
                ul.checks { @for c in checks { li { code { (c.step) ": " (c.until) } } } }
            }
        },
        StepPlan::Approve { question } => html! { div.step { p { (question) } } },
        StepPlan::Wait { span } => html! { div.step { p { code { (step.id) } " waits " (span.human()) } } },
        StepPlan::Probe { .. } | StepPlan::Record { .. } => html! {},
    }
}

fn blast_in_words(blast: &Blast) -> Markup {
    html! {
        (blast.summary)
        @if blast.population > 0 {
            span.muted {
                " (" (blast.targets) " of " (blast.population) ", " (format!("{:.0}", blast.percent())) " %)"
            }
        }
    }
}

fn limits_in_words(limits: &Limits) -> String {
    let first = match limits.canary {
        0 => "All at once".to_owned(),
        n => format!("{n} first, then twice as many each time"),
    };
    format!(
        "{first}; stops after {}; never more than {} or {:.0} %.",
        if limits.max_errors == 0 {
            "the first error".to_owned()
        } else {
            format!("{} errors", u64::from(limits.max_errors) + 1)
        },
        count(limits.max_targets as usize, "target", "targets"),
        limits.max_percent
    )
}

fn target_list(plan: &Plan, step: &PlannedStep, targets: &[FrozenTarget]) -> Markup {
    let (shown, folded) = targets.split_at(targets.len().min(SHOWN));
    let key = format!("{}-{}", plan.id, step.id);
    html! {
        ul.targets { @for t in shown { (target(plan, &key, t)) } }
        @if !folded.is_empty() {
            details data-key={ "more-" (key) } {
                summary { "and " (folded.len()) " more" }
                ul.targets { @for t in folded { (target(plan, &key, t)) } }
            }
        }
    }
}

fn target(plan: &Plan, key: &str, target: &FrozenTarget) -> Markup {
    let excluded = plan
        .facts
        .targets
        .iter()
        .find(|f| f.fingerprint == target.fingerprint)
        .and_then(|f| f.excluded.as_deref());
    let by_hand = target.json.get("by_hand").and_then(serde_json::Value::as_str);
    html! {
        li {
            @if let Some(statement) = by_hand {
                details data-key={ "hand-" (key) "-" (target.fingerprint) } {
                    summary { (target.label) span.muted { " · by hand" } }
                    pre.by-hand { (statement) }
                }
            } @else {
                (target.label)
            }
            @if let Some(why) = excluded { p.warning-line { "Never touched: " (why) } }
        }
    }
}

fn risk(risk: Risk) -> Markup {
    match risk {
        Risk::Read => chip("info", risk.word()),
        Risk::Reversible => chip("ok", risk.word()),
        Risk::Disruptive => chip("warn", risk.word()),
        Risk::Irreversible => chip("crit", risk.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn drawn(change: impl FnOnce(&mut Plan)) -> String {
        let mut view = sample::leak();
        let (plan, run) = view.stories[0].runs.last_mut().expect("a run");
        change(plan);
        render(plan, run, view.at).into_string()
    }

    #[test]
    fn what_a_signer_must_know_is_there() {
        let view = sample::leak();
        let plan = &view.stories[0].runs[0].0;
        let html = drawn(|_| ());
        assert!(
            html.contains("<strong>No undo</strong>: a session cannot be brought back"),
            "{html}"
        );
        assert!(
            html.contains(&format!("title=\"{}\"", plan.digest)),
            "the full digest"
        );
        assert!(html.contains("pg_terminate_backend") && html.contains("and 5 more"));
        assert!(html.contains("terminates 10 of 31 sessions"));
        assert!(html.contains("data-do=\"approve\"") && html.contains("data-do=\"reject\""));
        assert!(html.contains("after <code>terminate</code>") && html.contains("disruptive"));
    }

    #[test]
    fn an_undo_is_told_and_no_undo_is_not() {
        let html = drawn(|plan| {
            for s in &mut plan.steps {
                if let StepPlan::Action { undo, .. } = &mut s.plan {
                    *undo = UndoPlan::Inverse {
                        how: "set it back to 30s".into(),
                    };
                }
            }
        });
        assert!(html.contains("set it back to 30s") && !html.contains("No undo"));
    }

    #[test]
    fn an_expired_plan_has_no_buttons() {
        let html = drawn(|plan| plan.expires_at = plan.created_at);
        assert!(!html.contains("<button") && html.contains("expired"));
    }
}
