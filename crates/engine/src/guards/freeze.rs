//! The freeze switch: nothing is changed while it is on; looking goes on.

use super::{Facts, Refusal};

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    match facts.frozen {
        None => Ok(()),
        Some(why) => Err(Refusal::new(
            "freeze",
            format!("changes are frozen: {why}"),
            "lift it with `muster unfreeze`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{facts, plan, policy};
    use super::*;

    #[test]
    fn nothing_is_changed_while_frozen() {
        let (plan, policy) = (plan(1), policy());
        let mut f = facts(&plan, &policy, &[]);
        assert_eq!(check(&f), Ok(()));
        f.frozen = Some("release week");
        assert!(check(&f).expect_err("frozen").why.contains("release week"));
    }
}
