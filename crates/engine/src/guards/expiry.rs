//! An old plan describes an old world. Expiry is enforced when the plan is read, not by a clean-up.

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase == Phase::Change || facts.now <= facts.plan.expires_at {
        // A run that started in time may finish; each change checks its target's identity anyway.
        return Ok(());
    }
    Err(Refusal::new(
        "expiry",
        format!(
            "the plan expired {} ago",
            facts.now.since(facts.plan.expires_at).human()
        ),
        "make a new plan: the world may have changed",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{at, facts, plan, policy};
    use super::*;

    #[test]
    fn a_plan_starts_only_before_it_expires() {
        let (plan, policy) = (plan(1), policy());
        let mut f = facts(&plan, &policy, &[]);
        f.phase = Phase::Start;
        f.now = at(900);
        assert_eq!(check(&f), Ok(()));
        f.now = at(901);
        assert!(check(&f).is_err());
        f.phase = Phase::Change;
        assert_eq!(check(&f), Ok(()), "a run that started in time may finish");
    }
}
