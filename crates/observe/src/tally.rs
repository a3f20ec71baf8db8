//! Counters of statements over time: what each did in the last minute, and what it usually does.
//!
//! Only differences of two readings are kept, and only of what was called: a reading of all counters at every look of five
//! minutes would be ten times as large. Knows resets: a counter that became less, or one that says it began anew, is not
//! counted for that time. What is usual is learnt from what has left the minute, so that a minute is never compared with
//! itself, and slowly: what is suddenly much slower or much more often counts as at most half more, so that a regression is
//! not forgotten before somebody has looked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

use muster_model::snapshot::{Usual, Work};
use muster_model::{Span, Time};

/// A second more than the window: cadences are not exact.
const MINUTE: Span = Span::from_secs(61);
/// Time in which what is usual forgets two thirds.
const HOUR_S: f64 = 3600.0;
/// From so many calls on there is something usual.
const ENOUGH: f64 = 50.0;
/// And after so much time.
const SETTLED_S: f64 = 300.0;
/// What is unusual counts at most as so much of what is usual.
const AT_MOST: f64 = 1.5;
/// Below this nothing is remembered of it.
const FORGOTTEN: f64 = 0.05;

/// A statement as a server tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) user: u32,
    pub(crate) database: u32,
    pub(crate) queryid: i64,
    pub(crate) toplevel: bool,
}

/// One row as read: its counters, and since when they count where the server says so (17 and later).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) key: Key,
    pub(crate) work: Work,
    pub(crate) since: Option<i64>,
}

/// All rows of one reading: their counters, and since when they count.
type Rows = HashMap<Key, (Work, Option<i64>)>;

struct Interval {
    to: Time,
    over: Span,
    work: BTreeMap<Key, Work>,
    forgotten: u64,
    reset: u64,
}

/// What happened in the window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) over: Span,
    pub(crate) work: BTreeMap<Key, Work>,
    pub(crate) forgotten: u64,
    pub(crate) reset: u64,
}

/// Readings and what follows from them.
#[derive(Default)]
pub(crate) struct Tally {
    last: Option<(Time, Rows)>,
    reset_at: Option<i64>,
    intervals: VecDeque<Interval>,
}

impl Tally {
    /// Takes a reading of all rows; says what has left the window, to learn from. `reset_at` is when the server says that
    /// all counters began anew.
    pub(crate) fn take(
        &mut self,
        at: Time,
        reset_at: Option<i64>,
        rows: &[Reading],
    ) -> Vec<(Time, Span, BTreeMap<Key, Work>)> {
        let anew = self.reset_at != reset_at;
        self.reset_at = reset_at;
        let now: Rows = rows.iter().map(|r| (r.key, (r.work, r.since))).collect();
        let last = self.last.take();
        if let Some((then, before)) = last.filter(|(then, _)| !anew && *then < at) {
            self.intervals
                .push_back(difference(at, at.since(then), &before, &now));
        }
        self.last = Some((at, now));
        let mut left = Vec::new();
        while self
            .intervals
            .front()
            .is_some_and(|i| at.since(i.to).millis() + i.over.millis() > MINUTE.millis())
            && (self.intervals.len() > 1 || self.intervals.front().is_some_and(|i| at.since(i.to) > MINUTE))
        {
            if let Some(i) = self.intervals.pop_front() {
                left.push((i.to, i.over, i.work));
            }
        }
        left
    }

    /// What happened in the window; `None` before there are two readings.
    pub(crate) fn window(&self) -> Option<Seen> {
        let mut seen = Seen::default();
        for i in &self.intervals {
            seen.over = Span::from_millis(seen.over.millis() + i.over.millis());
            seen.forgotten += i.forgotten;
            seen.reset += i.reset;
            for (key, work) in &i.work {
                seen.work.entry(*key).or_default().add(work);
            }
        }
        (seen.over > Span::ZERO).then_some(seen)
    }
}

fn difference(to: Time, over: Span, before: &Rows, now: &Rows) -> Interval {
    let mut interval = Interval {
        to,
        over,
        work: BTreeMap::new(),
        forgotten: before.keys().filter(|k| !now.contains_key(k)).count() as u64,
        reset: 0,
    };
    for (key, (work, since)) in now {
        let grown = match before.get(key) {
            // New since the last look: all of it happened in between.
            None => Some(*work),
            Some((_, then)) if then != since => None,
            Some((then, _)) => work.since(then),
        };
        match grown {
            Some(grown) if grown.calls > 0 => {
                interval.work.insert(*key, grown);
            }
            Some(_) => {}
            None => interval.reset += 1,
        }
    }
    interval
}

#[derive(Clone, Copy, Debug)]
struct Habit {
    at: Time,
    calls: f64,
    ms: f64,
    rows: f64,
    blocks: f64,
}

/// What is usual, by name.
pub(crate) struct Habits<N> {
    began: Option<Time>,
    known: HashMap<N, Habit>,
}

impl<N> Default for Habits<N> {
    fn default() -> Self {
        Self {
            began: None,
            known: HashMap::new(),
        }
    }
}

#[allow(clippy::cast_precision_loss)]
impl<N: Eq + Hash> Habits<N> {
    /// Learns from what happened in `over` until `to`.
    pub(crate) fn learn(&mut self, name: N, to: Time, over: Span, work: &Work) {
        let began = *self.began.get_or_insert(to.minus(over));
        let settled = to.since(began).secs_f64() >= SETTLED_S;
        let watched = weight(to.since(began));
        let habit = self.known.entry(name).or_insert(Habit {
            at: to,
            calls: 0.0,
            ms: 0.0,
            rows: 0.0,
            blocks: 0.0,
        });
        habit.fade(to);
        let calls = work.calls as f64;
        if calls <= 0.0 {
            return;
        }
        let (mut counts, mut mean) = (calls, work.mean_ms());
        if settled && habit.calls >= ENOUGH {
            counts = calls.min((AT_MOST * habit.calls / watched * over.secs_f64()).max(1.0));
            mean = mean.min(AT_MOST * habit.ms / habit.calls);
        }
        habit.calls += counts;
        habit.ms += counts * mean;
        habit.rows += counts * work.rows_per_call();
        habit.blocks += counts * work.blocks_per_call();
    }

    /// What is usual for a name.
    pub(crate) fn of(&self, name: &N, now: Time) -> Option<Usual> {
        let mut habit = *self.known.get(name)?;
        habit.fade(now);
        let over = now.since(self.began?);
        if habit.calls < 1.0 || over <= Span::ZERO {
            return None;
        }
        Some(Usual {
            calls: habit.calls,
            mean_ms: habit.ms / habit.calls,
            calls_per_second: habit.calls / weight(over),
            rows_per_call: habit.rows / habit.calls,
            blocks_per_call: habit.blocks / habit.calls,
            over,
        })
    }

    /// What was known under one name is known under another.
    pub(crate) fn rename(&mut self, from: &N, to: N) {
        let Some(mut old) = self.known.remove(from) else {
            return;
        };
        match self.known.entry(to) {
            std::collections::hash_map::Entry::Vacant(e) => {
                e.insert(old);
            }
            std::collections::hash_map::Entry::Occupied(mut e) => {
                let at = old.at.max(e.get().at);
                old.fade(at);
                let habit = e.get_mut();
                habit.fade(at);
                habit.calls += old.calls;
                habit.ms += old.ms;
                habit.rows += old.rows;
                habit.blocks += old.blocks;
            }
        }
    }

    /// Forgets what was not seen for long, and what is least used when there is too much.
    pub(crate) fn forget(&mut self, now: Time, most: usize) {
        for habit in self.known.values_mut() {
            habit.fade(now);
        }
        self.known.retain(|_, h| h.calls >= FORGOTTEN);
        if self.known.len() > most {
            let mut calls: Vec<f64> = self.known.values().map(|h| h.calls).collect();
            calls.sort_by(|a, b| b.total_cmp(a));
            let least = calls[most];
            self.known.retain(|_, h| h.calls > least);
        }
    }
}

impl Habit {
    fn fade(&mut self, now: Time) {
        let factor = (-now.since(self.at).secs_f64() / HOUR_S).exp();
        self.calls *= factor;
        self.ms *= factor;
        self.rows *= factor;
        self.blocks *= factor;
        self.at = self.at.max(now);
    }
}

/// The weight of so much time until now, in seconds.
fn weight(over: Span) -> f64 {
    (HOUR_S * (1.0 - (-over.secs_f64() / HOUR_S).exp())).max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key {
        user: 10,
        database: 5,
        queryid: 7,
        toplevel: true,
    };

    fn at(s: i64) -> Time {
        Time::from_millis(s * 1000)
    }

    fn row(calls: u64, ms: f64, since: Option<i64>) -> Reading {
        let work = Work {
            calls,
            ms,
            rows: calls,
            ..Work::default()
        };
        Reading {
            key: KEY,
            work,
            since,
        }
    }

    fn seen(tally: &Tally) -> (u64, u64, u64, u64) {
        let w = tally.window().expect("a window");
        let calls = w.work.get(&KEY).map_or(0, |w| w.calls);
        (calls, w.over.millis() / 1000, w.reset, w.forgotten)
    }

    #[test]
    fn the_window_is_a_minute_of_real_time() {
        let mut tally = Tally::default();
        tally.take(at(0), None, &[row(100, 1.0, None)]);
        assert!(tally.window().is_none(), "one reading is no difference");
        let mut left = 0;
        for i in 1..=20u64 {
            let gone = tally.take(at(i.cast_signed() * 15), None, &[row(100 + 10 * i, 1.0, None)]);
            left += gone.iter().map(|(_, _, w)| w[&KEY].calls).sum::<u64>();
        }
        assert_eq!(seen(&tally), (40, 60, 0, 0));
        assert_eq!(left, 160, "what leaves the window is learnt from, once");
    }

    #[test]
    fn a_long_silence_leaves_its_own_interval() {
        let mut tally = Tally::default();
        tally.take(at(0), None, &[row(1, 1.0, None)]);
        tally.take(at(300), None, &[row(301, 1.0, None)]);
        assert_eq!(
            seen(&tally),
            (300, 300, 0, 0),
            "the only one there is, with its own time"
        );
        tally.take(at(315), None, &[row(316, 1.0, None)]);
        assert_eq!(seen(&tally), (15, 15, 0, 0));
    }

    #[test]
    fn what_began_anew_is_left_out_and_what_is_new_counts() {
        let mut tally = Tally::default();
        tally.take(at(0), Some(1), &[row(100, 10.0, Some(5))]);
        tally.take(at(15), Some(1), &[row(4, 1.0, Some(5))]);
        assert_eq!(seen(&tally), (0, 15, 1, 0), "calls became less");
        tally.take(at(30), Some(1), &[row(200, 90.0, Some(9))]);
        assert_eq!(seen(&tally), (0, 30, 2, 0), "it counts since another time");
        tally.take(at(45), Some(1), &[row(201, 91.0, Some(9))]);
        assert_eq!(seen(&tally), (1, 45, 2, 0));
        tally.take(at(50), Some(2), &[row(500, 91.0, Some(9))]);
        assert_eq!(
            seen(&tally),
            (1, 45, 2, 0),
            "everything began anew: no difference"
        );
        tally.take(at(55), Some(2), &[]);
        assert_eq!(seen(&tally), (1, 50, 2, 1), "the server forgot one");
        tally.take(at(58), Some(2), &[row(3, 1.0, Some(11))]);
        assert_eq!(seen(&tally), (4, 53, 2, 1), "a new one is all new");
    }

    fn learnt(minutes: u64, calls: u64, mean: f64) -> (Habits<u8>, Time) {
        let mut habits = Habits::default();
        let mut now = at(0);
        for _ in 0..minutes * 4 {
            now = now.plus(Span::from_secs(15));
            habits.learn(1, now, Span::from_secs(15), &work(calls, mean));
        }
        (habits, now)
    }

    #[allow(clippy::cast_precision_loss)]
    fn work(calls: u64, mean: f64) -> Work {
        Work {
            calls,
            ms: mean * calls as f64,
            rows: calls,
            ..Work::default()
        }
    }

    #[test]
    fn what_is_usual_is_the_mean_and_the_rate_of_the_hour() {
        let (habits, now) = learnt(30, 30, 4.0);
        let usual = habits.of(&1, now).expect("usual");
        assert!((usual.mean_ms - 4.0).abs() < 1e-6);
        assert!((usual.calls_per_second - 2.0).abs() < 0.02, "{usual:?}");
        assert!((usual.rows_per_call - 1.0).abs() < 1e-6);
        assert_eq!(usual.over, Span::from_mins(30));
        assert!(habits.of(&2, now).is_none());
        let later = habits.of(&1, now.plus(Span::from_mins(60))).expect("usual");
        assert!(
            (later.mean_ms - 4.0).abs() < 1e-6,
            "idle time does not change a mean"
        );
        assert!(later.calls_per_second < 1.0, "{later:?}");
    }

    #[test]
    fn a_regression_stays_one_for_an_hour_and_becomes_usual_in_the_end() {
        let (mut habits, mut now) = learnt(60, 30, 4.0);
        let mut minutes = 0;
        while habits.of(&1, now).expect("usual").mean_ms < 20.0 {
            for _ in 0..4 {
                now = now.plus(Span::from_secs(15));
                habits.learn(1, now, Span::from_secs(15), &work(30, 40.0));
            }
            minutes += 1;
            assert!(minutes < 600, "{:?}", habits.of(&1, now));
        }
        assert!(minutes > 90, "a tenfold mean was usual after {minutes} minutes");
        let (mut habits, mut now) = learnt(60, 30, 40.0);
        for _ in 0..240 {
            now = now.plus(Span::from_secs(15));
            habits.learn(1, now, Span::from_secs(15), &work(30, 4.0));
        }
        let better = habits.of(&1, now).expect("usual").mean_ms;
        assert!(better < 25.0, "an improvement is learnt at once: {better}");
    }

    #[test]
    fn more_calls_are_unusual_for_a_while() {
        let (mut habits, mut now) = learnt(60, 30, 1.0);
        for _ in 0..40 {
            now = now.plus(Span::from_secs(15));
            habits.learn(1, now, Span::from_secs(15), &work(3000, 1.0));
        }
        let usual = habits.of(&1, now).expect("usual").calls_per_second;
        assert!(usual < 2.5, "ten minutes of 200 a second: {usual}");
    }

    #[test]
    fn a_new_name_inherits_and_the_least_used_are_forgotten() {
        let (mut habits, now) = learnt(30, 30, 4.0);
        habits.learn(2, now, Span::from_secs(15), &work(1000, 1.0));
        habits.rename(&1, 2);
        let both = habits.of(&2, now).expect("usual");
        assert!(both.calls > 1000.0 && habits.of(&1, now).is_none());
        habits.learn(3, now, Span::from_secs(15), &work(2, 1.0));
        habits.forget(now, 1);
        assert!(habits.of(&2, now).is_some() && habits.of(&3, now).is_none());
    }
}
