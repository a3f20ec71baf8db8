//! Which databases a server has that can be looked into.

use muster_reach::{PgSession, ReachError, quoted};

use super::CollectorInfo;
use super::sequences::Missing;
use crate::row::get;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "databases",
    about: "Which databases a server has; what only a session in a database can tell is read in each of them, one at a time.",
    reads: "pg_database",
    needs: "CONNECT on each database",
    cadence: "15 s",
    gap: "tables, indexes, sequences, partitions and migrations of databases that the login may not connect to",
};

const SQL: &str = include_str!("../sql/databases.sql");

/// What `datconnlimit` says of a database whose DROP was interrupted.
const BROKEN: i32 = -2;

/// The databases of a server, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Those that can be looked into.
    pub(crate) open: Vec<String>,
    /// Those that refuse this login, so that nobody knocks in vain: why, and what would help.
    pub(crate) closed: Vec<(String, Missing)>,
}

/// Reads them.
pub(crate) async fn read(session: &PgSession) -> Result<Found, ReachError> {
    let mut found = Found::default();
    let capability = session.capability();
    for row in &session.query(SQL, &[]).await? {
        let (name, limit): (String, i32) = (get(row, "name"), get(row, "most"));
        // Dropped a moment ago.
        let Some(may) = get::<Option<bool>>(row, "may") else {
            continue;
        };
        match refusal(&name, limit, may, &capability.user, capability.superuser) {
            None => found.open.push(name),
            Some(why) => found.closed.push((name, why)),
        }
    }
    Ok(found)
}

fn refusal(name: &str, limit: i32, may: bool, user: &str, superuser: bool) -> Option<Missing> {
    if limit == BROKEN {
        let reason = "its DROP DATABASE was interrupted, and nobody can connect to it".to_owned();
        return Some((reason, Some(format!("DROP DATABASE {};", quoted(name)))));
    }
    if !may {
        let grant = format!("GRANT CONNECT ON DATABASE {} TO {};", quoted(name), quoted(user));
        return Some((format!("role {user} may not connect"), Some(grant)));
    }
    (limit == 0 && !superuser).then(|| {
        let alter = format!("ALTER DATABASE {} CONNECTION LIMIT -1;", quoted(name));
        ("its CONNECTION LIMIT is 0".to_owned(), Some(alter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lets_us_in_is_knocked_at() {
        let of = |limit, may, superuser| refusal("a b", limit, may, "muster", superuser);
        assert_eq!(of(-1, true, false), None);
        assert_eq!(of(5, true, false), None);
        assert_eq!(of(0, true, true), None);
        let remedy = |m: Option<Missing>| m.and_then(|(_, r)| r).expect("a remedy");
        assert!(remedy(of(-2, true, true)).starts_with("DROP DATABASE \"a b\""));
        assert!(remedy(of(-1, false, false)).contains("GRANT CONNECT ON DATABASE \"a b\" TO \"muster\""));
        assert!(remedy(of(0, true, false)).contains("CONNECTION LIMIT"));
    }
}
