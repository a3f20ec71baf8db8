//! A point in time: UTC, kept to the microsecond, written as RFC 3339.
//!
//! Knows arithmetic and text. Refuses to know what time it is: `now` is handed in by whoever has a clock.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::span::Span;

/// A point in time (UTC).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(jiff::Timestamp);

impl Time {
    /// From microseconds since 1970-01-01 UTC; out-of-range values become the nearest representable time.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let clamped = micros.clamp(
            jiff::Timestamp::MIN.as_microsecond() + 1,
            jiff::Timestamp::MAX.as_microsecond() - 1,
        );
        Self(jiff::Timestamp::from_microsecond(clamped).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// From milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1000))
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span::from_millis(u64::try_from((self.micros() - earlier.micros()) / 1000).unwrap_or(0))
    }

    /// This time plus a span.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self::from_micros(
            self.micros()
                .saturating_add(i64::try_from(span.millis()).unwrap_or(i64::MAX / 2000) * 1000),
        )
    }

    /// This time minus a span.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self::from_micros(
            self.micros()
                .saturating_sub(i64::try_from(span.millis()).unwrap_or(i64::MAX / 2000) * 1000),
        )
    }

    /// `14:03:22`, for people who look at one incident.
    #[must_use]
    pub fn clock(self) -> String {
        self.0.strftime("%H:%M:%S").to_string()
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .map(Self)
            .map_err(|e| format!("`{text}` is not a time like 2026-11-20T03:04:05Z: {e}"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_to_the_microsecond() {
        let t = Time::from_micros(1_795_312_345_678_901);
        assert_eq!(t.to_string().parse::<Time>(), Ok(t));
        assert_eq!(
            serde_json::from_str::<Time>(&serde_json::to_string(&t).expect("writes")).expect("reads"),
            t
        );
    }

    #[test]
    fn a_span_never_runs_backwards() {
        let (a, b) = (Time::from_millis(1_000), Time::from_millis(3_500));
        assert_eq!(b.since(a).millis(), 2_500);
        assert_eq!(a.since(b).millis(), 0);
        assert_eq!(a.plus(Span::from_millis(2_500)), b);
        assert_eq!(b.minus(Span::from_millis(2_500)), a);
    }
}
