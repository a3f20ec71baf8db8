//! Thresholds: named numbers and spans by finding kind, with where each came from.
//!
//! Knows keys and values. The defaults live in one place in `rules`; overrides come from the config.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::span::Span;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Threshold {
    /// A length of time, `10s`.
    Span(Span),
    /// A count, a share in per cent, bytes: the key says which.
    Number(f64),
}

/// `kind -> key -> value`, such as `locks.idle_in_transaction -> age -> 5m`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Thresholds(pub BTreeMap<String, BTreeMap<String, Threshold>>);

impl Thresholds {
    /// A span, or `fallback` when the key is absent or not a span.
    #[must_use]
    pub fn span(&self, kind: &str, key: &str, fallback: Span) -> Span {
        match self.get(kind, key) {
            Some(Threshold::Span(s)) => s,
            _ => fallback,
        }
    }

    /// A number, or `fallback` when the key is absent or not a number.
    #[must_use]
    pub fn number(&self, kind: &str, key: &str, fallback: f64) -> f64 {
        match self.get(kind, key) {
            Some(Threshold::Number(n)) => n,
            _ => fallback,
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, kind: &str, key: &str) -> Option<Threshold> {
        self.0.get(kind).and_then(|keys| keys.get(key)).copied()
    }

    /// Sets one value.
    pub fn set(&mut self, kind: &str, key: &str, value: Threshold) {
        self.0
            .entry(kind.to_owned())
            .or_default()
            .insert(key.to_owned(), value);
    }

    /// This, with everything that `over` names taken from there.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut out = self.clone();
        for (kind, keys) in &over.0 {
            for (key, value) in keys {
                out.set(kind, key, *value);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_wins_and_the_rest_stays() {
        let mut base = Thresholds::default();
        base.set("a.b", "age", Threshold::Span(Span::from_secs(10)));
        base.set("a.b", "share", Threshold::Number(80.0));
        let over: Thresholds = serde_json::from_str(r#"{"a.b":{"age":"5m"}}"#).expect("reads");
        let both = base.overlaid(&over);
        assert_eq!(both.span("a.b", "age", Span::ZERO), Span::from_mins(5));
        assert!((both.number("a.b", "share", 0.0) - 80.0).abs() < f64::EPSILON);
        assert_eq!(
            both.span("a.b", "nothing", Span::from_secs(1)),
            Span::from_secs(1)
        );
    }
}
