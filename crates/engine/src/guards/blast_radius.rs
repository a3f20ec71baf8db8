//! No step reaches farther than its runbook allows, in number and in share.

use muster_model::StepPlan;

use super::{Facts, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    for step in &facts.plan.steps {
        let StepPlan::Action {
            targets,
            limits,
            blast,
            ..
        } = &step.plan
        else {
            continue;
        };
        let remedy = "look at the plan; a person may raise `limits` in an own copy of the runbook";
        let count = u64::try_from(targets.len()).unwrap_or(u64::MAX);
        if count != blast.targets {
            return Err(Refusal::new(
                "blast_radius",
                format!(
                    "step `{}` says {} targets and has {count}",
                    step.id, blast.targets
                ),
                "make a new plan",
            ));
        }
        if count > u64::from(limits.max_targets) {
            return Err(Refusal::new(
                "blast_radius",
                format!(
                    "step `{}` would touch {count} targets; its limit is {}",
                    step.id, limits.max_targets
                ),
                remedy,
            ));
        }
        if blast.percent() > limits.max_percent {
            return Err(Refusal::new(
                "blast_radius",
                format!(
                    "step `{}` would touch {:.0} % of {}; its limit is {:.0} %",
                    step.id,
                    blast.percent(),
                    blast.population,
                    limits.max_percent
                ),
                remedy,
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

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
