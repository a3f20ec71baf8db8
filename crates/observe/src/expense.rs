//! What watching a server costs: the sum of its meter, and what the sum was ten minutes ago.

use std::collections::VecDeque;

use muster_model::snapshot::{Before, Cost, OwnCost};
use muster_model::{Span, Time};
use muster_reach::Meter;

/// The budget is one of ten minutes.
const WINDOW: Span = Span::from_mins(10);
/// A sum every ten seconds is enough for it.
const APART: Span = Span::from_secs(10);

/// Sums of the last ten minutes.
#[derive(Default)]
pub(crate) struct Memory {
    sums: VecDeque<(Time, Cost)>,
}

impl Memory {
    /// The sum now, and the oldest of the last ten minutes.
    pub(crate) fn sum_up(&mut self, at: Time, meter: &Meter) -> OwnCost {
        let now = meter.cost();
        // The oldest is kept as long as the next one is not ten minutes old: the window is never shorter than that.
        while self.sums.get(1).is_some_and(|(t, _)| at.since(*t) >= WINDOW) {
            self.sums.pop_front();
        }
        let before = self.sums.front().map(|(t, value)| Before {
            at: *t,
            value: *value,
        });
        if self.sums.back().is_none_or(|(t, _)| at.since(*t) >= APART) {
            self.sums.push_back((at, now));
        }
        OwnCost {
            at,
            now,
            before,
            quickest_ms: meter.quickest_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_window_is_ten_minutes_and_not_much_more() {
        let meter = Meter::default();
        let mut memory = Memory::default();
        let first = memory.sum_up(Time::from_millis(0), &meter);
        assert_eq!((first.before, first.quickest_ms), (None, 0.0));
        let mut last = None;
        for s in 1..=1500 {
            meter.add(1, Duration::from_millis(2));
            last = Some(memory.sum_up(Time::from_millis(s * 1000), &meter));
        }
        let last = last.expect("summed up");
        let before = last.before.expect("before");
        let over = last.at.since(before.at);
        assert!(over >= WINDOW && over <= Span::from_secs(610), "{over:?}");
        assert_eq!(last.now.queries - before.value.queries, over.millis() / 1000);
        assert!((last.quickest_ms - 2.0).abs() < 1e-9);
        assert!(memory.sums.len() <= 63, "{}", memory.sums.len());
    }
}
