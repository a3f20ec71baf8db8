//! Who must have signed, and who may: approvers only, never the requester (unless `solo`), two for irreversible.

use std::collections::BTreeSet;

use muster_model::{Approval, Decision, Plan, Policy, Risk};

use super::{Facts, Phase, Refusal};

/// How many signatures policy wants under this plan.
#[must_use]
pub fn needed(plan: &Plan, policy: &Policy) -> usize {
    if plan.target_count() == 0 {
        return 0;
    }
    let by_risk = policy.decision(plan.risk);
    let by_runbook = policy
        .runbooks
        .get(&plan.runbook.id)
        .copied()
        .unwrap_or(Decision::Auto);
    [by_risk, by_runbook]
        .into_iter()
        .map(|d| match d {
            Decision::Auto => 0,
            Decision::Approve => 1,
            Decision::TwoPerson | Decision::Never => 2,
        })
        .max()
        .unwrap_or(2)
}

/// Whether policy names them among those who decide.
pub(super) fn is_approver(policy: &Policy, by: &str) -> Result<(), Refusal> {
    if policy.approvers.is_empty() {
        return Err(Refusal::new(
            "approval",
            "nobody may approve: `policy.approvers` is empty",
            "name the approvers in the config",
        ));
    }
    if !policy.approvers.iter().any(|a| a == by) {
        return Err(Refusal::new(
            "approval",
            format!("{by} is not an approver"),
            format!("ask one of: {}", policy.approvers.join(", ")),
        ));
    }
    Ok(())
}

/// Whether this person may sign this plan.
///
/// # Errors
/// The refusal, with what to do.
pub fn may_approve(plan: &Plan, policy: &Policy, by: &str) -> Result<(), Refusal> {
    is_approver(policy, by)?;
    if plan.runbook.editor.as_deref() == Some(by) && !policy.solo {
        return Err(Refusal::new(
            "approval",
            format!("{by} wrote the file of this runbook and may not approve what it does"),
            "ask another approver, or set `policy.solo: true` for a team of one",
        ));
    }
    if plan.requested_by == by {
        if !policy.solo {
            return Err(Refusal::new(
                "approval",
                format!("{by} asked for this plan and may not approve it"),
                "ask another approver, or set `policy.solo: true` for a team of one",
            ));
        }
        if plan.risk == Risk::Irreversible {
            return Err(Refusal::new(
                "approval",
                format!("{by} asked for this plan, and it cannot be undone"),
                "an irreversible plan needs two other persons, also with `policy.solo`",
            ));
        }
    }
    Ok(())
}

fn valid<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a Approval> {
    facts
        .approvals
        .iter()
        .filter(|a| a.digest == facts.plan.digest && may_approve(facts.plan, facts.policy, &a.by).is_ok())
}

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase == Phase::Plan {
        return Ok(());
    }
    if super::glass::broken(facts) {
        return Ok(());
    }
    let needed = needed(facts.plan, facts.policy);
    let persons: BTreeSet<&str> = valid(facts).map(|a| a.by.as_str()).collect();
    if persons.len() >= needed {
        return Ok(());
    }
    Err(Refusal::new(
        "approval",
        format!("{} of {needed} approvals are there", persons.len()),
        format!("an approver runs `muster approve {}`", facts.plan.id),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy, signed};
    use super::*;

    #[test]
    fn disruptive_needs_one_other_person() {
        let (plan, policy) = (plan(1), policy());
        assert!(check(&facts(&plan, &policy, &[])).is_err());
        assert!(check(&facts(&plan, &policy, &signed(&plan, &["mallory"]))).is_err());
        assert_eq!(check(&facts(&plan, &policy, &signed(&plan, &["ana"]))), Ok(()));
        let mut other = signed(&plan, &["ana"]);
        other[0].digest = "of another plan".into();
        assert!(check(&facts(&plan, &policy, &other)).is_err());
    }

    #[test]
    fn the_requester_signs_only_in_a_team_of_one_and_never_the_irreversible() {
        let (mut plan, mut policy) = (plan(1), policy());
        plan.requested_by = "ana".into();
        assert!(may_approve(&plan, &policy, "ana").is_err());
        policy.solo = true;
        assert_eq!(may_approve(&plan, &policy, "ana"), Ok(()));
        plan.risk = Risk::Irreversible;
        assert!(may_approve(&plan, &policy, "ana").is_err());
    }

    #[test]
    fn who_wrote_the_runbook_does_not_approve_it() {
        let (mut plan, mut policy) = (plan(1), policy());
        plan.runbook.editor = Some("ana".into());
        assert!(
            may_approve(&plan, &policy, "ana")
                .expect_err("wrote it")
                .why
                .contains("wrote the file")
        );
        assert_eq!(may_approve(&plan, &policy, "bo"), Ok(()));
        policy.solo = true;
        assert_eq!(may_approve(&plan, &policy, "ana"), Ok(()));
    }

    #[test]
    fn irreversible_needs_two_different_persons_and_nobody_means_nobody() {
        let (mut plan, mut policy) = (plan(1), policy());
        plan.risk = Risk::Irreversible;
        let plan = plan.sealed();
        assert!(check(&facts(&plan, &policy, &signed(&plan, &["ana", "ana"]))).is_err());
        assert_eq!(
            check(&facts(&plan, &policy, &signed(&plan, &["ana", "bo"]))),
            Ok(())
        );
        policy.approvers.clear();
        assert!(check(&facts(&plan, &policy, &signed(&plan, &["ana", "bo"]))).is_err());
    }
}
