//! Every default threshold, in one place, from CATALOGUE A.

use muster_model::{Span, Threshold, Thresholds};

use crate::rules::{KeyInfo, RATES, catalogue};

/// The defaults of all rules.
#[must_use]
pub fn defaults() -> Thresholds {
    let mut out = Thresholds::default();
    for (kind, keys) in sections() {
        for key in keys {
            out.set(kind, key.key, parse(key.default));
        }
    }
    out
}

/// Names that thresholds go by, with their keys: every kind, and what rules share.
fn sections() -> Vec<(&'static str, &'static [KeyInfo])> {
    let kinds = catalogue().into_iter().map(|r| (r.kind, r.keys));
    kinds.chain([RATES]).collect()
}

/// A default as it is written in a rule: a span with a unit, or a number.
fn parse(text: &str) -> Threshold {
    match text.parse::<Span>() {
        Ok(span) => Threshold::Span(span),
        Err(_) => Threshold::Number(text.parse().unwrap_or(f64::NAN)),
    }
}

/// Checks overrides of the config: kinds and keys must exist, and a span stays a span.
///
/// # Errors
/// One sentence for each that is wrong.
pub fn check_overrides(overrides: &Thresholds) -> Result<(), Vec<String>> {
    let rules = sections();
    let mut problems = Vec::new();
    for (kind, keys) in &overrides.0 {
        let Some((_, known_keys)) = rules.iter().find(|r| r.0 == kind) else {
            let known: Vec<&str> = rules.iter().map(|r| r.0).collect();
            problems.push(format!("there is no rule `{kind}`; {}", nearest(kind, &known)));
            continue;
        };
        for (key, value) in keys {
            let Some(info) = known_keys.iter().find(|k| k.key == key) else {
                let known: Vec<&str> = known_keys.iter().map(|k| k.key).collect();
                problems.push(format!(
                    "rule `{kind}` has no threshold `{key}`; {}",
                    nearest(key, &known)
                ));
                continue;
            };
            let span = matches!(parse(info.default), Threshold::Span(_));
            if span != matches!(value, Threshold::Span(_)) {
                let shape = if span {
                    "a duration such as 10s"
                } else {
                    "a number"
                };
                problems.push(format!("`{kind}.{key}` must be {shape} ({})", info.about));
            }
            if let Threshold::Number(n) = value
                && (!n.is_finite() || *n < 0.0)
            {
                problems.push(format!(
                    "`{kind}.{key}` is {n} and must be a number from zero on ({})",
                    info.about
                ));
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn nearest(word: &str, known: &[&str]) -> String {
    let shared = |k: &&&str| k.chars().zip(word.chars()).take_while(|(a, b)| a == b).count();
    match known.iter().max_by_key(shared) {
        Some(k) if shared(&k) >= 3 => format!("did you mean `{k}`?"),
        _ => format!("there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_has_a_value_and_wrong_overrides_are_named() {
        for (kind, keys) in defaults().0 {
            for (key, value) in keys {
                assert!(
                    !matches!(value, Threshold::Number(n) if n.is_nan()),
                    "{kind}.{key}"
                );
            }
        }
        let wrong: Thresholds = serde_json::from_str(
            r#"{"pool.exhaustd":{"warning":"1s"},"pool.exhausted":{"warning":3,"wrning":"1s"}}"#,
        )
        .expect("reads");
        let said = check_overrides(&wrong).expect_err("wrong").join("\n");
        assert!(said.contains("did you mean `pool.exhausted`?"), "{said}");
        assert!(said.contains("must be a duration"), "{said}");
        assert_eq!(check_overrides(&defaults()), Ok(()));
        for n in [f64::NAN, f64::INFINITY, -1.0] {
            let mut wrong = Thresholds::default();
            wrong.set("locks.hot_row", "waiters", Threshold::Number(n));
            let said = check_overrides(&wrong).expect_err("wrong").join("\n");
            assert!(said.contains("`locks.hot_row.waiters`"), "{said}");
        }
    }
}
