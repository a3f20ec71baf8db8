//! A plan runs only as this journal issued it: an edited or foreign plan file is refused.

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    let remedy = "make a new plan; a plan is never edited";
    if facts.plan.format > muster_model::FORMAT {
        return Err(Refusal::new(
            "issued",
            "the plan was written by a newer version",
            "apply it with that version",
        ));
    }
    if !facts.plan.intact() {
        return Err(Refusal::new(
            "issued",
            "the plan was edited: its digest does not fit its text",
            remedy,
        ));
    }
    match facts.issued {
        _ if facts.phase == Phase::Plan => Ok(()),
        Some(digest) if digest == facts.plan.digest => Ok(()),
        Some(_) => Err(Refusal::new(
            "issued",
            "the plan is not the one that this journal issued under its id",
            remedy,
        )),
        None => Err(Refusal::new(
            "issued",
            "the plan was not issued by this state's journal",
            remedy,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn an_edited_or_foreign_plan_is_refused() {
        let (good, policy) = (plan(1), policy());
        let mut edited = good.clone();
        edited.scope.target = "shop/b".into();
        assert!(
            check(&facts(&edited, &policy, &[]))
                .expect_err("edited")
                .why
                .contains("edited")
        );
        let mut foreign = facts(&good, &policy, &[]);
        foreign.issued = None;
        assert!(check(&foreign).is_err());
        foreign.issued = Some("another");
        assert!(check(&foreign).is_err());
        assert_eq!(check(&facts(&good, &policy, &[])), Ok(()));
    }
}
