//! The servers keep their roles: after a failover, or with two that take writes, a plan made before is of another world.

use muster_model::Plan;

use super::{Facts, Phase, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    let look = "look at `muster check`, then make a new plan";
    if let Some(now) = facts.primaries_now.filter(|now| now.len() > 1) {
        return Err(Refusal::new(
            "primary",
            format!("{} both take writes", now.join(" and ")),
            "find out which one is right before anything is changed",
        ));
    }
    if facts.phase == Phase::Plan {
        return Ok(());
    }
    let refused = |why: String| Refusal::new("primary", why, look);
    match compare(facts.plan, facts.primaries_now, facts.timeline_now) {
        Same::Yes => Ok(()),
        Same::No(why) | Same::Unread(why) => Err(refused(why)),
    }
}

/// Whether the servers still have the roles that they had when a plan was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Same {
    /// They have.
    Yes,
    /// They have not.
    No(String),
    /// That cannot be read.
    Unread(String),
}

/// Compares the roles of a plan with those of now.
#[must_use]
pub fn compare(plan: &Plan, primaries_now: Option<&[String]>, timeline_now: Option<u32>) -> Same {
    let Some(then) = &plan.facts.primaries else {
        return Same::Yes;
    };
    match primaries_now {
        Some(now) if now == then => {}
        Some(now) => {
            let name = |list: &[String]| match list {
                [] => "nobody".to_owned(),
                some => some.join(", "),
            };
            return Same::No(format!(
                "{} took writes when the plan was made, now {} does",
                name(then),
                name(now)
            ));
        }
        None => return Same::Unread("which server takes writes cannot be read now".to_owned()),
    }
    match (plan.facts.timeline, timeline_now) {
        (Some(then), Some(now)) if then != now => Same::No(format!(
            "the timeline was {then} when the plan was made and is {now} now: there was a failover or a restore"
        )),
        (Some(_), None) => Same::Unread("the timeline cannot be read now".to_owned()),
        _ => Same::Yes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn another_primary_another_timeline_or_two_of_them_are_refused() {
        let (mut plan, policy) = (plan(1), policy());
        plan.facts.primaries = Some(vec!["shop/a".into()]);
        plan.facts.timeline = Some(1);
        let (a, b) = (["shop/a".to_owned()], ["shop/b".to_owned()]);
        let mut f = facts(&plan, &policy, &[]);
        f.primaries_now = Some(&a);
        f.timeline_now = Some(1);
        assert_eq!(check(&f), Ok(()));
        f.timeline_now = Some(2);
        assert!(check(&f).expect_err("another timeline").why.contains("was 1"));
        f.timeline_now = None;
        assert!(check(&f).is_err(), "unknown is never the same");
        f.timeline_now = Some(1);
        f.primaries_now = Some(&b);
        assert!(check(&f).expect_err("another primary").why.contains("now shop/b"));
        f.primaries_now = None;
        assert!(check(&f).is_err());
        let both = [a[0].clone(), b[0].clone()];
        f.primaries_now = Some(&both);
        f.phase = Phase::Plan;
        assert!(check(&f).expect_err("two").why.contains("both take writes"));
    }
}
