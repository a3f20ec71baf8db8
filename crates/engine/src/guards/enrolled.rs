//! Only targets of the config are touched.

use super::{Facts, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.plan.facts.enrolled {
        return Ok(());
    }
    Err(Refusal::new(
        "enrolled",
        format!("{} is not in the config", facts.plan.scope.target),
        "add it under `clusters` and check it with `muster config check`",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn a_target_outside_the_config_is_refused() {
        let (mut plan, policy) = (plan(1), policy());
        assert_eq!(check(&facts(&plan, &policy, &[])), Ok(()));
        plan.facts.enrolled = false;
        assert!(check(&facts(&plan, &policy, &[])).is_err());
    }
}
