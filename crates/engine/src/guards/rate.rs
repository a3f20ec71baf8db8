//! Not more than 60 changing runs an hour on a cluster, whoever starts them; counted in the journal, so a restart forgets
//! nothing.

use muster_model::Span;

use super::{Facts, Phase, Refusal};

const PER_HOUR: usize = 60;

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase != Phase::Start {
        return Ok(());
    }
    let recent = facts
        .past
        .iter()
        .filter(|p| p.id != facts.plan.id && p.mutating && p.identity == facts.plan.scope.identity)
        .filter(|p| {
            p.started_at
                .is_some_and(|at| facts.now.since(at) < Span::from_mins(60))
        })
        .count();
    if recent < PER_HOUR {
        return Ok(());
    }
    Err(Refusal::new(
        "rate",
        format!("{recent} runs changed this cluster within the last hour"),
        "something starts runs in a loop: find it before going on",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, past, plan, policy};
    use super::*;
    use muster_model::RunOutcome;

    #[test]
    fn the_sixty_first_run_of_an_hour_is_refused() {
        let (plan, policy) = (plan(1), policy());
        let many: Vec<_> = (0..60)
            .map(|i| past(&format!("p{i}"), Some(5), Some(RunOutcome::Proven)))
            .collect();
        let mut f = facts(&plan, &policy, &[]);
        f.phase = Phase::Start;
        f.past = &many[..59];
        assert_eq!(check(&f), Ok(()));
        f.past = &many;
        assert!(check(&f).is_err());
    }
}
