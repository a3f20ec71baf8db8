//! Durations of a log as a distribution: which settings make them tell of all statements, and which make them tell of none.
//!
//! Counts statements that ended, ours left out (by the process ids of our own sessions). Refuses whatever would shift the
//! ranks without anybody noticing: steps of a statement that look like one, samples of whole transactions, settings that count
//! for some roles only, and time of which the log was not read.

use std::collections::{BTreeSet, VecDeque};

use muster_model::histogram::{Histogram, Method};
use muster_model::snapshot::{Distribution, DurationBuckets};
use muster_model::{Span, Time};

use super::entry::Entry;
use super::find::LogSettings;

/// What is shown.
const WINDOW: Span = Span::from_secs(60);
/// What is kept: the window of the statistics about statements ends a while ago.
const KEPT: Span = Span::from_secs(240);
/// A window that began so recently says nothing yet.
const SOON: Span = Span::from_secs(5);
/// So long after a reload the settings of our own session are the new ones.
const SETTLED: Span = Span::from_secs(1);
/// The edges of another source's window are known to so many seconds.
const EDGE_SECS: f64 = 2.0;

/// How many calls another source counted, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calls {
    /// End of its window.
    pub end: Time,
    /// Its length.
    pub over: Span,
    /// Calls of clients in it.
    pub calls: u64,
}

/// What a line of the log stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// Every statement is logged.
    All,
    /// Each from so many milliseconds on.
    Above(f64),
    /// From `floor` on one of so many, from `sure` on each.
    Sampled { floor: f64, sure: f64, rate: f64 },
}

/// What the settings make of the lines; else why these tell of no distribution.
fn told(settings: &LogSettings) -> Result<Told, String> {
    let Some(min) = settings.min_duration else {
        return Err("how the server logs durations was not read".to_owned());
    };
    if let Some(why) = &settings.durations_apart {
        return Err(why.clone());
    }
    if min == 0 {
        return Ok(Told::All);
    }
    if settings.transaction_rate > 0.0 {
        return Err("`log_transaction_sample_rate` logs whole transactions: what they hold is no sample of all statements".to_owned());
    }
    #[allow(clippy::cast_precision_loss)]
    let (sure, sample) = (
        if min < 0 { f64::INFINITY } else { min as f64 },
        settings.sample_min.filter(|s| *s >= 0).map(|s| s as f64),
    );
    let rate = settings.sample_rate;
    match sample.filter(|floor| *floor < sure && rate > 0.0) {
        Some(floor) if rate >= 1.0 && floor <= 0.0 => Ok(Told::All),
        Some(floor) if rate >= 1.0 => Ok(Told::Above(floor)),
        Some(floor) => Ok(Told::Sampled { floor, sure, rate }),
        None if min > 0 => Ok(Told::Above(sure)),
        None => Err(
            "the server logs no durations (`log_min_duration_statement` is -1); `log_min_duration_statement = 0`, or \
             `log_min_duration_sample = 0` with a small `log_statement_sample_rate`, makes percentiles possible"
                .to_owned(),
        ),
    }
}

impl Told {
    fn empty(self) -> Histogram {
        match self {
            Self::All => Histogram::complete(Method::Log),
            Self::Above(floor) => Histogram::above(Method::LogThreshold, floor),
            Self::Sampled { floor, .. } if floor <= 0.0 => Histogram::complete(Method::LogSampled),
            Self::Sampled { floor, .. } => Histogram::above(Method::LogSampled, floor),
        }
    }

    /// How many statements a line stands for; `None` for one that is not counted.
    fn weight(self, ms: f64, bare: bool) -> Option<f64> {
        match self {
            Self::All => Some(1.0),
            // `log_duration` writes such lines of parsing and binding too; what is long enough has its own line for these.
            Self::Above(floor) => (!bare || ms >= floor).then_some(1.0),
            Self::Sampled { sure, .. } if ms >= sure => Some(1.0),
            Self::Sampled { rate, .. } => (!bare).then_some(1.0 / rate),
        }
    }
}

/// The durations that were seen.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    told: Option<Result<Told, String>>,
    seconds: VecDeque<(i64, Histogram)>,
    since: Option<Time>,
    hole: Option<Time>,
    reloaded: Option<Time>,
    nameless: Option<Time>,
    ever: DurationBuckets,
    own: BTreeSet<i32>,
}

impl Spread {
    /// The server logged by these settings when they were `read`, and these process ids are our own sessions.
    pub fn tune(&mut self, settings: &LogSettings, read: Time, own: BTreeSet<i32>, now: Time) {
        self.own = own;
        // Our session takes its new settings a moment after the log says so.
        if self.reloaded.is_some_and(|at| read.since(at) < SETTLED) {
            return;
        }
        self.reloaded = None;
        let new = told(settings);
        if self.told.as_ref() != Some(&new) {
            self.told = Some(new);
            self.seconds.clear();
            self.since = Some(now);
        }
    }

    /// The server reads its files anew: until its settings are known again, a line may stand for something else.
    pub fn reloads(&mut self, now: Time) {
        self.reloaded = Some(now);
        self.seconds.clear();
        self.since = Some(now);
    }

    /// Whether the settings must be read anew before anything can be said.
    #[must_use]
    pub fn wants_settings(&self) -> bool {
        self.reloaded.is_some()
    }

    /// A part of the log was not read.
    pub fn skipped(&mut self, now: Time) {
        self.hole = Some(now);
    }

    /// Takes a line that was written while the log was followed.
    pub fn take(&mut self, entry: &Entry, ms: f64, at: Time, now: Time) {
        let Some(Ok(told)) = self.told.clone() else { return };
        if entry.pid.is_none() {
            self.nameless = Some(now);
            return;
        }
        let ours = entry.pid.is_some_and(|pid| self.own.contains(&pid));
        let said = entry
            .message
            .split_once(" ms")
            .map_or("", |(_, rest)| rest.trim());
        // auto_explain writes a second line of the same statement.
        if ours || said.starts_with("plan:") {
            return;
        }
        let Some(weight) = told.weight(ms, said.is_empty()) else {
            return;
        };
        if told == Told::All {
            self.ever.add(ms);
        }
        if now.since(at) > KEPT || at.since(now) > SOON {
            return;
        }
        let second = at.millis().div_euclid(1000);
        let place = self.seconds.partition_point(|(s, _)| *s < second);
        if self.seconds.get(place).is_none_or(|(s, _)| *s != second) {
            self.seconds.insert(place, (second, told.empty()));
        }
        if let Some((_, histogram)) = self.seconds.get_mut(place) {
            histogram.record(ms, weight);
        }
    }

    /// Everything since the beginning; only where every statement is logged.
    #[must_use]
    pub fn ever(&self) -> Option<DurationBuckets> {
        matches!(self.told, Some(Ok(Told::All))).then(|| self.ever.clone())
    }

    /// The distribution of the last minute, or of that of another source that counted the calls.
    ///
    /// # Errors
    /// Why there is none, as a sentence.
    pub fn show(&mut self, now: Time, calls: Option<Calls>) -> Result<Distribution, String> {
        let oldest = now.minus(KEPT).millis().div_euclid(1000);
        while self.seconds.front().is_some_and(|(s, _)| *s < oldest) {
            self.seconds.pop_front();
        }
        if self.reloaded.is_some() {
            return Err(
                "the server has just read its files anew; how it logs now is being looked at".to_owned(),
            );
        }
        let told = match &self.told {
            None => return Err("how the server logs durations was not read".to_owned()),
            Some(Err(why)) => return Err(why.clone()),
            Some(Ok(told)) => *told,
        };
        let since = self.since.unwrap_or(now);
        let mut from = now.minus(WINDOW).max(since);
        let (mut to, mut counted) = (now, None);
        let truncated = told.empty().is_truncated();
        if let Some(c) = calls.filter(|_| truncated) {
            let begin = c.end.minus(c.over);
            if begin >= since && begin >= now.minus(KEPT) && c.over >= SOON {
                (from, to) = (begin, c.end);
                #[allow(clippy::cast_precision_loss)]
                let (calls, share) = (c.calls as f64, EDGE_SECS / c.over.secs_f64());
                counted = Some((calls * (1.0 - share).max(0.0), calls * (1.0 + share)));
            }
        }
        if self.hole.is_some_and(|h| h >= from) {
            return Err("a part of the log was written faster than it is read, and skipped".to_owned());
        }
        if self.nameless.is_some_and(|t| t >= from) {
            return Err(
                "the log does not say which process wrote a line, so Muster's own statements cannot be left out; put %p into \
                 `log_line_prefix`"
                    .to_owned(),
            );
        }
        if to.since(from) < SOON {
            return Err(format!(
                "durations have been counted for {} only",
                to.since(from).human()
            ));
        }
        let (first, last) = (from.millis().div_euclid(1000), to.millis().div_euclid(1000));
        let mut histogram = told.empty();
        for (_, of) in self.seconds.iter().filter(|(s, _)| *s > first && *s <= last) {
            histogram.merge(of);
        }
        Ok(Distribution {
            over: to.since(from),
            histogram,
            calls: counted,
        })
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::LogLevel;

    use super::*;

    fn settings(min: i64) -> LogSettings {
        LogSettings {
            min_duration: Some(min),
            ..LogSettings::default()
        }
    }

    fn at(second: i64) -> Time {
        Time::from_millis(second * 1000)
    }

    fn line(spread: &mut Spread, pid: i32, text: &str, ms: f64, second: i64) {
        let mut e = Entry::new(LogLevel::Log);
        e.pid = Some(pid);
        e.message = format!("duration: {ms} ms{text}");
        spread.take(&e, ms, at(second), at(second));
    }

    #[test]
    fn ours_and_plans_are_left_out_and_a_change_of_settings_begins_anew() {
        let mut s = Spread::default();
        s.tune(&settings(0), at(100), BTreeSet::from([7]), at(100));
        for second in 101..=160 {
            line(&mut s, 1, "  statement: SELECT 1", 20.0, second);
            line(&mut s, 7, "  statement: SELECT 1", 900.0, second);
            line(&mut s, 1, "  plan:\nQuery Text: SELECT 1", 900.0, second);
        }
        let shown = s.show(at(160), None).expect("a minute");
        assert_eq!((shown.histogram.samples(), shown.over), (60, WINDOW));
        let p99 = shown.quantile(0.95).expect("enough");
        assert!(p99.low_ms <= 20.0 && p99.high_ms > Some(20.0));
        assert_eq!(s.ever().map(|e| e.count()), Some(60));
        s.tune(&settings(500), at(160), BTreeSet::new(), at(160));
        assert_eq!(s.ever(), None, "not all of them any more");
        let why = s.show(at(161), None).expect_err("too soon");
        assert!(why.contains("only"), "{why}");
        let why = {
            s.tune(&settings(-1), at(170), BTreeSet::new(), at(170));
            s.show(at(300), None).expect_err("off")
        };
        assert!(why.contains("log_min_duration_statement = 0"), "{why}");
    }

    #[test]
    fn after_a_reload_nothing_is_said_until_the_settings_are_read_again() {
        let mut s = Spread::default();
        s.tune(&settings(0), at(0), BTreeSet::new(), at(0));
        for second in 1..=60 {
            line(&mut s, 1, "  statement: SELECT 1", 10.0, second);
        }
        assert!(s.show(at(60), None).is_ok());
        s.reloads(at(60));
        s.tune(&settings(0), at(60), BTreeSet::new(), at(61));
        assert!(s.wants_settings() && s.show(at(75), None).is_err_and(|why| why.contains("anew")));
        s.tune(&settings(0), at(62), BTreeSet::new(), at(62));
        assert!(!s.wants_settings());
        let after = s.show(at(75), None).expect("known again");
        assert_eq!(
            after.histogram.samples(),
            0,
            "what was before may have been of another kind"
        );
    }

    #[test]
    fn lines_without_their_process_are_no_distribution_of_what_clients_did() {
        let mut s = Spread::default();
        s.tune(&settings(0), at(0), BTreeSet::new(), at(0));
        let mut e = Entry::new(LogLevel::Log);
        e.message = "duration: 5 ms  statement: SELECT 1".to_owned();
        s.take(&e, 5.0, at(30), at(30));
        assert!(s.show(at(60), None).is_err_and(|why| why.contains("%p")));
        assert_eq!(s.ever().map(|e| e.count()), Some(0));
    }

    #[test]
    fn the_calls_of_another_source_are_asked_for_its_own_window() {
        let mut s = Spread::default();
        s.tune(&settings(500), at(100), BTreeSet::new(), at(100));
        for second in [105, 120, 121, 150, 170] {
            line(&mut s, 1, "  statement: SELECT 1", 900.0, second);
        }
        let calls = |calls| {
            Some(Calls {
                end: at(160),
                over: Span::from_secs(50),
                calls,
            })
        };
        let few = s.show(at(171), calls(30)).expect("shown");
        assert_eq!(few.histogram.samples(), 3, "105 and 170 are outside");
        assert!(few.quantile(0.95).is_ok(), "3 of 30 are slower");
        let many = s.show(at(171), calls(1000)).expect("shown");
        assert!(many.quantile(0.95).is_err());
        let alone = s.show(at(171), None).expect("shown");
        assert!(
            alone.quantile(0.95).is_err(),
            "nobody knows how many were quicker"
        );
    }

    #[test]
    fn a_sample_counts_each_for_many_and_a_hole_counts_for_nothing() {
        let mut s = Spread::default();
        let sampled = LogSettings {
            sample_min: Some(0),
            sample_rate: 0.1,
            ..settings(250)
        };
        s.tune(&sampled, at(0), BTreeSet::new(), at(0));
        for second in 1..=60 {
            line(&mut s, 1, "  statement: SELECT 1", 10.0, second);
        }
        line(&mut s, 1, "  statement: SELECT 1", 300.0, 60);
        let shown = s.show(at(60), None).expect("shown");
        assert!(
            (shown.histogram.seen() - 601.0).abs() < 1e-6,
            "{}",
            shown.histogram.seen()
        );
        s.skipped(at(60));
        assert!(s.show(at(61), None).is_err_and(|why| why.contains("skipped")));
        assert!(s.show(at(200), None).is_ok());
        let whole = LogSettings {
            transaction_rate: 0.5,
            ..settings(250)
        };
        s.tune(&whole, at(0), BTreeSet::new(), at(0));
        assert!(
            s.show(at(60), None)
                .is_err_and(|why| why.contains("transactions"))
        );
    }
}
