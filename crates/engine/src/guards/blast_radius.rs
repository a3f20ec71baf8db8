//! No step reaches farther than its runbook allows, in number and in share; unless the plan was made to, and two people broke the
//! glass for it.

use muster_model::{Blast, FrozenTarget, Limits, Plan, StepPlan};

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    says_rightly(facts.plan)?;
    if facts.plan.over_limits && (facts.phase == Phase::Plan || super::glass::broken_twice(facts)) {
        return Ok(());
    }
    within_limits(facts.plan)
}

/// Whether a plan says how many targets it has.
fn says_rightly(plan: &Plan) -> Result<(), Refusal> {
    for (step, targets, _, blast) in actions(plan) {
        let count = u64::try_from(targets.len()).unwrap_or(u64::MAX);
        if count != blast.targets {
            let why = format!("step `{step}` says {} targets and has {count}", blast.targets);
            return Err(Refusal::new("blast_radius", why, "make a new plan"));
        }
    }
    Ok(())
}

/// Whether a plan reaches no farther than its runbook allows.
pub(crate) fn within_limits(plan: &Plan) -> Result<(), Refusal> {
    let remedy = if plan.over_limits {
        "two approvers break the glass for it: `muster break-glass RUN --target … --why …`, each of them"
    } else {
        "look at the plan; raise `limits` in an own copy of the runbook, or make it with `muster plan … --over-limits`"
    };
    for (step, targets, limits, blast) in actions(plan) {
        let why = if targets.len() > usize::try_from(limits.max_targets).unwrap_or(usize::MAX) {
            format!(
                "step `{step}` would touch {} targets; its limit is {}",
                targets.len(),
                limits.max_targets
            )
        } else if blast.percent() > limits.max_percent {
            format!(
                "step `{step}` would touch {:.0} % of {}; its limit is {:.0} %",
                blast.percent(),
                blast.population,
                limits.max_percent
            )
        } else {
            continue;
        };
        return Err(Refusal::new("blast_radius", why, remedy));
    }
    Ok(())
}

fn actions(plan: &Plan) -> impl Iterator<Item = (&str, &[FrozenTarget], &Limits, &Blast)> {
    plan.steps.iter().filter_map(|s| match &s.plan {
        StepPlan::Action {
            targets,
            limits,
            blast,
            ..
        } => Some((s.id.as_str(), targets.as_slice(), limits, blast)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn only_two_who_break_the_glass_reach_farther() {
        let policy = policy();
        let mut many = plan(6);
        let refused = |many: &Plan, first, second| {
            let mut f = facts(many, &policy, &[]);
            (f.glass, f.glass_second) = (first, second);
            check(&f).is_err()
        };
        assert!(
            refused(&many, Some("ana"), Some("bo")),
            "it was not made for that"
        );
        many.over_limits = true;
        assert!(refused(&many, Some("ana"), None));
        assert!(refused(&many, None, Some("bo")));
        assert!(
            refused(&many, Some("ana"), Some("ana")),
            "one person is one person"
        );
        assert!(
            refused(&many, Some("ana"), Some("mallory")),
            "mallory is no approver"
        );
        assert!(refused(&many, Some("mallory"), Some("bo")));
        assert!(!refused(&many, Some("ana"), Some("bo")));
        many.requested_by = "bo".into();
        assert!(
            refused(&many, Some("ana"), Some("bo")),
            "who asked is no second person"
        );
        let mut f = facts(&many, &policy, &[]);
        f.phase = Phase::Plan;
        assert_eq!(check(&f), Ok(()), "such a plan can be made");
        many.over_limits = false;
        let mut f = facts(&many, &policy, &[]);
        f.phase = Phase::Plan;
        assert!(check(&f).is_err());
        // Nobody lifts that a plan does not say how far it reaches, in whichever step.
        let mut wrong = plan(6);
        wrong.over_limits = true;
        wrong.steps.push(plan(2).steps.remove(0));
        if let StepPlan::Action { blast, .. } = &mut wrong.steps[1].plan {
            blast.targets = 1;
        }
        let mut f = facts(&wrong, &policy, &[]);
        (f.glass, f.glass_second) = (Some("ana"), Some("bo"));
        assert!(
            check(&f)
                .expect_err("it says 1 and has 2")
                .why
                .contains("says 1 targets")
        );
    }

    #[test]
    fn too_many_and_too_large_a_share_are_refused() {
        let policy = policy();
        assert_eq!(check(&facts(&plan(5), &policy, &[])), Ok(()));
        assert!(check(&facts(&plan(6), &policy, &[])).is_err());
        let mut few = plan(2);
        if let StepPlan::Action { blast, .. } = &mut few.steps[0].plan {
            blast.population = 3;
        }
        assert!(
            check(&facts(&few, &policy, &[]))
                .expect_err("67 %")
                .why
                .contains("67 %")
        );
        if let StepPlan::Action { blast, .. } = &mut few.steps[0].plan {
            blast.population = 0;
        }
        assert!(
            check(&facts(&few, &policy, &[])).is_err(),
            "an unknown population is the whole of it"
        );
    }
}
