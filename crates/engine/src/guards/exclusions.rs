//! Some things are never a target: `act` names them, this refuses the whole plan that holds one.

use super::{Facts, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if let Some(t) = facts.plan.facts.targets.iter().find(|t| t.excluded.is_some()) {
        let why = t.excluded.clone().unwrap_or_default();
        return Err(Refusal::new(
            "exclusions",
            format!(
                "step `{}` would touch {}, which is never touched: {why}",
                t.step, t.fingerprint
            ),
            "a person decides about this one by hand",
        ));
    }
    // A target without facts was never judged: unknown is not allowed.
    for step in &facts.plan.steps {
        if let muster_model::StepPlan::Action { targets, .. } = &step.plan {
            for target in targets {
                let known = facts
                    .plan
                    .facts
                    .targets
                    .iter()
                    .any(|f| f.step == step.id && f.fingerprint == target.fingerprint);
                if !known {
                    return Err(Refusal::new(
                        "exclusions",
                        format!("nothing is known about {}", target.label),
                        "make a new plan",
                    ));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn one_protected_or_unjudged_target_refuses_the_plan() {
        let (mut plan, policy) = (plan(2), policy());
        assert_eq!(check(&facts(&plan, &policy, &[])), Ok(()));
        plan.facts.targets[1].excluded = Some("it is a backup".into());
        assert!(
            check(&facts(&plan, &policy, &[]))
                .expect_err("protected")
                .why
                .contains("backup")
        );
        plan.facts.targets.pop();
        assert!(check(&facts(&plan, &policy, &[])).is_err());
    }
}
