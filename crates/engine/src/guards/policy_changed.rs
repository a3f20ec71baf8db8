//! Who may approve, and how many it takes, is pinned when a plan is made: a policy that was edited since is a new question.

use muster_model::Policy;

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    let Some(then) = &facts.plan.policy else {
        return Ok(());
    };
    if facts.phase == Phase::Plan || then == facts.policy {
        return Ok(());
    }
    Err(Refusal::new(
        "policy_changed",
        format!("{} after this plan was made", difference(then, facts.policy)),
        "make a new plan and have it approved by the rules of now",
    ))
}

/// What is different, by name.
fn difference(then: &Policy, now: &Policy) -> String {
    if then.approvers != now.approvers {
        let list = |p: &Policy| match &p.approvers[..] {
            [] => "nobody".to_owned(),
            some => some.join(", "),
        };
        return format!(
            "`policy.approvers` was changed from {} to {}",
            list(then),
            list(now)
        );
    }
    let changed = [
        ("reversible", then.reversible != now.reversible),
        ("disruptive", then.disruptive != now.disruptive),
        ("irreversible", then.irreversible != now.irreversible),
        ("solo", then.solo != now.solo),
        ("require_proof", then.require_proof != now.require_proof),
        ("runbooks", then.runbooks != now.runbooks),
    ];
    let names: Vec<String> = changed
        .iter()
        .filter(|(_, different)| *different)
        .map(|(name, _)| format!("`policy.{name}`"))
        .collect();
    format!("{} was changed", names.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn an_edited_policy_is_refused_and_named() {
        let (mut plan, mut policy) = (plan(1), policy());
        plan.policy = Some(policy.clone());
        assert_eq!(check(&facts(&plan, &policy, &[])), Ok(()));
        policy.approvers.push("eve".into());
        let refused = check(&facts(&plan, &policy, &[])).expect_err("edited");
        assert!(
            refused.why.contains("from ana, bo to ana, bo, eve"),
            "{}",
            refused.why
        );
        policy.approvers.pop();
        policy.solo = true;
        assert!(
            check(&facts(&plan, &policy, &[]))
                .expect_err("edited")
                .why
                .contains("`policy.solo`")
        );
        plan.policy = None;
        assert_eq!(
            check(&facts(&plan, &policy, &[])),
            Ok(()),
            "plans of before did not pin it"
        );
    }
}
