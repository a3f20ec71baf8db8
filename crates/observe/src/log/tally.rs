//! Entries into what a server's log said: counts over windows, the events worth naming, shapes of deadlocks, refused logins.
//!
//! Everything here has a bound. What was written before anybody followed, and without a time, is kept as an event but counted
//! in no window: nobody knows when it was.

use std::collections::{BTreeMap, VecDeque};

use muster_model::snapshot::{
    DeadlockShape, DeadlockWait, LogClass, LogCount, LogEvent, Rejection, ServerLog, StatementDuration,
};
use muster_model::{Span, Time};

use super::deadlock;
use super::durations::{Calls, Spread};
use super::entry::Entry;
use super::triage::{Meaning, triage};

const MINUTE: Span = Span::from_secs(60);
const FIVE: Span = Span::from_mins(5);
const TEN: Span = Span::from_mins(10);
/// Events of one class.
const OF_A_CLASS: usize = 20;
/// Shapes of deadlocks, and who was turned away.
const SHAPES: usize = 20;
const REJECTED: usize = 200;
/// Durations that are shown.
const DURATIONS: usize = 100;
/// Processes whose client is remembered.
const PEERS: usize = 2000;

/// How often something was seen, by second, for ten minutes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    seconds: VecDeque<(i64, u64)>,
    ever: u64,
    last: Option<Time>,
}

impl Window {
    pub(crate) fn add(&mut self, at: Time, dated: bool) {
        self.ever += 1;
        if !dated {
            return;
        }
        self.last = self.last.max(Some(at));
        let second = at.millis().div_euclid(1000);
        let place = self.seconds.partition_point(|(s, _)| *s < second);
        match self.seconds.get_mut(place).filter(|(s, _)| *s == second) {
            Some((_, n)) => *n += 1,
            None => self.seconds.insert(place, (second, 1)),
        }
        // A log that jumps in time would keep each second for ever.
        if self.seconds.len() > 700 {
            self.seconds.pop_front();
        }
    }

    pub(crate) fn forget(&mut self, now: Time) {
        let oldest = now.minus(TEN).millis().div_euclid(1000);
        while self.seconds.front().is_some_and(|(s, _)| *s < oldest) {
            self.seconds.pop_front();
        }
    }

    fn within(&self, now: Time, window: Span) -> u64 {
        let oldest = now.minus(window).millis().div_euclid(1000);
        self.seconds
            .iter()
            .filter(|(s, _)| *s > oldest)
            .map(|(_, n)| n)
            .sum()
    }

    pub(crate) fn counts(&self, now: Time) -> LogCount {
        LogCount {
            minute: self.within(now, MINUTE),
            five_minutes: self.within(now, FIVE),
            ten_minutes: self.within(now, TEN),
            ever: self.ever,
            last: self.last,
        }
    }
}

type Cycle = (Option<String>, Vec<DeadlockWait>);

#[derive(Clone, Debug)]
struct Shape {
    relations: Vec<String>,
    processes: Vec<i32>,
    last: Time,
    seen: Window,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    classes: BTreeMap<LogClass, Window>,
    events: Vec<LogEvent>,
    shapes: BTreeMap<Cycle, Shape>,
    rejected: BTreeMap<(Option<String>, Option<String>, String), Window>,
    durations: Window,
    newest: VecDeque<StatementDuration>,
    spread: Spread,
    peers: BTreeMap<i32, String>,
}

impl Tally {
    /// The durations as a distribution.
    pub fn spread(&mut self) -> &mut Spread {
        &mut self.spread
    }

    /// Takes an entry; `live` says whether it was written while it was followed.
    pub fn take(&mut self, entry: &Entry, now: Time, live: bool) {
        if live && entry.message.starts_with("received SIGHUP") {
            self.spread.reloads(now);
        }
        match triage(entry, now, live) {
            None => {}
            Some(Meaning::Connected(pid, host)) => {
                if self.peers.len() >= PEERS {
                    self.peers.clear();
                }
                self.peers.insert(pid, host);
            }
            Some(Meaning::Duration(d)) => {
                self.durations.add(d.at, entry.at.is_some() || live);
                if live {
                    self.spread.take(entry, d.ms, d.at, now);
                }
                self.newest.push_back(d);
                if self.newest.len() > DURATIONS {
                    self.newest.pop_front();
                }
            }
            Some(Meaning::Event(event)) => self.event(*event, entry),
        }
    }

    fn event(&mut self, mut event: LogEvent, entry: &Entry) {
        if event.client.is_none() {
            event.client = event.pid.and_then(|pid| self.peers.get(&pid).cloned());
        }
        self.classes
            .entry(event.class)
            .or_default()
            .add(event.at, event.dated);
        match event.class {
            LogClass::Deadlock => self.deadlock(&event, entry),
            LogClass::Authentication => {
                let why = event.named.get("why").cloned().unwrap_or_default();
                let key = (event.user.clone(), event.client.clone(), why);
                if self.rejected.len() < REJECTED || self.rejected.contains_key(&key) {
                    self.rejected.entry(key).or_default().add(event.at, event.dated);
                }
            }
            _ => {}
        }
        // Counted, and of no further interest one by one.
        let most = match event.class {
            LogClass::Error | LogClass::LockWait | LogClass::Deadlock => return,
            LogClass::Authentication | LogClass::SlotsFull | LogClass::Fatal => 5,
            _ => OF_A_CLASS,
        };
        let same = self.events.iter().filter(|e| e.class == event.class).count();
        if same >= most
            && let Some(oldest) = self.events.iter().position(|e| e.class == event.class)
        {
            self.events.remove(oldest);
        }
        // Two files tell one story: what one of them said earlier comes earlier.
        let place = self
            .events
            .iter()
            .rposition(|e| e.at <= event.at)
            .map_or(0, |i| i + 1);
        self.events.insert(place, event);
    }

    fn deadlock(&mut self, event: &LogEvent, entry: &Entry) {
        let Some(report) = deadlock::read(entry) else {
            return;
        };
        let key = (event.database.clone(), report.cycle);
        if self.shapes.len() >= SHAPES && !self.shapes.contains_key(&key) {
            let oldest = self
                .shapes
                .iter()
                .min_by_key(|(_, s)| s.last)
                .map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                self.shapes.remove(&oldest);
            }
        }
        let shape = self.shapes.entry(key).or_insert_with(|| Shape {
            relations: Vec::new(),
            processes: Vec::new(),
            last: event.at,
            seen: Window::default(),
        });
        shape.relations.extend(report.relations);
        shape.relations.sort();
        shape.relations.dedup();
        shape.relations.truncate(10);
        shape.processes = report.processes;
        shape.last = shape.last.max(event.at);
        shape.seen.add(event.at, event.dated);
    }

    /// What the log says as of now; files are filled in by who reads them.
    #[must_use]
    pub fn show(&mut self, now: Time, calls: Option<Calls>) -> ServerLog {
        for window in self.classes.values_mut().chain([&mut self.durations]) {
            window.forget(now);
        }
        for window in self
            .rejected
            .values_mut()
            .chain(self.shapes.values_mut().map(|s| &mut s.seen))
        {
            window.forget(now);
        }
        self.rejected.retain(|_, w| !w.seconds.is_empty());
        let mut out = ServerLog {
            counts: self.classes.iter().map(|(c, w)| (*c, w.counts(now))).collect(),
            events: self.events.clone(),
            ..ServerLog::default()
        };
        out.deadlocks = self
            .shapes
            .iter()
            .map(|((database, cycle), s)| DeadlockShape {
                database: database.clone(),
                cycle: cycle.clone(),
                relations: s.relations.clone(),
                five_minutes: s.seen.within(now, FIVE),
                ever: s.seen.ever,
                processes: s.processes.clone(),
                last: s.last,
            })
            .collect();
        out.deadlocks
            .sort_by_key(|d| std::cmp::Reverse((d.five_minutes, d.ever, d.last)));
        out.rejections = self
            .rejected
            .iter()
            .filter_map(|((user, client, why), w)| {
                Some(Rejection {
                    user: user.clone(),
                    client: client.clone(),
                    why: why.clone(),
                    minute: w.within(now, MINUTE),
                    ten_minutes: w.within(now, TEN),
                    last: w.last?,
                })
            })
            .collect();
        out.rejections
            .sort_by_key(|r| std::cmp::Reverse((r.minute, r.ten_minutes, r.last)));
        out.rejections.truncate(SHAPES);
        out.durations.minute = self.durations.within(now, MINUTE);
        out.durations.newest = self.newest.iter().cloned().collect();
        match self.spread.show(now, calls) {
            Ok(shown) => out.durations.distribution = Some(shown),
            Err(why) => out.durations.refused = Some(why),
        }
        out.durations.ever = self.spread.ever();
        out
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{LogFormat, LogLevel};
    use proptest::prelude::*;

    use super::*;
    use crate::log::Parser;
    use crate::log::when::Zone;

    fn entry(level: LogLevel, message: &str, at: i64) -> Entry {
        let mut e = Entry::new(level);
        e.at = Some(Time::from_millis(at * 1000));
        e.pid = Some(7);
        e.message = message.to_owned();
        e
    }

    #[test]
    fn windows_pass_and_old_entries_of_the_backlog_are_in_none() {
        let mut tally = Tally::default();
        let now = Time::from_millis(1_000_000);
        let refused = "password authentication failed for user \"app\"";
        tally.take(
            &entry(LogLevel::Log, "connection received: host=10.0.0.7 port=5", 1),
            now,
            true,
        );
        for at in [100, 500, 800, 960, 990] {
            tally.take(&entry(LogLevel::Fatal, refused, at), now, true);
        }
        let mut undated = entry(LogLevel::Fatal, refused, 0);
        undated.at = None;
        tally.take(&undated, now, false);
        let log = tally.show(now, None);
        let c = log.count(LogClass::Authentication);
        assert_eq!((c.minute, c.five_minutes, c.ten_minutes, c.ever), (2, 3, 4, 6));
        assert_eq!(c.last, Some(Time::from_millis(990_000)));
        let r = &log.rejections[0];
        assert_eq!(
            (r.user.as_deref(), r.client.as_deref(), r.minute),
            (Some("app"), Some("10.0.0.7"), 2)
        );
        let later = tally.show(Time::from_millis(2_000_000), None);
        assert_eq!(
            (
                later.count(LogClass::Authentication).ten_minutes,
                later.rejections.len()
            ),
            (0, 0)
        );
    }

    #[test]
    fn events_of_two_files_are_in_the_order_of_their_times() {
        let mut tally = Tally::default();
        let now = Time::from_millis(1_000_000);
        tally.take(
            &entry(
                LogLevel::Fatal,
                "lock file \"postmaster.pid\" already exists",
                900,
            ),
            now,
            false,
        );
        for (at, message) in [
            (700, "starting PostgreSQL 15"),
            (701, "database system is ready to accept connections"),
        ] {
            tally.take(&entry(LogLevel::Log, message, at), now, false);
        }
        let log = tally.show(now, None);
        assert_eq!(
            log.stopped_by(&[LogClass::LockFile]).map(|e| e.class),
            Some(LogClass::LockFile)
        );
    }

    #[test]
    fn everything_is_bounded() {
        let mut tally = Tally::default();
        let now = Time::from_millis(9_000_000);
        for i in 0..5000i64 {
            tally.take(&entry(LogLevel::Panic, "kaputt", i), now, true);
            tally.take(
                &entry(LogLevel::Fatal, &format!("role \"u{i}\" does not exist"), 8_999),
                now,
                true,
            );
            tally.take(&entry(LogLevel::Log, "duration: 1 ms", i), now, true);
            let mut d = entry(LogLevel::Error, "deadlock detected", i);
            d.detail = Some(format!(
                "Process 1 waits for A{i} on transaction 5; blocked by process 1.\nProcess 1: x"
            ));
            tally.take(&d, now, true);
        }
        let log = tally.show(now, None);
        assert!(log.events.len() <= 25 && log.deadlocks.len() <= SHAPES);
        assert!(log.rejections.len() <= REJECTED && log.durations.newest.len() == DURATIONS);
        assert_eq!(log.count(LogClass::Deadlock).ever, 5000);
        assert_eq!(
            log.count(LogClass::Authentication).minute,
            5000,
            "counted although not all are named"
        );
    }

    proptest! {
        #[test]
        fn any_message_is_survived(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("Process 1 waits for X on tuple (0,1) of relation 5; blocked by process 1.".to_owned()),
                    Just("invalid page in block ".to_owned()),
                    Just("in file \"".to_owned()),
                    Just("invalid value for parameter \"x\": ".to_owned()),
                    Just(" (PID 7) was terminated by signal ".to_owned()),
                    Just("duration: 1.5 ms  plan:".to_owned()),
                    Just("deadlock detected\n2026-11-20 03:04:05 UTC [1] DETAIL:  ".to_owned()),
                    Just("no pg_hba.conf entry for host \"".to_owned()),
                    "[ -~\u{e4}\t]{0,12}",
                ],
                0..8,
            ),
        ) {
            let mut parser = Parser::new(LogFormat::Stderr, crate::log::prefix::DEFAULT, Zone::named("UTC"));
            let mut tally = Tally::default();
            let mut out = Vec::new();
            for level in ["LOG", "ERROR", "FATAL"] {
                let line = format!("2026-11-20 03:04:05 UTC [1] {level}:  {}\n", words.concat());
                parser.feed(line.as_bytes(), &mut out);
            }
            parser.end(&mut out);
            for entry in &out {
                tally.take(entry, Time::from_millis(0), true);
            }
            let log = tally.show(Time::from_millis(0), None);
            prop_assert!(log.events.iter().all(|e| e.message.chars().count() <= 301));
        }
    }
}
