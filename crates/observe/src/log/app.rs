//! What lines of an application's log are about: error strings of drivers, pools and runtimes, as one table.
//!
//! Knows strings of many languages' libraries. Refuses to keep a line that no class knows, and keeps of one that is known only its
//! shape: literals, numbers and secrets are taken out. A string counts wherever it stands in a line, because everybody writes
//! lines differently; a line counts once, for the first class that fits.

use muster_model::snapshot::AppLogClass;
use muster_reach::redact;

use super::follow::Reads;

/// Longest line that is looked at, and that is kept as an example.
const LINE: usize = 64 * 1024;
const EXAMPLE: usize = 200;

use AppLogClass as C;

/// Strings in small letters; the first class with one that stands in the line.
const STRINGS: &[(C, &[&str])] = &[
    (
        C::PoolTimeout,
        &[
            "queuepool limit",
            "too many connections",
            "too many clients",
            "remaining connection slots",
            "connection pool exhausted",
            "pool timed out",
            "pool timeout",
            "pooltimeout",
            "poolerror: timeout",
            "connection is not available, request timed out",
            "timed out waiting for a connection",
            "timeout acquiring a connection",
            "could not obtain a database connection",
            "could not obtain a connection from the pool",
            "couldn't get a connection",
            "unable to acquire a connection",
            "no more connections allowed",
            "query_wait_timeout",
            "timed out fetching a new connection from the connection pool",
        ],
    ),
    (C::Deadlock, &["deadlock detected", "deadlockdetected", "40p01"]),
    (
        C::StatementTimeout,
        &[
            "canceling statement due to statement timeout",
            "canceling statement due to lock timeout",
            "querycanceled",
            "statement timeout",
            "locknotavailable",
            "57014",
            "55p03",
        ],
    ),
    (
        C::Authentication,
        &[
            "password authentication failed",
            "no pg_hba.conf entry",
            "authentication failed",
            "noauth authentication required",
            "wrongpass",
            "invalid authorization specification",
            "28p01",
        ],
    ),
    (
        C::Tls,
        &[
            "certificate verify failed",
            "certificate has expired",
            "ssl error",
            "ssl connection has been closed",
            "tls handshake",
            "handshake failure",
            "x509:",
            "self-signed certificate",
            "self signed certificate",
            "invalid peer certificate",
        ],
    ),
    (
        C::Schema,
        &[
            "undefinedcolumn",
            "undefinedtable",
            "undefined column",
            "undefined table",
            "undefinedfunction",
            "42703",
            "42p01",
            "pending migration",
            "no such column",
            "no such table",
        ],
    ),
    (
        C::Redis,
        &[
            "redis.exceptions.connectionerror",
            "redis.exceptions.timeouterror",
            "redisconnectionexception",
            "redis connection to",
            "redis is unreachable",
            "connecting to redis",
            "error connecting to redis",
            "[ioredis]",
            "redis unavailable",
            "loading redis is loading the dataset",
        ],
    ),
    (
        C::ConnectionRefused,
        &[
            "connection refused",
            "econnrefused",
            "econnreset",
            "connection reset by peer",
            "server closed the connection unexpectedly",
            "terminating connection due to administrator command",
            "no route to host",
            "the database system is starting up",
            "the database system is shutting down",
            "could not connect to server",
        ],
    ),
    (
        C::OutOfMemory,
        &[
            "out of memory",
            "outofmemoryerror",
            "cannot allocate memory",
            "memoryerror",
            "heap limit allocation failed",
            "oom-kill",
            "oomkilled",
        ],
    ),
    (
        C::Panic,
        &[
            "panicked at",
            "panic: ",
            "fatal error: ",
            "segmentation fault",
            "sigsegv",
            "unhandled exception",
            "uncaught exception",
            "unhandledpromiserejection",
            "core dumped",
            "worker was sent sigkill",
        ],
    ),
];

/// Two strings that belong together: a name of an object stands between them.
const PAIRS: &[(C, &str, &str)] = &[
    (C::Schema, "column ", " does not exist"),
    (C::Schema, "relation ", " does not exist"),
    (C::Schema, "function ", " does not exist"),
    (C::Schema, "type ", " does not exist"),
    (C::Authentication, "role ", " does not exist"),
    (C::Redis, "redis", "connection refused"),
    (C::Redis, "redis", "timed out"),
    (C::Redis, "redis", "econnrefused"),
    (C::Redis, ":6379", "refused"),
];

/// What a line is about; most lines are about nothing that is known.
#[must_use]
pub fn class(line: &str) -> Option<C> {
    let low = line.to_ascii_lowercase();
    let pair = |c: C| {
        PAIRS
            .iter()
            .any(|(class, a, b)| *class == c && low.split_once(a).is_some_and(|(_, rest)| rest.contains(b)))
    };
    STRINGS
        .iter()
        .find(|(class, words)| words.iter().any(|w| low.contains(w)) || pair(*class))
        .map(|(class, _)| *class)
}

/// The shape of a line: without secrets, literals, quoted values and numbers, so that equal mistakes look equal.
#[must_use]
pub fn shape(line: &str) -> String {
    let clean = redact::text(line);
    let mut out = String::new();
    let mut digits = false;
    for c in clean.trim().chars() {
        if c.is_ascii_digit() {
            if !digits {
                out.push('?');
            }
            digits = true;
            continue;
        }
        digits = false;
        out.push(if c.is_control() { ' ' } else { c });
    }
    let short: String = out.chars().take(EXAMPLE).collect();
    if short.len() < out.len() {
        short + "…"
    } else {
        short
    }
}

/// Bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    /// The rest of a line that was too long, or cut off in front, is left out.
    skipping: bool,
}

impl Reads for Lines {
    type Item = String;

    fn feed(&mut self, bytes: &[u8], out: &mut Vec<String>) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let whole = part.ends_with(b"\n");
            if !self.skipping {
                let room = LINE.saturating_sub(self.line.len());
                self.line.extend_from_slice(&part[..part.len().min(room)]);
                if self.line.len() >= LINE {
                    self.end(out);
                    self.skipping = true;
                }
            }
            if whole {
                self.end(out);
                self.skipping = false;
            }
        }
    }

    fn end(&mut self, out: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() {
            out.push(text.to_owned());
        }
    }

    fn cut(&mut self, _: &mut Vec<String>) {
        self.line.clear();
        self.skipping = true;
    }

    fn strange(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn error_strings_of_libraries_have_their_class() {
        for (line, expected) in [
            (
                "sqlalchemy.exc.TimeoutError: QueuePool limit of size 8 overflow 8 reached, connection timed out, timeout 10.00",
                Some(C::PoolTimeout),
            ),
            ("FATAL:  sorry, too many clients already", Some(C::PoolTimeout)),
            (
                "HikariPool-1 - Connection is not available, request timed out after 30000ms.",
                Some(C::PoolTimeout),
            ),
            (
                "PoolTimedOut: pool timed out while waiting for an open connection",
                Some(C::PoolTimeout),
            ),
            (
                "psycopg2.errors.DeadlockDetected: deadlock detected",
                Some(C::Deadlock),
            ),
            (
                "ERROR: canceling statement due to statement timeout",
                Some(C::StatementTimeout),
            ),
            (
                "password authentication failed for user \"app\"",
                Some(C::Authentication),
            ),
            ("role \"app\" does not exist", Some(C::Authentication)),
            ("SSL error: certificate verify failed", Some(C::Tls)),
            (
                "psycopg2.errors.UndefinedColumn: column notes.likes does not exist",
                Some(C::Schema),
            ),
            ("relation \"notes_v2\" does not exist", Some(C::Schema)),
            (
                "redis.exceptions.ConnectionError: Error 111 connecting to db:6379. Connection refused.",
                Some(C::Redis),
            ),
            (
                "dial tcp 127.0.0.1:6379: connect: connection refused",
                Some(C::Redis),
            ),
            (
                "dial tcp 127.0.0.1:5432: connect: connection refused",
                Some(C::ConnectionRefused),
            ),
            (
                "server closed the connection unexpectedly",
                Some(C::ConnectionRefused),
            ),
            (
                "java.lang.OutOfMemoryError: Java heap space",
                Some(C::OutOfMemory),
            ),
            ("thread 'main' panicked at src/main.rs:7:5", Some(C::Panic)),
            ("GET /api/notes 200 in 12 ms", None),
            ("user 57 saved a note about columns", None),
            ("", None),
        ] {
            assert_eq!(class(line), expected, "{line}");
        }
    }

    #[test]
    fn a_shape_has_no_values() {
        assert_eq!(
            shape(
                "2026-11-20 03:04 [77] deadlock: UPDATE t SET a = 'geheim' WHERE id = 4711 postgres://u:p@h/d"
            ),
            "?-?-? ?:? [?] deadlock: UPDATE t SET a = ? WHERE id = ? postgres://u:***@h/d"
        );
        assert!(shape(&"x".repeat(5000)).chars().count() == EXAMPLE + 1);
    }

    proptest! {
        #[test]
        fn lines_come_whole_wherever_the_bytes_are_cut(
            lines in proptest::collection::vec("[a-z ]{0,9}[a-z]", 0..8), at in 1usize..9,
        ) {
            let text = lines.iter().map(|l| format!("{l}\n")).collect::<String>();
            let (mut reader, mut out) = (Lines::default(), Vec::new());
            for part in text.as_bytes().chunks(at) {
                reader.feed(part, &mut out);
            }
            reader.end(&mut out);
            prop_assert_eq!(out, lines);
        }
    }
}
