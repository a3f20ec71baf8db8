//! A repair that did not last is not repeated unattended: three repairs in 24 h that came back, and a person decides.

use muster_model::{RunOutcome, Span};

use super::{Facts, Phase, Refusal};

const WINDOW: Span = Span::from_mins(24 * 60);
const REPAIRS: usize = 3;

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.starter.is_person() || facts.phase != Phase::Start {
        return Ok(());
    }
    let repairs = facts
        .past
        .iter()
        .filter(|p| p.identity == facts.plan.scope.identity && p.runbook == facts.plan.runbook.id)
        .filter(|p| {
            matches!(
                p.outcome,
                Some(RunOutcome::Proven | RunOutcome::Done | RunOutcome::Escalated)
            )
        })
        .filter(|p| p.ended_at.is_some_and(|at| facts.now.since(at) < WINDOW))
        .count();
    if repairs < REPAIRS {
        return Ok(());
    }
    Err(Refusal::new(
        "relapse",
        format!(
            "`{}` repaired this {repairs} times in 24 hours and it came back",
            facts.plan.runbook.id
        ),
        "the cause is elsewhere: a person looks at the incident's owners",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Starter;
    use super::super::fixture::{facts, past, plan, policy};
    use super::*;

    #[test]
    fn the_fourth_repair_in_a_day_is_for_a_person() {
        let (plan, policy) = (plan(1), policy());
        let repaired: Vec<_> = (0..3)
            .map(|i| past(&format!("p{i}"), Some(i + 5), Some(RunOutcome::Proven)))
            .collect();
        let mut f = facts(&plan, &policy, &[]);
        f.phase = Phase::Start;
        f.starter = Starter::Autopilot;
        f.past = &repaired[..2];
        assert_eq!(check(&f), Ok(()));
        f.past = &repaired;
        assert!(check(&f).is_err());
        f.starter = Starter::Person("bo".into());
        assert_eq!(check(&f), Ok(()));
    }
}
