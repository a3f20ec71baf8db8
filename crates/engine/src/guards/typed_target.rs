//! Who signs what cannot be undone types the name of its target: a click is too easy.

use muster_model::{Plan, Risk};

use super::Refusal;

/// Whether a signature under this plan may be given with what was typed.
///
/// # Errors
/// The refusal, with what to type.
pub fn check(plan: &Plan, typed: Option<&str>) -> Result<(), Refusal> {
    if plan.risk < Risk::Irreversible || typed == Some(plan.scope.target.as_str()) {
        return Ok(());
    }
    let why = match typed {
        None => "this cannot be undone".to_owned(),
        Some(other) => format!("this cannot be undone, and `{other}` is not its target"),
    };
    Err(Refusal::new(
        "typed_target",
        why,
        format!(
            "sign it with the name of its target: `muster approve {} --target {}`",
            plan.id, plan.scope.target
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::plan;
    use super::*;

    #[test]
    fn only_the_irreversible_has_to_be_typed() {
        let mut plan = plan(1);
        assert_eq!(check(&plan, None), Ok(()));
        plan.risk = Risk::Irreversible;
        assert!(
            check(&plan, None)
                .expect_err("typed")
                .remedy
                .contains("--target shop/a")
        );
        assert!(check(&plan, Some("shop/b")).is_err());
        assert_eq!(check(&plan, Some("shop/a")), Ok(()));
    }
}
