//! Counters that only grow: as they are now, and as they were a minute and five minutes ago.
//!
//! A rate is a difference over the time that really passed. Whoever fills this in has seen to resets: after one there is
//! nothing before. Refuses to divide by nothing: without a sample from before there is no rate.

use serde::{Deserialize, Serialize};

use crate::span::Span;
use crate::time::Time;

/// Counters as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Before<T> {
    /// When they were read.
    pub at: Time,
    /// What they were.
    pub value: T,
}

/// Counters as they are and as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counted<T> {
    /// When they were read.
    pub at: Time,
    /// What they are.
    pub now: T,
    /// The oldest sample of the last minute; absent after a reset or at the first look.
    pub minute: Option<Before<T>>,
    /// The oldest sample of the last five minutes.
    pub five_minutes: Option<Before<T>>,
}

/// A growth and the time in which it happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// By how much.
    pub by: u64,
    /// In which time; never nothing.
    pub over: Span,
}

impl Growth {
    /// A second.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn per_second(&self) -> f64 {
        self.by as f64 * 1000.0 / self.over.millis().max(1) as f64
    }
}

impl<T> Counted<T> {
    /// Growth of one counter in the last minute, or in what was seen of it.
    pub fn in_a_minute(&self, of: impl Fn(&T) -> u64) -> Option<Growth> {
        self.since(self.minute.as_ref(), of)
    }

    /// Growth of one counter in the last five minutes, or in what was seen of them.
    pub fn in_five_minutes(&self, of: impl Fn(&T) -> u64) -> Option<Growth> {
        self.since(self.five_minutes.as_ref(), of)
    }

    /// The same of a part of what is counted.
    pub fn map<U>(self, of: impl Fn(T) -> U) -> Counted<U> {
        let then = |b: Option<Before<T>>| {
            b.map(|b| Before {
                at: b.at,
                value: of(b.value),
            })
        };
        Counted {
            at: self.at,
            minute: then(self.minute),
            five_minutes: then(self.five_minutes),
            now: of(self.now),
        }
    }

    fn since(&self, before: Option<&Before<T>>, of: impl Fn(&T) -> u64) -> Option<Growth> {
        let before = before?;
        let over = self.at.since(before.at);
        if over <= Span::ZERO {
            return None;
        }
        let by = of(&self.now).checked_sub(of(&before.value))?;
        Some(Growth { by, over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_a_sample_from_before_and_never_goes_backwards() {
        let mut c = Counted {
            at: Time::from_millis(30_000),
            now: 40u64,
            minute: None,
            five_minutes: None,
        };
        assert_eq!(c.in_a_minute(|n| *n), None);
        c.minute = Some(Before {
            at: Time::from_millis(10_000),
            value: 30,
        });
        let grown = c.in_a_minute(|n| *n).expect("grown");
        assert_eq!((grown.by, grown.over), (10, Span::from_secs(20)));
        assert!((grown.per_second() - 0.5).abs() < 1e-9);
        c.now = 3;
        assert_eq!(c.in_a_minute(|n| *n), None, "a reset is no growth");
    }
}
