//! Breaking the glass: one approver takes it on themselves when nobody else can be reached. It stands for the signatures that policy
//! wants, and for a window; nothing else is lifted: not what policy never allows, not a freeze, not the blast radius. That takes a
//! plan that was made for it and a second approver who breaks the glass too.

use muster_model::{Plan, Policy};

use super::{Facts, Refusal, approval};

/// A reason of fewer letters says nothing.
const REASON: usize = 10;

/// Whether this person may break the glass for this plan, with what was typed and said.
///
/// # Errors
/// The refusal, with what to do.
pub fn may_break(plan: &Plan, policy: &Policy, by: &str, typed: &str, why: &str) -> Result<(), Refusal> {
    approval::is_approver(policy, by)?;
    if typed != plan.scope.target {
        return Err(Refusal::new(
            "glass",
            format!("`{typed}` is not the target of this plan"),
            format!("type it out: --target {}", plan.scope.target),
        ));
    }
    if why.trim().chars().count() < REASON {
        return Err(Refusal::new(
            "glass",
            "that is no reason",
            "say in a sentence why it cannot wait: --why",
        ));
    }
    Ok(())
}

/// Whether somebody who may did it.
pub(super) fn broken(facts: &Facts<'_>) -> bool {
    facts
        .glass
        .is_some_and(|by| approval::is_approver(facts.policy, by).is_ok())
}

/// Whether a second person, who may sign this plan, did it as well.
pub(super) fn broken_twice(facts: &Facts<'_>) -> bool {
    let signs = |by: &str| approval::may_approve(facts.plan, facts.policy, by).is_ok();
    broken(facts)
        && facts
            .glass_second
            .is_some_and(|second| facts.glass != Some(second) && signs(second))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, nights, plan, policy, signed};
    use super::super::{Phase, check};
    use super::*;

    #[test]
    fn it_stands_for_signatures_and_a_window_and_for_nothing_else() {
        let (plan, mut policy) = (plan(1), policy());
        let mut f = facts(&plan, &policy, &[]);
        f.phase = Phase::Start;
        assert_eq!(check(&f).expect_err("nobody signed").guard, "approval");
        f.glass = Some("ana");
        assert_eq!(check(&f), Ok(()));
        f.glass = Some("mallory");
        assert_eq!(check(&f).expect_err("no approver").guard, "approval");
        f.glass = Some("ana");
        f.frozen = Some("an audit");
        assert_eq!(check(&f).expect_err("frozen").guard, "freeze");
        let many = super::super::fixture::plan(6);
        let mut f = facts(&many, &policy, &[]);
        f.glass = Some("ana");
        assert_eq!(check(&f).expect_err("too many").guard, "blast_radius");
        // A window is what it stands for as well.
        let mondays = [muster_model::Window {
            days: vec![1],
            ..nights()
        }];
        let mut f = facts(&plan, &policy, &[]);
        let signed = signed(&plan, &["bo"]);
        f.approvals = &signed;
        f.windows = &mondays;
        assert_eq!(check(&f).expect_err("no window is open").guard, "window");
        f.glass = Some("ana");
        assert_eq!(check(&f), Ok(()));
        f.glass = Some("mallory");
        assert_eq!(check(&f).expect_err("mallory is no approver").guard, "window");
        policy.disruptive = muster_model::Decision::Never;
        let mut f = facts(&plan, &policy, &[]);
        f.glass = Some("ana");
        assert_eq!(check(&f).expect_err("never is never").guard, "policy");
    }

    #[test]
    fn the_target_is_typed_and_a_reason_is_given_by_an_approver() {
        let (plan, policy) = (plan(1), policy());
        let target = plan.scope.target.clone();
        let why = "the pool is full and nobody answers";
        assert_eq!(may_break(&plan, &policy, "ana", &target, why), Ok(()));
        assert!(may_break(&plan, &policy, "mallory", &target, why).is_err());
        assert!(may_break(&plan, &policy, "ana", "shop", why).is_err() || target == "shop");
        assert!(may_break(&plan, &policy, "ana", &target, "asap").is_err());
    }
}
