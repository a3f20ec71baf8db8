//! Without a credential to act with, Muster proposes and a person does it by hand.

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.plan.facts.can_act || facts.phase == Phase::Plan {
        return Ok(());
    }
    Err(Refusal::new(
        "acting_login",
        format!("there is no `act` login for {}", facts.plan.scope.target),
        "add `act:` to the config, or carry out the printed statements by hand",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn it_may_be_planned_but_not_started() {
        let (mut plan, policy) = (plan(1), policy());
        plan.facts.can_act = false;
        let mut f = facts(&plan, &policy, &[]);
        assert!(check(&f).is_err());
        f.phase = Phase::Plan;
        assert_eq!(check(&f), Ok(()));
    }
}
