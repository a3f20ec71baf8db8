//! A length of time, written as people write it in a config: `250ms`, `10s`, `5m`, `2h`, `35d`.
//!
//! Knows text and milliseconds. Refuses bare numbers: `10` of what?

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time to the millisecond.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// From seconds.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(s * 1000)
    }

    /// From minutes.
    #[must_use]
    pub const fn from_mins(m: u64) -> Self {
        Self(m * 60_000)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// In seconds.
    #[must_use]
    pub fn secs_f64(self) -> f64 {
        std::time::Duration::from_millis(self.0).as_secs_f64()
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// For people: `850ms`, `12s`, `1m 30s`, `3h 5m`; at most two units.
    #[must_use]
    pub fn human(self) -> String {
        if self.0 < 1000 {
            return format!("{}ms", self.0);
        }
        let mut parts = Vec::new();
        let mut rest = self.0;
        for (unit, size) in &UNITS[..4] {
            if rest >= *size && parts.len() < 2 {
                parts.push(format!("{}{unit}", rest / size));
                rest %= size;
            } else if !parts.is_empty() {
                break;
            }
        }
        parts.join(" ")
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 {
            return write!(f, "0s");
        }
        for (unit, size) in UNITS {
            if self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}ms", self.0)
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let bad = || {
            format!(
                "`{text}` is not a duration; write a whole number and a unit, such as 250ms, 10s, 5m, 2h or 35d"
            )
        };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let (_, size) = UNITS.iter().find(|(u, _)| *u == unit).ok_or_else(bad)?;
        number
            .checked_mul(*size)
            .filter(|ms| *ms <= 100 * 365 * 86_400_000)
            .map(Self)
            .ok_or_else(bad)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["10s", "5m"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips(ms in 0u64..3_000_000_000_000) {
            let s = Span::from_millis(ms);
            prop_assert_eq!(s.to_string().parse::<Span>(), Ok(s));
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_examples() {
        for text in ["10", "", "s", "1.5s", "-1s", "10 s", "99999999999d"] {
            assert!(text.parse::<Span>().expect_err(text).contains("10s"), "{text}");
        }
    }

    #[test]
    fn people_read_two_units() {
        assert_eq!(Span::from_millis(90_500).human(), "1m 30s");
        assert_eq!(Span::from_millis(3_600_000).human(), "1h");
        assert_eq!(Span::from_millis(12).human(), "12ms");
    }
}
