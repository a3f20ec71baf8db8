//! What the slow lane may cost a server, and how long it rests when it cost more.
//!
//! Time that a round took is counted as work of the server. In the long run that is at most one part in two hundred, and in
//! no ten minutes much more than one in twenty: so a watch that begins in the middle of an incident is not slowed down by its
//! own first looks, and a catalogue that takes a minute is not read every fifteen seconds.

use muster_model::{Span, Time};

/// One part in so many, in the long run.
const SHARE: u64 = 200;
/// What may be spent at once: a twentieth of ten minutes.
const SAVED: Span = Span::from_secs(30);
/// A rest is never longer: what is known would be too old.
const LONGEST: Span = Span::from_mins(10);

/// What was spent, and until when the lane rests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    /// Spent and not made up for by time, as of then.
    spent: Span,
    at: Option<Time>,
    rest_until: Option<Time>,
}

impl Budget {
    /// A round that ended at `done` took so long; how long the lane rests now.
    pub(crate) fn spend(&mut self, done: Time, took: Span) -> Span {
        let earned = self.at.map_or(0, |at| done.since(at).millis() / SHARE);
        let spent = self.spent.millis().saturating_sub(earned) + took.millis();
        self.spent = Span::from_millis(spent);
        self.at = Some(done);
        let over = spent.saturating_sub(SAVED.millis());
        let rest = Span::from_millis(over.saturating_mul(SHARE)).min(LONGEST);
        if rest == LONGEST {
            // The longest rest is all that is asked for; debts of a bad hour do not last for days.
            self.spent = SAVED;
        }
        self.rest_until = Some(done.plus(rest));
        rest
    }

    /// Whether the lane rests. A clock that was set back does not make a rest longer.
    pub(crate) fn rests(&self, now: Time) -> bool {
        self.rest_until
            .is_some_and(|until| now < until && until.since(now) <= LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Time {
        Time::from_millis(s * 1000)
    }

    #[test]
    fn cheap_rounds_never_rest_and_dear_ones_rest_in_proportion() {
        let mut budget = Budget::default();
        for round in 0..5000 {
            let rest = budget.spend(at(round * 15), Span::from_millis(70));
            assert_eq!(rest, Span::ZERO, "round {round}");
        }
        let mut budget = Budget::default();
        let mut clock = at(0);
        let mut spent = Span::ZERO;
        let day = at(24 * 3600);
        while clock < day {
            let took = Span::from_secs(2);
            clock = clock.plus(took);
            spent = Span::from_millis(spent.millis() + took.millis());
            budget.spend(clock, took);
            while budget.rests(clock) {
                clock = clock.plus(Span::from_secs(1));
            }
            clock = clock.plus(Span::from_secs(15));
        }
        let share = day.since(at(0)).millis() / spent.millis();
        assert!((180..=205).contains(&share), "one part in {share}");
    }

    #[test]
    fn a_beginning_is_not_slowed_down_and_no_rest_is_longer_than_ten_minutes() {
        let mut budget = Budget::default();
        for round in 0..15 {
            let rest = budget.spend(at(round * 15), Span::from_secs(2));
            assert_eq!(rest, Span::ZERO, "round {round}");
        }
        let rest = budget.spend(at(300), Span::from_secs(60));
        assert_eq!(rest, Span::from_mins(10));
        assert!(budget.rests(at(301)) && !budget.rests(at(900)));
        assert!(!budget.rests(at(100)), "the clock was set back");
        let rest = budget.spend(at(901), Span::from_secs(1));
        assert_eq!(rest, Span::ZERO, "the long rest made up for it");
    }
}
