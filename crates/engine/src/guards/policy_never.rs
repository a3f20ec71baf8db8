//! What policy forbids does not happen, whoever asks.

use muster_model::{Decision, Risk};

use super::{Facts, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    let risk = facts.plan.risk;
    let refuse = |why: String| {
        Err(Refusal::new(
            "policy",
            why,
            "change `policy` in the config if that is not meant",
        ))
    };
    if facts.policy.decision(risk) == Decision::Never {
        return refuse(format!("policy says never to {} changes", risk.word()));
    }
    if facts.policy.runbooks.get(&facts.plan.runbook.id) == Some(&Decision::Never) {
        return refuse(format!(
            "policy says never to runbook `{}`",
            facts.plan.runbook.id
        ));
    }
    if risk == Risk::Irreversible
        && !matches!(facts.policy.irreversible, Decision::TwoPerson | Decision::Never)
    {
        return refuse("irreversible changes need two persons; policy may not say less".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn never_means_never() {
        let (mut plan, mut policy) = (plan(1), policy());
        assert_eq!(check(&facts(&plan, &policy, &[])), Ok(()));
        policy.disruptive = Decision::Never;
        assert!(check(&facts(&plan, &policy, &[])).is_err());
        policy.disruptive = Decision::Approve;
        policy.runbooks.insert("book".into(), Decision::Never);
        assert!(check(&facts(&plan, &policy, &[])).is_err());
        policy.runbooks.clear();
        plan.risk = Risk::Irreversible;
        policy.irreversible = Decision::Auto;
        assert!(
            check(&facts(&plan, &policy, &[])).is_err(),
            "irreversible is never automatic"
        );
    }
}
