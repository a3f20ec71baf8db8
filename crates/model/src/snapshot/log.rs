//! What a server's own log said: events by class, who was turned away, which deadlocks, how long statements took.
//!
//! Knows what was written, without literals and without secrets. Refuses to keep a text that no class knows: what a client
//! sends ends up in error messages, and nobody would look at it anyway.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Distribution, DurationBuckets};
use crate::span::Span;
use crate::time::Time;

/// How a server writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines with `log_line_prefix`.
    Stderr,
    /// `csvlog`.
    Csv,
    /// `jsonlog` (PostgreSQL 15 and later).
    Json,
}

/// The level of an entry, as the server names it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// DEBUG1 to DEBUG5.
    Debug,
    /// INFO and NOTICE.
    Notice,
    /// LOG.
    Log,
    /// WARNING.
    Warning,
    /// ERROR: a statement failed.
    Error,
    /// FATAL: a session or a start ended.
    Fatal,
    /// PANIC: the server ended itself.
    Panic,
}

/// What an entry is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LogClass {
    /// A page, file or row that cannot be what was written (XX001, XX002, invalid page, missing chunk).
    Corruption,
    /// No space left.
    Disk,
    /// A process was ended by signal 9, as the kernel's out-of-memory killer does.
    Killed,
    /// A process ended by another signal, or by itself and wrongly.
    Crashed,
    /// The server ended all sessions after a crash, and begins anew unless it is set not to.
    Reinitializing,
    /// It begins to recover from a crash.
    CrashRecovery,
    /// A start that failed in recovery.
    StartFailed,
    /// A postmaster starts.
    Starting,
    /// It accepts connections.
    Ready,
    /// It was asked to stop.
    Stopping,
    /// It has stopped.
    Stopped,
    /// Another server seems to use the data folder, or its shared memory.
    LockFile,
    /// The port or socket is taken.
    Port,
    /// A file or folder may not be used.
    Permission,
    /// The data folder is of another version.
    Version,
    /// A setting, file of settings or library is wrong.
    Config,
    /// A login was refused.
    Authentication,
    /// No slot was free.
    SlotsFull,
    /// Archiving failed.
    Archive,
    /// A deadlock was broken.
    Deadlock,
    /// A lock was waited for longer than `deadlock_timeout` (`log_lock_waits`).
    LockWait,
    /// A statement or the server got no memory.
    OutOfMemory,
    /// Another PANIC.
    Panic,
    /// Another FATAL.
    Fatal,
    /// Another ERROR.
    Error,
}

/// One entry that a class knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogEvent {
    /// When: by the log, else when it was read.
    pub at: Time,
    /// Whether the log said when.
    pub dated: bool,
    /// Its level.
    pub level: LogLevel,
    /// What it is about.
    pub class: LogClass,
    /// SQLSTATE, where the log has it.
    pub sqlstate: Option<String>,
    /// Process that wrote it.
    pub pid: Option<i32>,
    /// User, where the log or the message names one.
    pub user: Option<String>,
    /// Database, likewise.
    pub database: Option<String>,
    /// Client address, likewise.
    pub client: Option<String>,
    /// The message without values of users, cut at 300 characters.
    pub message: String,
    /// What the message names: `relation`, `block`, `file`, `signal`, `process`, `setting`, `how`, …
    pub named: BTreeMap<String, String>,
}

/// How often a class was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogCount {
    /// In the last minute.
    pub minute: u64,
    /// In the last five minutes.
    pub five_minutes: u64,
    /// In the last ten minutes.
    pub ten_minutes: u64,
    /// Since it is followed; what the log said shortly before is in it.
    pub ever: u64,
    /// Last.
    pub last: Option<Time>,
}

/// One wait in a deadlock.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct DeadlockWait {
    /// Mode of the lock it waits for, such as `ShareLock`.
    pub mode: String,
    /// For what, without numbers that differ each time: `transaction`, `tuple of relation 16400`, `relation 16400`.
    pub on: String,
    /// What it was doing, without literals.
    pub statement: Option<String>,
}

/// Deadlocks that are one and the same mistake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeadlockShape {
    /// Database, where the log says so.
    pub database: Option<String>,
    /// Each waits for the next one, the last for the first. Begins with the smallest, so that equal circles are equal.
    pub cycle: Vec<DeadlockWait>,
    /// Relations that the report names.
    pub relations: Vec<String>,
    /// In the last five minutes.
    pub five_minutes: u64,
    /// Since the log is followed.
    pub ever: u64,
    /// Processes of the last one, in the order of the cycle.
    pub processes: Vec<i32>,
    /// When it was last seen.
    pub last: Time,
}

/// Logins that were refused, by who tried from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rejection {
    /// User that was named.
    pub user: Option<String>,
    /// Address it came from, where the log says so.
    pub client: Option<String>,
    /// `password`, `no rule`, `rule`, `role`, `method`.
    pub why: String,
    /// In the last minute.
    pub minute: u64,
    /// In the last ten minutes.
    pub ten_minutes: u64,
    /// Last.
    pub last: Time,
}

/// How long one statement took, by the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StatementDuration {
    /// When it ended.
    pub at: Time,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Its text without literals; absent when the log gives the time alone.
    pub statement: Option<String>,
    /// Database, where the log says so.
    pub database: Option<String>,
}

/// Durations that the server chose to log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Durations {
    /// How many in the last minute.
    pub minute: u64,
    /// The newest, oldest first; at most a hundred.
    pub newest: Vec<StatementDuration>,
    /// `log_min_duration_statement`: faster ones are not logged; -1 when it is off, absent when it was not read.
    pub at_least_ms: Option<i64>,
    /// How they are spread, where they tell of all statements; ours are left out.
    #[serde(default)]
    pub distribution: Option<Distribution>,
    /// Why they are not, as a sentence.
    #[serde(default)]
    pub refused: Option<String>,
    /// All of them since the log is followed; only where every statement is logged.
    #[serde(default)]
    pub ever: Option<DurationBuckets>,
}

/// A file that is followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogFile {
    /// Its path.
    pub path: String,
    /// How it is written.
    pub format: LogFormat,
    /// Bytes read.
    pub read: u64,
    /// Bytes left out, because more was written than may be read in a round.
    pub skipped: u64,
    /// Lines that belong to no entry.
    pub strange: u64,
}

/// What the log of a server said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServerLog {
    /// The files it was read from.
    pub files: Vec<LogFile>,
    /// Since when it is followed.
    pub since: Option<Time>,
    /// How often each class was seen.
    pub counts: BTreeMap<LogClass, LogCount>,
    /// Events worth naming, oldest first, some of each class.
    pub events: Vec<LogEvent>,
    /// Deadlocks by shape, the most frequent first.
    pub deadlocks: Vec<DeadlockShape>,
    /// Logins that were refused in the last ten minutes, the most frequent first.
    pub rejections: Vec<Rejection>,
    /// Durations.
    pub durations: Durations,
}

impl ServerLog {
    /// The counts of a class.
    #[must_use]
    pub fn count(&self, class: LogClass) -> LogCount {
        self.counts.get(&class).copied().unwrap_or_default()
    }

    /// Events of some classes that the log dates within `window` before `now`, oldest first.
    pub fn within<'a>(
        &'a self,
        classes: &'a [LogClass],
        now: Time,
        window: Span,
    ) -> impl DoubleEndedIterator<Item = &'a LogEvent> {
        self.events
            .iter()
            .filter(move |e| classes.contains(&e.class) && now.since(e.at) <= window)
    }

    /// Why the last start did not come up: the newest event of these classes that no `Ready` follows.
    #[must_use]
    pub fn stopped_by(&self, classes: &[LogClass]) -> Option<&LogEvent> {
        let ready = self.events.iter().rposition(|e| e.class == LogClass::Ready);
        let after = ready.map_or(0, |i| i + 1);
        self.events[after..]
            .iter()
            .rev()
            .find(|e| classes.contains(&e.class))
    }

    /// When the server crashed, or failed to come up from a crash, within `window` before `now`; oldest first.
    ///
    /// One crash is one of: sessions ended to begin anew, a recovery that failed, a start that finds traces of a crash
    /// although nobody asked the server before it to stop.
    #[must_use]
    pub fn crashes(&self, now: Time, window: Span) -> Vec<&LogEvent> {
        use LogClass::{CrashRecovery, Reinitializing, StartFailed, Starting, Stopping};
        let mut out = Vec::new();
        let mut asked = false;
        // Of the start that is under way: nothing was heard of it yet, and whether it counts as a crash already.
        let mut fresh = false;
        let mut counted = false;
        for e in &self.events {
            match e.class {
                Stopping => asked = true,
                Starting => (fresh, counted) = (true, false),
                Reinitializing => {
                    (fresh, counted) = (false, true);
                    out.push(e);
                }
                StartFailed => {
                    if !counted {
                        out.push(e);
                    }
                    (fresh, counted) = (false, true);
                }
                CrashRecovery => {
                    if fresh && !asked {
                        counted = true;
                        out.push(e);
                    }
                    (fresh, asked) = (false, false);
                }
                LogClass::Ready => (fresh, asked, counted) = (false, false, false),
                _ => {}
            }
        }
        out.retain(|e| e.dated && now.since(e.at) <= window);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64, class: LogClass) -> LogEvent {
        LogEvent {
            at: Time::from_millis(at * 1000),
            dated: true,
            level: LogLevel::Log,
            class,
            sqlstate: None,
            pid: None,
            user: None,
            database: None,
            client: None,
            message: String::new(),
            named: BTreeMap::new(),
        }
    }

    fn log(classes: &[LogClass]) -> ServerLog {
        ServerLog {
            events: (0..).zip(classes).map(|(i, c)| event(i, *c)).collect(),
            ..ServerLog::default()
        }
    }

    #[test]
    fn each_crash_counts_once_and_a_wanted_stop_is_none() {
        use LogClass::{CrashRecovery, Ready, Reinitializing, StartFailed, Starting, Stopping};
        let crashes = |c: &[LogClass]| {
            log(c)
                .crashes(Time::from_millis(60_000), Span::from_mins(10))
                .len()
        };
        assert_eq!(crashes(&[Reinitializing, CrashRecovery, Ready]), 1);
        assert_eq!(crashes(&[Ready, Starting, CrashRecovery, Ready]), 1);
        assert_eq!(crashes(&[Ready, Stopping, Starting, CrashRecovery, Ready]), 0);
        assert_eq!(crashes(&[Ready, Stopping, Starting, Ready, Starting, Ready]), 0);
        let failing = [Starting, CrashRecovery, StartFailed];
        assert_eq!(crashes(&[failing, failing].concat()), 2);
        assert_eq!(crashes(&[Reinitializing, CrashRecovery, StartFailed]), 1);
        let later = log(&[Reinitializing])
            .crashes(Time::from_millis(700_000), Span::from_mins(10))
            .len();
        assert_eq!(later, 0);
    }

    #[test]
    fn what_a_later_start_overcame_no_longer_stops_it() {
        use LogClass::{Config, Port, Ready, Starting};
        let stopped = |c: &[LogClass]| log(c).stopped_by(&[Config, Port]).map(|e| e.class);
        assert_eq!(stopped(&[Ready, Starting, Config]), Some(Config));
        assert_eq!(stopped(&[Config, Starting, Ready]), None);
        assert_eq!(stopped(&[Config, Port]), Some(Port));
    }
}
