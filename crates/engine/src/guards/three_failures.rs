//! Three failed runs of a runbook in a row stop it for an hour.

use muster_model::{RunOutcome, Span};

use super::{Facts, Phase, Refusal};

const BLOCK: Span = Span::from_mins(60);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase != Phase::Start || facts.starter.is_person() {
        return Ok(());
    }
    let mut ended: Vec<_> = facts
        .past
        .iter()
        .filter(|p| p.identity == facts.plan.scope.identity && p.runbook == facts.plan.runbook.id)
        .filter_map(|p| Some((p.ended_at?, p.outcome?)))
        .collect();
    ended.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let failed = ended
        .iter()
        .take_while(|(_, outcome)| {
            matches!(
                outcome,
                RunOutcome::Failed
                    | RunOutcome::Escalated
                    | RunOutcome::Undone
                    | RunOutcome::UndoFailed
                    | RunOutcome::Indeterminate
            )
        })
        .count();
    match ended.first() {
        Some((last, _)) if failed >= 3 && facts.now.since(*last) < BLOCK => Err(Refusal::new(
            "three_failures",
            format!("`{}` failed {failed} times in a row here", facts.plan.runbook.id),
            "a person looks at it first; Muster does not start it for an hour",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Starter;
    use super::super::fixture::{at, facts, past, plan, policy};
    use super::*;

    #[test]
    fn the_fourth_try_is_refused_for_an_hour() {
        let (plan, policy) = (plan(1), policy());
        let mut f = facts(&plan, &policy, &[]);
        f.phase = Phase::Start;
        f.starter = Starter::Autopilot;
        let failed: Vec<_> = (0..3)
            .map(|i| past(&format!("p{i}"), Some(i + 5), Some(RunOutcome::Escalated)))
            .collect();
        f.past = &failed[..2];
        assert_eq!(check(&f), Ok(()));
        f.past = &failed;
        assert!(check(&f).is_err());
        f.now = at(3700);
        assert_eq!(check(&f), Ok(()));
        let mut cured = failed.clone();
        cured.push(past("p9", Some(9), Some(RunOutcome::Proven)));
        f.now = at(20);
        f.past = &cured;
        assert_eq!(check(&f), Ok(()), "a success in between ends the row");
    }
}
