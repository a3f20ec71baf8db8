//! Counters over time: keeps five minutes of samples and says what they were before.

use std::collections::VecDeque;

use muster_model::snapshot::{Before, Counted};
use muster_model::{Span, Time};

/// A second more than the window: cadences are not exact.
const MINUTE: Span = Span::from_secs(61);
const FIVE_MINUTES: Span = Span::from_secs(301);
/// Samples closer together than this are not kept beside each other: the window is five minutes, not its fineness.
const APART: Span = Span::from_millis(900);

/// Samples of one family of counters.
#[derive(Clone, Debug)]
pub(crate) struct Ring<T> {
    samples: VecDeque<(Time, T)>,
    /// What was seen at the last look, kept or not: a reset between two quick looks is one too.
    last: Option<T>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            samples: VecDeque::new(),
            last: None,
        }
    }
}

impl<T: Clone> Ring<T> {
    /// Takes a sample. `reset` says from the last sample and this one whether the counters began anew in between; then
    /// nothing before counts.
    pub(crate) fn take(&mut self, at: Time, now: T, reset: impl Fn(&T, &T) -> bool) -> Counted<T> {
        if self.last.as_ref().is_some_and(|last| reset(last, &now)) {
            self.samples.clear();
        }
        self.last = Some(now.clone());
        while self
            .samples
            .front()
            .is_some_and(|(t, _)| at.since(*t) > FIVE_MINUTES)
        {
            self.samples.pop_front();
        }
        let oldest_within = |window: Span| {
            self.samples
                .iter()
                .find(|(t, _)| at.since(*t) <= window && *t < at)
                .map(|(t, value)| Before {
                    at: *t,
                    value: value.clone(),
                })
        };
        let counted = Counted {
            at,
            now: now.clone(),
            minute: oldest_within(MINUTE),
            five_minutes: oldest_within(FIVE_MINUTES),
        };
        if self.samples.back().is_none_or(|(t, _)| at.since(*t) >= APART) {
            self.samples.push_back((at, now));
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_bounded_and_a_reset_forgets() {
        let mut ring = Ring::default();
        let less = |a: &u64, b: &u64| b < a;
        let first = ring.take(Time::from_millis(0), 5, less);
        assert_eq!((first.minute, first.five_minutes), (None, None));
        let mut last = None;
        for s in 1..=400 {
            last = Some(ring.take(Time::from_millis(s * 1000), 5 + s.unsigned_abs(), less));
        }
        let last = last.expect("taken");
        let ago = |b: Option<Before<u64>>| last.at.since(b.expect("before").at);
        assert_eq!(ago(last.minute.clone()), Span::from_secs(61));
        assert_eq!(ago(last.five_minutes.clone()), Span::from_secs(301));
        assert!(ring.samples.len() <= 303);
        let after = ring.take(Time::from_millis(401_000), 1, less);
        assert_eq!(after.minute, None);
    }

    #[test]
    fn a_reset_between_two_quick_looks_is_seen() {
        let mut ring = Ring::default();
        let less = |a: &u64, b: &u64| b < a;
        ring.take(Time::from_millis(0), 5, less);
        ring.take(Time::from_millis(100), 50, less);
        let after = ring.take(Time::from_millis(200), 7, less);
        assert_eq!(
            after.minute, None,
            "7 is more than the kept 5, and less than the 50 of the last look"
        );
    }
}
