//! No step reaches farther than its runbook allows, in number and in share; unless the plan was made to, and two people broke the
//! glass for it.

use muster_model::{Plan, StepPlan};

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    let may = facts.plan.over_limits && (facts.phase == Phase::Plan || super::glass::broken_twice(facts));
    match within_limits(facts.plan) {
        Err(Farther::Limits(refusal)) if !may => Err(refusal),
        Err(Farther::Wrong(refusal)) => Err(refusal),
        _ => Ok(()),
    }
}

/// How a plan does not fit its limits.
#[derive(Debug)]
pub(crate) enum Farther {
    /// It reaches farther.
    Limits(Refusal),
    /// It does not say rightly how far it reaches.
    Wrong(Refusal),
}

/// Whether a plan reaches no farther than its runbook allows.
pub(crate) fn within_limits(plan: &Plan) -> Result<(), Farther> {
    for step in &plan.steps {
        let StepPlan::Action {
            targets,
            limits,
            blast,
            ..
        } = &step.plan
        else {
            continue;
        };
        let remedy = if plan.over_limits {
            "two approvers break the glass for it: `muster break-glass RUN --target … --why …`, each of them"
        } else {
            "look at the plan; raise `limits` in an own copy of the runbook, or make it with `muster plan … --over-limits`"
        };
        let count = u64::try_from(targets.len()).unwrap_or(u64::MAX);
        if count != blast.targets {
            return Err(Farther::Wrong(Refusal::new(
                "blast_radius",
                format!(
                    "step `{}` says {} targets and has {count}",
                    step.id, blast.targets
                ),
                "make a new plan",
            )));
        }
        let why = if count > u64::from(limits.max_targets) {
            format!(
                "step `{}` would touch {count} targets; its limit is {}",
                step.id, limits.max_targets
            )
        } else if blast.percent() > limits.max_percent {
            format!(
                "step `{}` would touch {:.0} % of {}; its limit is {:.0} %",
                step.id,
                blast.percent(),
                blast.population,
                limits.max_percent
            )
        } else {
            continue;
        };
        return Err(Farther::Limits(Refusal::new("blast_radius", why, remedy)));
    }
    Ok(())
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
