//! After a changing run, Muster starts the same runbook on the same target again only after 5 minutes.

use muster_model::Span;

use super::{Facts, Phase, Refusal};

/// How long.
pub(super) const COOL_DOWN: Span = Span::from_mins(5);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.starter.is_person() || facts.phase != Phase::Start {
        return Ok(());
    }
    let last = facts
        .past
        .iter()
        .filter(|p| p.id != facts.plan.id && p.effects > 0)
        .filter(|p| p.identity == facts.plan.scope.identity && p.runbook == facts.plan.runbook.id)
        .filter_map(|p| p.ended_at)
        .max();
    match last {
        Some(at) if facts.now.since(at) < COOL_DOWN => Err(Refusal::new(
            "cool_down",
            format!(
                "the same runbook changed this cluster {} ago",
                facts.now.since(at).human()
            ),
            "a person may start it; Muster waits 5 minutes",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Starter;
    use super::super::fixture::{at, facts, past, plan, policy};
    use super::*;
    use muster_model::RunOutcome;

    #[test]
    fn autopilot_waits_five_minutes_and_a_person_does_not() {
        let (plan, policy) = (plan(1), policy());
        let before = [past("r0", Some(10), Some(RunOutcome::Proven))];
        let mut f = facts(&plan, &policy, &[]);
        f.past = &before;
        f.phase = Phase::Start;
        assert_eq!(check(&f), Ok(()));
        f.starter = Starter::Autopilot;
        assert!(check(&f).is_err());
        f.now = at(311);
        assert_eq!(check(&f), Ok(()));
    }
}
