//! What was approved is what the runbook said then: a runbook that was edited since is planned anew.

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.phase == Phase::Plan || facts.runbook_now == Some(facts.plan.runbook.digest.as_str()) {
        return Ok(());
    }
    let id = &facts.plan.runbook.id;
    let what = match facts.runbook_now {
        Some(_) => format!("the runbook `{id}` was edited after this plan was made"),
        None => format!("the runbook `{id}` is gone"),
    };
    Err(Refusal::new(
        "runbook_changed",
        what,
        "make a new plan and have it approved",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn an_edited_or_missing_runbook_is_refused() {
        let (plan, policy) = (plan(1), policy());
        let mut f = facts(&plan, &policy, &[]);
        assert_eq!(check(&f), Ok(()));
        f.runbook_now = Some("another digest");
        assert!(check(&f).expect_err("edited").why.contains("was edited"));
        f.runbook_now = None;
        assert!(check(&f).expect_err("gone").why.contains("is gone"));
        f.phase = Phase::Plan;
        assert_eq!(check(&f), Ok(()), "a plan is made from the text at hand");
    }
}
