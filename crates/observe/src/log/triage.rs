//! What an entry is about: knowledge of PostgreSQL's message texts and SQLSTATEs, as a table.
//!
//! A text counts where the server puts it, at the beginning of a message: the same words in somebody's data or statement are
//! not the server's. Messages in other languages are known by their SQLSTATE only. An event carries names and numbers of
//! the server; values of settings, statements and what users sent do not leave.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::snapshot::{LogClass, LogEvent, LogLevel, StatementDuration};
use muster_reach::redact;

use super::entry::{Entry, some};

/// Longest message of an event.
const LONGEST: usize = 300;

/// Where a text must stand.
#[derive(Clone, Copy)]
enum Text {
    Begins(&'static str),
    /// Begins with the one and contains the other behind it.
    Has(&'static str, &'static str),
}

/// Which entries a line of the table is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// What the server says of itself: LOG, WARNING, FATAL, PANIC.
    Server,
    /// The end of a session or a start: FATAL, PANIC.
    End,
    /// A statement too.
    Any,
}

use At::{Any, End, Server};
use LogClass as C;
use Text::{Begins, Has};

/// The first line that fits decides.
const TEXTS: &[(C, At, Text)] = &[
    (C::Disk, Any, Has("could not ", ": No space left on device")),
    (C::Disk, Any, Has("could not ", ": Disk quota exceeded")),
    (C::Corruption, Any, Begins("invalid page in block ")),
    (C::Corruption, Any, Begins("page verification failed")),
    (C::Corruption, Any, Has("could not read block", " in file ")),
    (C::Corruption, Any, Begins("missing chunk number ")),
    (C::Corruption, Any, Begins("unexpected chunk number ")),
    (
        C::Corruption,
        Any,
        Begins("could not access status of transaction "),
    ),
    (C::Corruption, Any, Has("found xmin ", " from before ")),
    (C::Corruption, Any, Has("found multixact ", " from before ")),
    (
        C::Corruption,
        Any,
        Has("index \"", "contains unexpected zero page"),
    ),
    (C::Corruption, Any, Has("index \"", "contains corrupted page")),
    (C::Deadlock, Any, Begins("deadlock detected")),
    (C::LockWait, Server, Has("process ", " still waiting for ")),
    (
        C::Reinitializing,
        Server,
        Begins("all server processes terminated; reinitializing"),
    ),
    (
        C::Reinitializing,
        Server,
        Has("shutting down because ", "restart_after_crash"),
    ),
    (
        C::CrashRecovery,
        Server,
        Begins("database system was interrupted"),
    ),
    (
        C::CrashRecovery,
        Server,
        Begins("database system shutdown was interrupted"),
    ),
    (
        C::CrashRecovery,
        Server,
        Begins("database system was not properly shut down"),
    ),
    (C::StartFailed, Server, Has("", "due to startup process failure")),
    (C::Starting, Server, Begins("starting PostgreSQL ")),
    (C::Ready, Server, Begins("database system is ready to accept ")),
    (C::Stopping, Server, Begins("received fast shutdown request")),
    (C::Stopping, Server, Begins("received smart shutdown request")),
    (C::Stopping, Server, Begins("received immediate shutdown request")),
    (C::Stopped, Server, Begins("database system is shut down")),
    (C::Port, Server, Has("lock file \"", ".s.PGSQL.")),
    (C::LockFile, Server, Begins("lock file \"")),
    (C::LockFile, Server, Begins("bogus data in lock file")),
    (C::LockFile, Server, Begins("pre-existing shared memory block")),
    (C::Port, Server, Has("could not bind ", "")),
    (C::Port, Server, Begins("could not create any TCP/IP sockets")),
    (
        C::Port,
        Server,
        Begins("could not create any Unix-domain sockets"),
    ),
    (
        C::Version,
        Server,
        Begins("database files are incompatible with server"),
    ),
    (
        C::Permission,
        Server,
        Has("data directory \"", "\" has invalid permissions"),
    ),
    (
        C::Permission,
        Server,
        Has("data directory \"", "\" has wrong ownership"),
    ),
    (C::Permission, Server, Has("could not ", ": Permission denied")),
    (
        C::Permission,
        Server,
        Begins("\"root\" execution of the PostgreSQL server"),
    ),
    (
        C::Permission,
        Server,
        Has("private key file \"", "has group or world access"),
    ),
    (C::Config, Server, Begins("unrecognized configuration parameter ")),
    (C::Config, Server, Begins("invalid value for parameter ")),
    (C::Config, Server, Has("parameter \"", "requires a ")),
    (C::Config, Server, Has("syntax error in file \"", "")),
    (C::Config, Server, Has("configuration file \"", "contains errors")),
    (C::Config, Server, Begins("could not load ")),
    (C::Config, Server, Has("could not open configuration file \"", "")),
    (
        C::Config,
        Server,
        Begins("could not access the server configuration file"),
    ),
    (
        C::Config,
        Server,
        Has("could not access file \"", "No such file or directory"),
    ),
    (C::Config, Server, Begins("invalid authentication method ")),
    (C::Config, Server, Begins("hot standby is not possible because ")),
    (
        C::Config,
        Server,
        Begins("recovery aborted because of insufficient parameter settings"),
    ),
    (C::SlotsFull, Any, Begins("sorry, too many clients already")),
    (
        C::SlotsFull,
        Any,
        Begins("remaining connection slots are reserved"),
    ),
    (C::SlotsFull, Any, Begins("too many connections for ")),
    (
        C::SlotsFull,
        Any,
        Begins("number of requested standby connections exceeds"),
    ),
    (
        C::Authentication,
        End,
        Has("", "authentication failed for user \""),
    ),
    (C::Authentication, End, Begins("no pg_hba.conf entry for ")),
    (C::Authentication, End, Begins("pg_hba.conf rejects ")),
    (C::Authentication, End, Has("role \"", "\" does not exist")),
    (
        C::Authentication,
        End,
        Has("role \"", "\" is not permitted to log in"),
    ),
    (C::Authentication, End, Begins("permission denied for database ")),
    (C::Archive, Server, Begins("archive command ")),
    (C::Archive, Server, Begins("archiving write-ahead log file \"")),
    (C::OutOfMemory, Any, Begins("out of memory")),
    (C::OutOfMemory, Any, Has("could not ", ": Cannot allocate memory")),
];

/// What an entry becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// An event of a class.
    Event(Box<LogEvent>),
    /// How long a statement took.
    Duration(StatementDuration),
    /// Who connected: process and host, for entries of that process that do not say.
    Connected(i32, String),
}

/// What an entry means; `now` stands for the time when the log does not say it, and `live` says whether it was just written.
#[must_use]
pub fn triage(entry: &Entry, now: Time, live: bool) -> Option<Meaning> {
    // A time to come was written in another zone than was thought.
    let said = entry.at.filter(|t| t.since(now).millis() <= 60_000);
    let at = said.unwrap_or(now);
    if entry.level == LogLevel::Log {
        if let Some(rest) = entry.message.strip_prefix("duration: ") {
            return duration(rest, at, entry).map(Meaning::Duration);
        }
        if let Some(rest) = entry.message.strip_prefix("connection received: host=") {
            let host = rest.split(' ').next().and_then(some)?;
            return Some(Meaning::Connected(entry.pid?, host));
        }
    }
    let class = class(entry)?;
    let mut event = LogEvent {
        at,
        dated: said.is_some() || live,
        level: entry.level,
        class,
        sqlstate: entry.sqlstate.clone(),
        pid: entry.pid,
        user: entry.user.clone(),
        database: entry.database.clone(),
        client: entry.client.clone(),
        message: clean(&entry.message, class),
        named: BTreeMap::new(),
    };
    name(entry, &mut event);
    Some(Meaning::Event(Box::new(event)))
}

/// Whether a complaint about a setting is about the server's own: a client may name any setting when it connects, and is turned
/// away with the same words. Of the server's files they are a remark of the log, or name the file.
fn of_the_server(entry: &Entry) -> bool {
    let m = entry.message.as_str();
    let either = [
        "unrecognized configuration parameter ",
        "invalid value for parameter ",
        "parameter \"",
    ];
    entry.user.is_none()
        && (entry.level == LogLevel::Log
            || m.contains(" in file \"")
            || !either.iter().any(|begin| m.starts_with(begin)))
}

/// The class of an entry; `None` for what nobody has to know.
#[must_use]
pub fn class(entry: &Entry) -> Option<LogClass> {
    let m = entry.message.as_str();
    let state = entry.sqlstate.as_deref().unwrap_or("");
    // 57P03: told to everybody who knocks while it starts. P0001: raised by a user's function, whatever it says.
    if entry.level < LogLevel::Log || state == "57P03" || m.starts_with("the database system is ") {
        return None;
    }
    let statements = [
        "statement: ",
        "execute ",
        "parse ",
        "bind ",
        "fastpath ",
        "AUDIT: ",
    ];
    if entry.level == LogLevel::Log && statements.iter().any(|s| m.starts_with(s)) {
        return None;
    }
    if state != "P0001" {
        if let Some((_, signal)) = ended(m) {
            return Some(if signal == Some(9) { C::Killed } else { C::Crashed });
        }
        let fits = |at: At| match at {
            Any => true,
            Server => entry.level != LogLevel::Error,
            End => entry.level >= LogLevel::Fatal,
        };
        let by_text = TEXTS.iter().find(|(class, at, text)| {
            fits(*at)
                && (*class != C::Config || of_the_server(entry))
                && match text {
                    Begins(a) => m.starts_with(a),
                    Has(a, b) => m.strip_prefix(a).is_some_and(|rest| rest.contains(b)),
                }
        });
        let temporary = m.contains(" of temporary file");
        if let Some((class, _, _)) = by_text.filter(|(c, _, _)| *c != C::Corruption || !temporary) {
            return Some(*class);
        }
        let by_state = match state {
            "XX001" | "XX002" => Some(C::Corruption),
            "53100" => Some(C::Disk),
            "53200" => Some(C::OutOfMemory),
            "53300" => Some(C::SlotsFull),
            "40P01" => Some(C::Deadlock),
            "28P01" | "28000" if entry.level >= LogLevel::Fatal => Some(C::Authentication),
            "F0000" if entry.level != LogLevel::Error && of_the_server(entry) => Some(C::Config),
            "F0001" => Some(C::LockFile),
            _ => None,
        };
        if by_state.is_some() {
            return by_state;
        }
    }
    match entry.level {
        LogLevel::Panic => Some(C::Panic),
        LogLevel::Fatal => Some(C::Fatal),
        LogLevel::Error => Some(C::Error),
        _ => None,
    }
}

/// `server process (PID 7) was terminated by signal 9: Killed`: the process, and the signal if it was one. A worker that
/// gives up with exit code 1 is no crash.
fn ended(message: &str) -> Option<(i32, Option<i32>)> {
    let (_, rest) = message.split_once(" (PID ")?;
    let (pid, how) = rest.split_once(") ")?;
    let pid = pid.parse().ok()?;
    if let Some(signal) = how.strip_prefix("was terminated by signal ") {
        return Some((pid, Some(number(signal)?)));
    }
    let code: i32 = number(how.strip_prefix("exited with exit code ")?)?;
    (code > 1).then_some((pid, None))
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let long = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..long].parse().ok()
}

/// What stands in quotes after some words.
fn quoted(text: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(after)?;
    let rest = rest.strip_prefix('"')?;
    some(rest.split('"').next()?)
}

/// The first thing in quotes.
fn first_quoted(text: &str) -> Option<String> {
    text.split('"').nth(1).and_then(some)
}

fn name(entry: &Entry, event: &mut LogEvent) {
    let m = entry.message.as_str();
    let hint = entry.hint.as_deref().unwrap_or("");
    let detail = entry.detail.as_deref().unwrap_or("");
    let after = |text: &str, words: &str| text.split_once(words).and_then(|(_, r)| number::<u64>(r));
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            event
                .named
                .insert(key.to_owned(), value.chars().take(LONGEST).collect());
        }
    };
    let text = |n: Option<u64>| n.map(|n| n.to_string());
    match event.class {
        C::Corruption => {
            let block = [
                " in block ",
                "could not read block ",
                "could not read blocks ",
                " at block ",
            ];
            put("block", text(block.iter().find_map(|w| after(m, w))));
            let relation = m.split_once(" of relation ").and_then(|(_, r)| {
                let end = |c: char| c == '"' || c.is_whitespace() || c == ';';
                some(r.trim_start_matches('"').split(end).next()?)
            });
            let toast = m.rsplit_once(" in pg_toast_").and_then(|(_, r)| number::<u64>(r));
            put(
                "relation",
                relation.or_else(|| toast.map(|n| format!("pg_toast_{n}"))),
            );
            put("file", quoted(m, "in file "));
            put(
                "index",
                m.starts_with("index ").then(|| quoted(m, "index ")).flatten(),
            );
        }
        C::Killed | C::Crashed => {
            let (pid, signal) = ended(m).unzip();
            put("process", pid.map(|p| p.to_string()));
            put("signal", signal.flatten().map(|s| s.to_string()));
            put("what", m.split_once(" (PID ").and_then(|(what, _)| some(what)));
            let running = detail.split_once("Failed process was running: ");
            put("statement", running.map(|(_, sql)| redact::statement(sql)));
        }
        C::LockFile => {
            put("process", text(after(hint, "(PID ")));
            let how = if m.starts_with("pre-existing") {
                "shared_memory"
            } else {
                "lock_file"
            };
            put("how", Some(how.to_owned()));
        }
        C::Port => {
            put(
                "port",
                text(after(hint, "running on port ").or_else(|| after(m, ".s.PGSQL."))),
            );
            put("process", text(after(hint, "(PID ")));
        }
        C::Config => {
            put("setting", quoted(m, "parameter "));
            put("file", quoted(m, "file "));
            put("line", text(after(m, "\" line ")));
        }
        C::Permission | C::Disk => put("file", first_quoted(m)),
        C::Version => {
            put("data", text(after(detail, "initialized by PostgreSQL version ")));
            put("server", text(after(detail, "not compatible with this version ")));
        }
        C::Stopping => put("how", m.split(' ').nth(1).map(str::to_owned)),
        C::Starting => put("version", m.split(' ').nth(2).map(str::to_owned)),
        C::SlotsFull => put("whose", first_quoted(m)),
        C::Authentication => {
            event.user = event
                .user
                .take()
                .or_else(|| quoted(m, "user "))
                .or_else(|| quoted(m, "role "));
            event.client = event.client.take().or_else(|| quoted(m, "host "));
            event.database = event.database.take().or_else(|| quoted(m, "database "));
            let why = match m {
                _ if m.starts_with("no pg_hba.conf") => "no rule",
                _ if m.starts_with("pg_hba.conf rejects") => "rule",
                _ if m.starts_with("role ") => "role",
                _ if m.starts_with("permission denied") => "privilege",
                _ if m.starts_with("password ") => "password",
                _ => "method",
            };
            event.named.insert("why".to_owned(), why.to_owned());
        }
        _ => {}
    }
}

/// A message without values of users.
fn clean(message: &str, class: LogClass) -> String {
    let line = message.lines().next().unwrap_or("");
    let bare = match class {
        // What a client sent stands in the messages of its errors.
        C::Error | C::Deadlock | C::LockWait => "",
        C::Config => line
            .split_once("\": ")
            .or_else(|| line.split_once(", near token "))
            .map_or(line, |(before, _)| before),
        _ => line,
    };
    let closed = if class == C::Config && bare.matches('"').count() % 2 == 1 {
        "\""
    } else {
        ""
    };
    bare.chars().take(LONGEST).collect::<String>() + closed
}

/// `12.345 ms  statement: SELECT …`, `12.345 ms  execute <unnamed>: SELECT …`, `12.345 ms  plan:` with `Query Text: `.
fn duration(text: &str, at: Time, entry: &Entry) -> Option<StatementDuration> {
    let (ms, rest) = text.split_once(" ms")?;
    let ms: f64 = ms.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms >= 0.0)?;
    let rest = rest.trim_start();
    let sql = if rest.is_empty() {
        None
    } else if let Some(plan) = rest.strip_prefix("plan:") {
        plan.split_once("Query Text: ")
            .map(|(_, q)| q.lines().next().unwrap_or(""))
    } else if rest.starts_with("statement: ") || rest.starts_with("execute ") {
        rest.split_once(": ").map(|(_, sql)| sql)
    } else {
        // Parsing and binding are not running.
        return None;
    };
    Some(StatementDuration {
        at,
        ms,
        statement: sql.map(redact::statement),
        database: entry.database.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::entry;

    fn read(line: &str) -> Option<Meaning> {
        let (word, message) = line.split_once(": ").expect("a level");
        let mut parts = message.split('|');
        let mut e = Entry::new(entry::level(word).expect("a level"));
        e.message = parts.next().expect("a message").to_owned();
        e.hint = parts.next().map(str::to_owned);
        e.detail = parts.next().map(str::to_owned);
        e.sqlstate = parts.next().map(str::to_owned);
        triage(&e, Time::from_millis(1000), true)
    }

    fn event(line: &str) -> LogEvent {
        match read(line) {
            Some(Meaning::Event(e)) => *e,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_the_server_says_has_its_class_and_its_names() {
        for (line, class, names) in [
            (
                "ERROR: invalid page in block 12 of relation base/5/16397",
                C::Corruption,
                "block=12 relation=base/5/16397",
            ),
            (
                "ERROR: invalid page in block 12 of relation \"base/5/16397\"",
                C::Corruption,
                "block=12 relation=base/5/16397",
            ),
            (
                "WARNING: page verification failed, calculated checksum 1 but expected 2",
                C::Corruption,
                "",
            ),
            (
                "ERROR: could not read block 5 in file \"base/5/7\": read only 0 of 8192 bytes",
                C::Corruption,
                "block=5 file=base/5/7",
            ),
            (
                "ERROR: missing chunk number 0 for toast value 12 in pg_toast_16389",
                C::Corruption,
                "relation=pg_toast_16389",
            ),
            (
                "ERROR: index \"i\" contains unexpected zero page at block 3",
                C::Corruption,
                "block=3 index=i",
            ),
            ("ERROR: kaputt|||XX002", C::Corruption, ""),
            (
                "PANIC: could not write to file \"pg_wal/xlogtemp.7\": No space left on device",
                C::Disk,
                "file=pg_wal/xlogtemp.7",
            ),
            (
                "LOG: server process (PID 47) was terminated by signal 9: Killed||Failed process was running: select 'x'",
                C::Killed,
                "process=47 signal=9 statement=select ? what=server process",
            ),
            (
                "LOG: client backend (PID 47) was terminated by signal 11: Segmentation fault",
                C::Crashed,
                "process=47 signal=11 what=client backend",
            ),
            (
                "LOG: all server processes terminated; reinitializing",
                C::Reinitializing,
                "",
            ),
            (
                "LOG: database system was interrupted; last known up at 2026-01-01 00:00:00 UTC",
                C::CrashRecovery,
                "",
            ),
            (
                "LOG: shutting down because \"restart_after_crash\" is off",
                C::Reinitializing,
                "",
            ),
            (
                "LOG: aborting startup due to startup process failure",
                C::StartFailed,
                "",
            ),
            (
                "LOG: shutting down due to startup process failure",
                C::StartFailed,
                "",
            ),
            (
                "LOG: starting PostgreSQL 15.18 (Debian) on x86_64",
                C::Starting,
                "version=15.18",
            ),
            (
                "LOG: database system is ready to accept read-only connections",
                C::Ready,
                "",
            ),
            (
                "LOG: received immediate shutdown request",
                C::Stopping,
                "how=immediate",
            ),
            (
                "FATAL: lock file \"postmaster.pid\" already exists|Is another postmaster (PID 8) running in data directory \"/x\"?",
                C::LockFile,
                "how=lock_file process=8",
            ),
            (
                "FATAL: pre-existing shared memory block (key 1, ID 2) is still in use",
                C::LockFile,
                "how=shared_memory",
            ),
            (
                "FATAL: lock file \"/tmp/.s.PGSQL.5432.lock\" already exists|Is another postmaster (PID 8) using socket file",
                C::Port,
                "port=5432 process=8",
            ),
            (
                "LOG: could not bind IPv4 address \"127.0.0.1\": Address already in use|Is another postmaster already running on port 5433?",
                C::Port,
                "port=5433",
            ),
            (
                "FATAL: data directory \"/x\" has invalid permissions",
                C::Permission,
                "file=/x",
            ),
            (
                "FATAL: could not open file \"/x/y\": Permission denied",
                C::Permission,
                "file=/x/y",
            ),
            (
                "FATAL: database files are incompatible with server||The data directory was initialized by PostgreSQL version 15, which is not compatible with this version 18.6.",
                C::Version,
                "data=15 server=18",
            ),
            (
                "LOG: unrecognized configuration parameter \"shard_buffers\" in file \"/x/postgresql.conf\" line 3",
                C::Config,
                "file=/x/postgresql.conf line=3 setting=shard_buffers",
            ),
            (
                "FATAL: could not access file \"pg_stat_statments\": No such file or directory",
                C::Config,
                "file=pg_stat_statments",
            ),
            ("FATAL: sorry, too many clients already", C::SlotsFull, ""),
            (
                "LOG: archive command failed with exit code 1||The failed archive command was: scp secret",
                C::Archive,
                "",
            ),
            ("ERROR: out of memory", C::OutOfMemory, ""),
        ] {
            let e = event(line);
            assert_eq!(e.class, class, "{line}");
            let said: Vec<String> = e.named.iter().map(|(k, v)| format!("{k}={v}")).collect();
            assert_eq!(said.join(" "), names, "{line}");
        }
    }

    #[test]
    fn who_was_turned_away_is_named() {
        for (line, user, client, why) in [
            (
                "FATAL: password authentication failed for user \"app\"",
                "app",
                None,
                "password",
            ),
            (
                "FATAL: no pg_hba.conf entry for host \"10.0.0.7\", user \"app\", database \"shop\", no encryption",
                "app",
                Some("10.0.0.7"),
                "no rule",
            ),
            (
                "FATAL: no pg_hba.conf entry for replication connection from host \"10.0.0.7\", user \"r\", SSL encryption",
                "r",
                Some("10.0.0.7"),
                "no rule",
            ),
            ("FATAL: role \"bob\" does not exist", "bob", None, "role"),
        ] {
            let e = event(line);
            assert_eq!(e.class, C::Authentication, "{line}");
            assert_eq!(
                (e.user.as_deref(), e.client.as_deref()),
                (Some(user), client),
                "{line}"
            );
            assert_eq!(e.named["why"], why);
        }
    }

    #[test]
    fn what_users_say_is_not_the_server() {
        for line in [
            "LOG: statement: select 'invalid page in block 1 of relation x'",
            "LOG: AUDIT: SESSION,1,1,READ,SELECT,,,select 'PANIC'",
            "LOG: checkpoint starting: time",
            "FATAL: the database system is starting up",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
        for line in [
            "ERROR: invalid page in block 1 of relation x|||P0001",
            "ERROR: invalid input syntax for type integer: \"could not x: No space left on device\"",
            "ERROR: unrecognized configuration parameter \"app.user\"",
            "ERROR: role \"bob\" does not exist",
            "ERROR: could not read block 3 of temporary file: read only 0 of 8192 bytes",
        ] {
            let e = event(line);
            assert_eq!((e.class, e.message.as_str()), (C::Error, ""), "{line}");
        }
        assert_eq!(
            read("LOG: background worker \"logical replication worker\" (PID 5) exited with exit code 1"),
            None
        );
    }

    #[test]
    fn what_a_client_asks_for_when_it_connects_is_no_setting_of_the_server() {
        for line in [
            "FATAL: unrecognized configuration parameter \"no_such_thing\"",
            "FATAL: invalid value for parameter \"work_mem\": \"lots\"",
            "FATAL: parameter \"geqo\" requires a Boolean value",
        ] {
            assert_eq!(event(line).class, C::Fatal, "{line}");
        }
        for line in [
            "LOG: unrecognized configuration parameter \"x\" in file \"/x/postgresql.conf\" line 4",
            "LOG: invalid value for parameter \"work_mem\": \"lots\"",
            "FATAL: configuration file \"/x/postgresql.conf\" contains errors",
        ] {
            assert_eq!(event(line).class, C::Config, "{line}");
        }
        let mut entry = Entry::new(LogLevel::Fatal);
        entry.message = "could not access file \"no_such_library\": No such file or directory".to_owned();
        assert_eq!(class(&entry), Some(C::Config));
        entry.user = Some("app".to_owned());
        assert_eq!(class(&entry), Some(C::Fatal), "a library that a client asked for");
    }

    #[test]
    fn values_of_settings_and_statements_do_not_leave() {
        let e = event("LOG: invalid value for parameter \"primary_conninfo\": \"password=geheim\"");
        assert_eq!(e.message, "invalid value for parameter \"primary_conninfo\"");
        let e = event("LOG: syntax error in file \"/x/postgresql.conf\" line 4, near token \"geheim\"");
        assert_eq!(e.message, "syntax error in file \"/x/postgresql.conf\" line 4");
        let e = event(
            "LOG: archive command failed with exit code 1||The failed archive command was: curl -u geheim",
        );
        assert!(!format!("{e:?}").contains("geheim"), "{e:?}");
    }

    #[test]
    fn durations_carry_the_statement_without_its_literals() {
        let read = |line: &str| match read(line) {
            Some(Meaning::Duration(d)) => Some((d.ms, d.statement)),
            _ => None,
        };
        let sql = || Some("select * from t where a = ?".to_owned());
        assert_eq!(
            read("LOG: duration: 12.345 ms  statement: select * from t where a = 'x'"),
            Some((12.345, sql()))
        );
        assert_eq!(
            read("LOG: duration: 0.5 ms  execute <unnamed>: select * from t where a = 7"),
            Some((0.5, sql()))
        );
        assert_eq!(
            read("LOG: duration: 9 ms  plan:\nQuery Text: select * from t where a = 7\nSeq Scan"),
            Some((9.0, sql()))
        );
        assert_eq!(read("LOG: duration: 3.5 ms"), Some((3.5, None)));
        assert_eq!(read("LOG: duration: 3.5 ms  parse x: select 1"), None);
        assert_eq!(read("LOG: duration: long ms"), None);
    }
}
