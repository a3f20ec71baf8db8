//! A missing privilege is found before the first change, not in the middle of it.

use super::{Facts, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.plan.facts.missing_privileges.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        "privilege",
        "the acting role lacks what the plan needs",
        format!("run: {}", facts.plan.facts.missing_privileges.join(" ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn the_missing_line_is_named() {
        let (mut plan, policy) = (plan(1), policy());
        assert_eq!(check(&facts(&plan, &policy, &[])), Ok(()));
        plan.facts.missing_privileges.push("GRANT x TO y;".into());
        assert!(
            check(&facts(&plan, &policy, &[]))
                .expect_err("lacks")
                .remedy
                .contains("GRANT x TO y;")
        );
    }
}
