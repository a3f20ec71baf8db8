//! What a session is at: a client's statement, or work that is long by design.
//!
//! Rule 15 of the study: classify before alarming. A dump of two hours, a vacuum that prevents wraparound, a walsender and
//! an index build without locks are long and healthy; to end one of them costs more than it brings. Refuses to guess from
//! a duration, and from a statement that it may not see.

use muster_model::snapshot::Session;

/// What a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A client's own work.
    Client,
    /// `pg_dump` and other programs that copy everything in one transaction.
    Dump,
    /// An index built or rebuilt; CONCURRENTLY leaves an invalid one when it is ended.
    IndexBuild,
    /// VACUUM, ANALYZE or CLUSTER by a person or a program.
    Maintenance,
    /// An autovacuum worker.
    Autovacuum,
    /// An autovacuum worker that prevents wraparound: it does not yield.
    Wraparound,
    /// A walsender: replication, a base backup.
    Sender,
    /// Muster's own.
    Own,
    /// Another process of the server.
    Background,
}

/// Programs that copy everything.
const DUMPS: [&str; 6] = [
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pgbackrest",
    "pgcopydb",
    "barman",
];

impl Work {
    /// Of a session.
    pub(crate) fn of(session: &Session) -> Self {
        let query = session.query.as_deref().unwrap_or_default().trim_start();
        match session.backend_type.as_str() {
            "walsender" => return Self::Sender,
            "autovacuum worker" if query.ends_with("(to prevent wraparound)") => return Self::Wraparound,
            "autovacuum worker" => return Self::Autovacuum,
            "client backend" => {}
            _ => return Self::Background,
        }
        let program = session.application.to_lowercase();
        if program.starts_with("muster/") {
            return Self::Own;
        }
        if DUMPS
            .iter()
            .any(|d| program == *d || program.starts_with(&format!("{d} ")))
        {
            return Self::Dump;
        }
        // What an idle session did last says nothing of what its transaction is for.
        if session.state.as_deref() != Some("active") {
            return Self::Client;
        }
        let words = first_words(query, 3);
        let word = |i: usize| words.get(i).map(String::as_str).unwrap_or_default();
        match (word(0), word(1), word(2)) {
            ("create", "index", _) | ("create", "unique", "index") | ("reindex", ..) => Self::IndexBuild,
            ("vacuum" | "analyze" | "analyse" | "cluster", ..) => Self::Maintenance,
            _ => Self::Client,
        }
    }

    /// Whether its length is no trouble in itself.
    pub(crate) fn long_by_design(self) -> bool {
        self != Self::Client
    }

    /// In words, for a sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Client => "a client's work",
            Self::Dump => "a dump or backup",
            Self::IndexBuild => "an index build",
            Self::Maintenance => "a vacuum, analyze or cluster",
            Self::Autovacuum => "an autovacuum worker",
            Self::Wraparound => "an autovacuum that prevents wraparound",
            Self::Sender => "a walsender",
            Self::Own => "Muster's own",
            Self::Background => "a process of the server",
        }
    }

    /// The look-alikes among sessions, as sentences for what was ruled out: at most five.
    pub(crate) fn ruled_out<'a>(sessions: impl Iterator<Item = &'a Session>) -> Vec<String> {
        sessions
            .map(|s| (s, Self::of(s)))
            .filter(|(_, w)| w.long_by_design() && !matches!(w, Self::Own | Self::Background))
            .take(5)
            .map(|(s, w)| {
                format!(
                    "session {} of {}: {}, long by design",
                    s.pid,
                    s.owner(),
                    w.words()
                )
            })
            .collect()
    }
}

/// The first words of a statement in lower case, whatever stands between them: `VACUUM;`, `ANALYZE(t)`. A comment in front is
/// none of it.
pub(crate) fn first_words(text: &str, many: usize) -> Vec<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '/' && c != '-');
        let after = if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")
        } else if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n')
        } else {
            break;
        };
        match after {
            Some((_, after)) => rest = after,
            None => return Vec::new(),
        }
    }
    rest.split(|c: char| !c.is_ascii_alphabetic())
        .filter(|w| !w.is_empty())
        .take(many)
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::session;

    fn of(backend_type: &str, application: &str, query: &str) -> Work {
        let mut s = session(1, "active", 1000);
        s.backend_type = backend_type.into();
        s.application = application.into();
        s.query = Some(query.into());
        Work::of(&s)
    }

    #[test]
    fn what_is_long_by_design_is_told_apart() {
        let client = "client backend";
        for (seen, expected) in [
            (of(client, "notes", "SELECT ?"), Work::Client),
            (of(client, "pg_dump", "COPY public.t (id) TO stdout;"), Work::Dump),
            (of(client, "pgBackRest [backup]", "SELECT ?"), Work::Dump),
            (of(client, "pg_dumpling", "SELECT ?"), Work::Client),
            (
                of(client, "psql", "CREATE INDEX CONCURRENTLY i ON t (a)"),
                Work::IndexBuild,
            ),
            (
                of(client, "psql", "create unique index concurrently i on t (a)"),
                Work::IndexBuild,
            ),
            (
                of(client, "psql", "REINDEX (VERBOSE) TABLE CONCURRENTLY t"),
                Work::IndexBuild,
            ),
            (of(client, "psql", "VACUUM (FREEZE) t"), Work::Maintenance),
            (of(client, "psql", "vacuum(freeze) t"), Work::Maintenance),
            (of(client, "psql", "VACUUM;"), Work::Maintenance),
            (of(client, "psql", "ANALYZE(VERBOSE) t"), Work::Maintenance),
            (of(client, "psql", "reindex(verbose) table t"), Work::IndexBuild),
            (
                of(client, "psql", "/* nightly: select */ CLUSTER;"),
                Work::Maintenance,
            ),
            (of(client, "psql", "-- vacuum\nSELECT ?"), Work::Client),
            (of(client, "psql", "/* vacuum */ select ?"), Work::Client),
            (of(client, "psql", "/* vacuum"), Work::Client),
            (
                of(client, "psql", "CREATE TABLE t AS SELECT * FROM u"),
                Work::Client,
            ),
            (of(client, "muster/observe", "SELECT ?"), Work::Own),
            (of("walsender", "b", "START_REPLICATION"), Work::Sender),
            (of("walsender", "pg_basebackup", ""), Work::Sender),
            (
                of("autovacuum worker", "", "autovacuum: VACUUM ANALYZE public.t"),
                Work::Autovacuum,
            ),
            (
                of(
                    "autovacuum worker",
                    "",
                    "autovacuum: VACUUM public.t (to prevent wraparound)",
                ),
                Work::Wraparound,
            ),
            (of("checkpointer", "", ""), Work::Background),
        ] {
            assert_eq!(seen, expected);
        }
        let mut idle = session(1, "idle in transaction", 1000);
        idle.query = Some("VACUUM t".into());
        assert_eq!(Work::of(&idle), Work::Client, "it did so before");
    }
}
