//! An old plan describes an old world. Expiry is enforced when the plan is read, not by a clean-up.

use muster_model::Span;

use super::{Facts, Phase, Refusal};

/// How long after its expiry a run that began in time may still change something.
const FINISH_WITHIN: Span = Span::from_mins(15);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    // A run that started in time may finish soon after; one that was interrupted for long describes an old world.
    let until = if facts.phase == Phase::Change {
        facts.plan.expires_at.plus(FINISH_WITHIN)
    } else {
        facts.plan.expires_at
    };
    if facts.now <= until {
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
        f.now = at(901 + 15 * 60);
        assert!(check(&f).is_err(), "but not days later");
    }
}
