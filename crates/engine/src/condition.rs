//! Conditions of a persisted plan, evaluated over what a probe said.

use muster_model::{Record, Signature};

/// Whether the condition holds.
///
/// # Errors
/// A sentence; a condition that cannot be evaluated is never true and never false.
pub fn holds(condition: &str, outputs: &Record, signature: &Signature) -> Result<bool, String> {
    muster_runbooks::eval(condition, outputs, Some(signature)).map_err(|e| e.to_string())
}

/// The values that a condition speaks of, for people: `waiting = 7, maxwait = 6s`.
#[must_use]
pub fn values(condition: &str, outputs: &Record) -> String {
    let named: Vec<String> = outputs
        .iter()
        .filter(|(name, _)| mentions(condition, name))
        .map(|(name, value)| match value {
            serde_json::Value::Array(items) => format!("size({name}) = {}", items.len()),
            serde_json::Value::String(text) => format!("{name} = {text}"),
            other => format!("{name} = {other}"),
        })
        .collect();
    named.join(", ")
}

fn mentions(condition: &str, name: &str) -> bool {
    condition
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_values_a_condition_speaks_of() {
        let outputs: Record =
            serde_json::from_str(r#"{"waiting":7,"wait":1,"sessions":[1,2]}"#).expect("record");
        assert_eq!(
            values("waiting > 0 && size(sessions) >= 1", &outputs),
            "size(sessions) = 2, waiting = 7"
        );
    }
}
