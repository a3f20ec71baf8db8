//! What was read inside the databases of a primary, for rules that look at each of them.
//!
//! Catalogues are the same on every server of a cluster and counters of tables mean nothing on a standby, so the primary
//! speaks; while it is down, `server.down` does. A server whose databases nobody has looked into yet is unknown, not healthy.

use muster_model::snapshot::{DatabaseView, Part, Role, ServerView, Shared};
use muster_model::{Subject, Time};

use crate::judge::Context;

/// One part of one database of a primary.
pub(crate) struct Inside<'a, T> {
    pub(crate) server: &'a ServerView,
    pub(crate) database: &'a DatabaseView,
    pub(crate) taken_at: Time,
    pub(crate) value: &'a T,
}

impl<T> Clone for Inside<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Inside<'_, T> {}

impl<T> Inside<'_, T> {
    /// `table:app/public.orders`.
    pub(crate) fn subject(&self, kind: &str, name: &str) -> Subject {
        Subject::new(kind, format!("{}/{name}", self.database.name))
    }

    /// The name of a condition in the memory of rules.
    pub(crate) fn condition(&self, kind: &str, what: impl std::fmt::Display) -> String {
        format!("{kind}|{}|{}|{what}", self.server.address, self.database.name)
    }
}

/// That part of every database of every server that says it is a primary. What was not read, or long ago, the rule lacks.
pub(crate) fn of_primaries<'a, T>(
    c: &mut Context<'a>,
    kind: &str,
    what: &str,
    part: fn(&'a DatabaseView) -> &'a Option<Part<Shared<T>>>,
) -> Vec<Inside<'a, T>> {
    let all = c.snapshot;
    let mut out = Vec::new();
    for server in all.servers.iter().filter(|s| s.role() == Some(Role::Primary)) {
        out.extend(of_server(c, kind, what, server, part));
    }
    out
}

/// That part of every database of one server.
pub(crate) fn of_server<'a, T>(
    c: &mut Context<'a>,
    kind: &str,
    what: &str,
    server: &'a ServerView,
    part: fn(&'a DatabaseView) -> &'a Option<Part<Shared<T>>>,
) -> Vec<Inside<'a, T>> {
    if !server.answers() {
        return Vec::new();
    }
    if server.databases.is_empty() {
        c.lacks(
            kind,
            &server.address,
            format!("{what}: no database was looked into yet"),
        );
    }
    let mut out = Vec::new();
    for database in &server.databases {
        let held = part(database);
        let what = format!("{what} of database {}", database.name);
        if let (Some(value), Some(p)) = (c.part(kind, server, held, &what), held) {
            out.push(Inside {
                server,
                database,
                taken_at: p.taken_at,
                value: &**value,
            });
        }
    }
    out
}
