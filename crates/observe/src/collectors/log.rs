//! What a server's log says, read from its files on our own host.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use muster_model::snapshot::ServerLog;
use muster_model::{Span, Time};
use muster_reach::{HostConfig, PgSession, ReachError};

use super::CollectorInfo;
use crate::log::durations::Calls;
use crate::log::find::{LogSettings, find};
use crate::log::follow::Follower;
use crate::log::prefix;
use crate::log::tally::Tally;
use crate::log::when::Zone;
use crate::row::get;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "log",
    about: "What the server's log says: events by class, refused logins, deadlocks by shape, durations without literals. stderr with \
            any `log_line_prefix`, `csvlog`, `jsonlog`; follows rotation; at most 1 MB a round, the rest is counted as skipped.",
    reads: "the files of `current_logfiles` or `log_directory`, and `host.log` of the config; pg_settings for how they are written",
    needs: "a host in the config (`host: {local: true}`), and files that Muster's user may read",
    cadence: "1 s",
    gap: "everything that only the log tells: why a start is refused, who is turned away, which deadlocks, corruption that only a \
          client saw",
};

const SQL: &str = include_str!("../sql/log_settings.sql");

/// How a server logs, as its settings say.
pub(crate) async fn settings(session: &PgSession) -> Result<LogSettings, ReachError> {
    let mut out = LogSettings::default();
    for row in &session.query(SQL, &[]).await? {
        let name: String = get(row, "name");
        let value: String = get::<Option<String>>(row, "setting").unwrap_or_default();
        match name.as_str() {
            "log_destination" => out.destination = value,
            "logging_collector" => out.collector = value == "on",
            "log_directory" => out.directory = Some(value),
            "log_line_prefix" => out.prefix = value,
            "log_timezone" => out.timezone = value,
            "lc_messages" => out.messages = value,
            "log_min_duration_statement" => out.min_duration = value.parse().ok(),
            "log_min_duration_sample" => out.sample_min = value.parse().ok(),
            "log_statement_sample_rate" => out.sample_rate = value.parse().unwrap_or(0.0),
            "log_transaction_sample_rate" => out.transaction_rate = value.parse().unwrap_or(0.0),
            "data_directory" => out.data_directory = Some(PathBuf::from(value)),
            "wal_segment_size" => out.segment = value.parse().unwrap_or(0),
            _ => {}
        }
        if name.contains("_duration_") || name.contains("_sample_rate") {
            let other: Option<String> = row.get("other");
            if row.get("own") {
                out.durations_apart = Some(format!(
                    "`{name}` is set for our own role: what counts for others is not known"
                ));
            } else if let Some(other) = other {
                out.durations_apart = Some(format!(
                    "`{name}` is set for some roles or databases only ({other}): the log does not tell of all"
                ));
            }
        }
    }
    Ok(out)
}

/// A file that is not the newest any more is remembered so long, and so many of them.
const RESTING: Span = Span::from_mins(10);
const MOST_RESTING: usize = 4;

/// What is followed, and what was seen.
#[derive(Default)]
pub(crate) struct Memory {
    followers: Vec<Follower>,
    /// Files that are not followed for now, since when.
    resting: Vec<(Time, Follower)>,
    /// When the first file was looked at.
    watched: Option<SystemTime>,
    tally: Tally,
    since: Option<Time>,
    tuned: Option<(String, String)>,
}

/// What is known from elsewhere, for the durations.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// When the settings were read.
    pub(crate) settings_at: Time,
    /// Process ids of our own sessions.
    pub(crate) own: BTreeSet<i32>,
    /// How many calls the statistics about statements counted.
    pub(crate) calls: Option<Calls>,
}

/// Something that could not be read, and what would help.
pub(crate) type Lack = (String, Option<String>);

impl Memory {
    /// Whether the settings must be read anew before the durations say anything.
    pub(crate) fn wants_settings(&mut self) -> bool {
        self.tally.spread().wants_settings()
    }

    /// Reads what is new. `None` when nothing could be read.
    pub(crate) fn read(
        &mut self,
        host: &HostConfig,
        data: Option<&std::path::Path>,
        settings: Option<&LogSettings>,
        known: &Known,
        now: Time,
    ) -> (Option<ServerLog>, Vec<Lack>) {
        if let Some(settings) = settings {
            self.tally
                .spread()
                .tune(settings, known.settings_at, known.own.clone(), now);
        }
        let mut lacks = Vec::new();
        let places = match find(data, host.log.as_deref(), settings) {
            Ok(places) => places,
            Err(nowhere) => {
                lacks.push((nowhere.reason, Some(nowhere.remedy)));
                return (None, lacks);
            }
        };
        let pattern = settings.map_or(prefix::DEFAULT, |s| s.prefix.as_str()).to_owned();
        let timezone = settings.map_or("", |s| s.timezone.as_str()).to_owned();
        let zone = Zone::named(&timezone);
        let tuned = (pattern.clone(), timezone);
        if self.tuned.as_ref().is_some_and(|t| *t != tuned) {
            let mut out = Vec::new();
            let resting = self.resting.iter_mut().map(|(_, f)| f);
            for f in self.followers.iter_mut().chain(resting) {
                f.retune(&pattern, zone.clone(), &mut out);
            }
            for entry in &out {
                self.tally.take(entry, now, true);
            }
        }
        self.tuned = Some(tuned);
        // Another file is named: the last words of the old one first.
        let (kept, gone): (Vec<Follower>, Vec<Follower>) =
            self.followers.drain(..).partition(|f| places.contains(f.place()));
        self.followers = kept;
        let rotated = !gone.is_empty() || !self.resting.is_empty();
        for mut f in gone {
            if let Ok((round, _)) = f.last() {
                for entry in &round.entries {
                    self.tally.take(entry, now, round.live);
                }
                self.resting.push((now, f));
            }
        }
        // Two files that are written in turns are each read on from where they were left, and not anew.
        self.resting.retain(|(t, _)| now.since(*t) < RESTING);
        let most = self.resting.len().saturating_sub(MOST_RESTING);
        self.resting.drain(..most);
        let watched = *self.watched.get_or_insert_with(SystemTime::now);
        for place in places {
            if self.followers.iter().any(|f| *f.place() == place) {
                continue;
            }
            let rests = self.resting.iter().position(|(_, f)| *f.place() == place);
            self.followers.push(match rests {
                Some(i) => self.resting.remove(i).1,
                None => {
                    let anew = rotated && Follower::<crate::log::Parser>::began_since(&place, watched);
                    Follower::new(place, &pattern, zone.clone(), anew)
                }
            });
        }
        let mut files = Vec::new();
        for f in &mut self.followers {
            let before = f.file().skipped;
            match f.round() {
                Ok(round) => {
                    for entry in &round.entries {
                        self.tally.take(entry, now, round.live);
                    }
                    let file = f.file();
                    if file.skipped > before && round.live {
                        self.tally.spread().skipped(now);
                    }
                    if file.skipped > before {
                        let more = (file.skipped - before) / 1024;
                        let reason = format!(
                            "{}: {more} kB were written faster than they are read, and skipped",
                            file.path
                        );
                        lacks.push((
                            reason,
                            Some("log less, or raise what is logged to errors".to_owned()),
                        ));
                    }
                    files.push(file);
                }
                Err(e) => {
                    let remedy = (e.kind() == std::io::ErrorKind::PermissionDenied)
                        .then(|| "let Muster's user read it: set `log_file_mode = 0640` and give the user that group".to_owned());
                    lacks.push((format!("{}: {e}", f.place().path.display()), remedy));
                }
            }
        }
        lacks.extend(settings.and_then(foreign));
        if files.is_empty() {
            return (None, lacks);
        }
        let mut log = self.tally.show(now, known.calls);
        log.files = files;
        log.since = Some(*self.since.get_or_insert(now));
        log.durations.at_least_ms = settings.and_then(|s| s.min_duration);
        (Some(log), lacks)
    }
}

/// Messages in another language are known by their SQLSTATE at best.
fn foreign(settings: &LogSettings) -> Option<Lack> {
    let language = settings.messages.as_str();
    let english =
        ["", "C", "POSIX"].contains(&language) || language.starts_with("en") || language.starts_with("C.");
    (!english).then(|| {
        (
            format!(
                "the log is written in the language of `{language}`; most of its messages are not understood"
            ),
            Some("set `lc_messages = 'C'` in postgresql.conf and reload".to_owned()),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    #[test]
    fn two_files_that_are_written_in_turns_are_read_once() {
        let dir = tempfile::tempdir().expect("dir");
        let folder = dir.path().join("log");
        fs::create_dir(&folder).expect("dir");
        let host = HostConfig {
            local: true,
            data_dir: None,
            log: Some(folder.clone()),
        };
        let line = |n: u32| format!("2026-01-01 00:00:0{n}.000 UTC [7] PANIC:  told {n}\n");
        // Both are there before anybody looks, so what they hold is of the past.
        let write = |name: &str, n: u32| {
            let mut options = OpenOptions::new();
            let path = folder.join(name);
            let mut file = options.create(true).append(true).open(&path).expect("opens");
            file.write_all(line(n).as_bytes()).expect("writes");
            // The clock of files is coarse: what is written later is later.
            let later = SystemTime::now() + std::time::Duration::from_secs(u64::from(n));
            file.set_modified(later).expect("a time");
        };
        write("b.log", 1);
        write("a.log", 2);
        let mut memory = Memory::default();
        let mut read = 0;
        let mut names = Vec::new();
        for n in 3..9 {
            let now = Time::from_millis(1_767_225_600_000 + i64::from(n) * 1000);
            let known = Known {
                settings_at: now,
                own: BTreeSet::new(),
                calls: None,
            };
            let (log, lacks) = memory.read(&host, None, None, &known, now);
            assert_eq!(lacks, Vec::new());
            let log = log.expect("read");
            let file = log.files.last().expect("a file");
            names.push(file.path.ends_with("a.log"));
            read = file.read;
            write(if n % 2 == 0 { "a.log" } else { "b.log" }, n);
        }
        assert_eq!(
            names,
            [true, false, true, false, true, false],
            "the newest each time"
        );
        // b.log was written at 1, 3, 5 and 7; each byte was read once.
        assert_eq!(read, (line(1).len() * 4) as u64);
    }
}
