//! What the server thinks of its own files: settings and access rules that a reload or a start would refuse.
//!
//! It never reads their values: they hold passwords.

use std::collections::BTreeSet;

use muster_model::snapshot::{BadLine, Files, ScopedSetting};
use muster_reach::{PgSession, ReachError};
use tokio_postgres::Row;

use super::CollectorInfo;
use crate::row::get;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "files",
    about: "Lines of postgresql.conf (with what it includes) and of pg_hba.conf that the server would refuse, settings that wait \
            for a restart, and settings of databases and roles. Never a value of a file.",
    reads: "pg_show_all_file_settings(), pg_hba_file_rules(), pg_db_role_setting",
    needs: "EXECUTE on the two functions, in the database that Muster logs in to",
    cadence: "60 s",
    gap: "settings.invalid and access.rules_invalid cannot be decided",
};

const RIGHTS: &str = include_str!("../sql/file_rights.sql");
const SETTINGS: &str = include_str!("../sql/file_settings.sql");
const WAITING: &str = include_str!("../sql/file_waiting.sql");
const RULES: &str = include_str!("../sql/hba_rules.sql");
const SCOPED: &str = include_str!("../sql/scoped_settings.sql");

/// A reason and the line that closes the gap.
pub(crate) type Lacking = (String, String);

/// Reads it, and what the login may not read.
pub(crate) async fn read(session: &PgSession) -> Result<(Files, Vec<Lacking>), ReachError> {
    let mut files = Files::default();
    let mut lacking = Vec::new();
    let rights = session.query(RIGHTS, &[]).await?;
    // Statements of their own: a CASE does not keep the server from checking the privilege.
    let may = |what: &str| rights.first().is_some_and(|r| get(r, what));
    if may("settings") {
        let bad: Vec<BadLine> = session.query(SETTINGS, &[]).await?.iter().map(line).collect();
        // Reading the file has just marked, in this session, what differs and can only change at a start. Such a line is
        // refused now as one with a wrong value is, and with the same words; only the mark tells them apart.
        let waits: BTreeSet<String> = session
            .query(WAITING, &[])
            .await?
            .iter()
            .map(|r| get(r, "name"))
            .collect();
        let (waiting, invalid) = bad
            .into_iter()
            .partition(|b| b.name.as_ref().is_some_and(|n| waits.contains(n)));
        files.invalid = Some(invalid);
        files.waiting = Some(waiting);
    }
    if may("rules") {
        files.rules_invalid = Some(session.query(RULES, &[]).await?.iter().map(rule).collect());
    }
    for (held, what, function) in [
        (
            may("settings"),
            "the settings files",
            "pg_show_all_file_settings()",
        ),
        (may("rules"), "pg_hba.conf", "pg_hba_file_rules()"),
    ] {
        if !held && let Some(row) = rights.first() {
            let (user, database): (String, String) = (get(row, "user_name"), get(row, "database"));
            lacking.push((
                format!("role {user} may not ask what the server thinks of {what}"),
                format!(
                    "GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {}; -- in database {database}",
                    quoted(&user)
                ),
            ));
        }
    }
    for row in &session.query(SCOPED, &[]).await? {
        files.scoped.push(ScopedSetting {
            database: get(row, "database"),
            role: get(row, "role"),
            name: get(row, "name"),
            value: get(row, "value"),
        });
    }
    Ok((files, lacking))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn line(row: &Row) -> BadLine {
    BadLine {
        name: get(row, "name"),
        ..rule(row)
    }
}

fn rule(row: &Row) -> BadLine {
    let error: Option<String> = get(row, "error");
    BadLine {
        file: get::<Option<String>>(row, "file").unwrap_or_default(),
        line: get::<Option<i32>>(row, "line")
            .and_then(|l| u32::try_from(l).ok())
            .unwrap_or(0),
        name: None,
        error: said(&error.unwrap_or_default()),
    }
}

/// What the server says of a line, without what the line held: an option that it cannot read may be a password.
fn said(error: &str) -> String {
    let error = match error.split_once("name=value format:") {
        Some((before, _)) => format!("{before}name=value format"),
        None => error.to_owned(),
    };
    error.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn what_a_line_held_stays_in_it() {
        assert_eq!(
            said("authentication option not in name=value format: hunter2"),
            "authentication option not in name=value format"
        );
        assert_eq!(
            said("invalid authentication method \"trusty\""),
            "invalid authentication method \"trusty\""
        );
        assert_eq!(said(&"é".repeat(500)).chars().count(), 200);
    }
}
