//! One changing run a cluster at a time.

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase == Phase::Plan {
        return Ok(());
    }
    let other = facts.past.iter().find(|p| {
        p.id != facts.plan.id
            && p.mutating
            && p.identity == facts.plan.scope.identity
            && p.started_at.is_some()
            && p.ended_at.is_none()
    });
    match other {
        None => Ok(()),
        Some(p) => Err(Refusal::new(
            "one_run",
            format!("run {} ({}) is at work on this cluster", p.id, p.runbook),
            format!("wait for it, or look at it with `muster runs show {}`", p.id),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, past, plan, policy};
    use super::*;
    use muster_model::RunOutcome;

    #[test]
    fn a_second_run_waits_and_another_cluster_does_not() {
        let (plan, policy) = (plan(1), policy());
        let mut running = [past("r0", None, None)];
        let mut f = facts(&plan, &policy, &[]);
        f.past = &running;
        assert!(check(&f).is_err());
        running[0].identity = "78".into();
        let mut f = facts(&plan, &policy, &[]);
        f.past = &running;
        assert_eq!(check(&f), Ok(()));
        let ended = [past("r0", Some(5), Some(RunOutcome::Proven))];
        f.past = &ended;
        assert_eq!(check(&f), Ok(()));
    }
}
