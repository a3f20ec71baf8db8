//! Muster starts a changing run by itself only with a fresh Proof of the runbook for this major version.

use super::{Facts, Phase, Refusal};
use crate::proof::covers;

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.starter.is_person() || facts.phase == Phase::Plan || !facts.policy.require_proof {
        return Ok(());
    }
    let book = &facts.plan.runbook;
    covers(
        facts.proofs,
        &book.id,
        &book.digest,
        facts.settings_digest,
        facts.plan.facts.major,
        facts.now,
    )
    .map_err(|why| {
        Refusal::new(
            "autopilot_proof",
            why,
            format!("run `muster drill {}`, or let a person start it", book.id),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Starter;
    use super::super::fixture::{facts, plan, policy, proof};
    use super::*;

    #[test]
    fn autopilot_needs_a_proof_and_a_person_does_not() {
        let (plan, mut policy) = (plan(1), policy());
        let proofs = [proof()];
        let mut f = facts(&plan, &policy, &[]);
        assert_eq!(check(&f), Ok(()));
        f.starter = Starter::Autopilot;
        assert!(check(&f).is_err());
        f.proofs = &proofs;
        assert_eq!(check(&f), Ok(()));
        policy.require_proof = false;
        let mut f = facts(&plan, &policy, &[]);
        f.starter = Starter::Autopilot;
        assert_eq!(check(&f), Ok(()));
    }
}
