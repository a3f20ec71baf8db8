//! The cluster must be the very one the plan was made for: a restored copy at the same address is another one.

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase == Phase::Plan {
        return if facts.plan.scope.identity.is_empty() {
            Err(Refusal::new(
                "identity",
                format!("the identity of {} cannot be read", facts.plan.scope.cluster),
                "run `muster config check`",
            ))
        } else {
            Ok(())
        };
    }
    match facts.identity_now {
        Some(now) if now == facts.plan.scope.identity => Ok(()),
        Some(now) => Err(Refusal::new(
            "identity",
            format!(
                "the plan is for cluster {}, but {now} answers at its address",
                facts.plan.scope.identity
            ),
            "find out what stands at that address, then make a new plan",
        )),
        None => Err(Refusal::new(
            "identity",
            format!("the identity of {} cannot be read now", facts.plan.scope.cluster),
            "run `muster check`; an unknown target is not touched",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn another_or_an_unreadable_cluster_is_refused() {
        let (plan, policy) = (plan(1), policy());
        let mut f = facts(&plan, &policy, &[]);
        assert_eq!(check(&f), Ok(()));
        f.identity_now = Some("78");
        assert!(check(&f).is_err());
        f.identity_now = None;
        assert!(check(&f).is_err());
    }
}
