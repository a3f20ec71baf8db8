//! Which databases a server has that can be looked into.

use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;

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

/// Their names, sorted.
pub(crate) async fn read(session: &PgSession) -> Result<Vec<String>, ReachError> {
    Ok(session
        .query(SQL, &[])
        .await?
        .iter()
        .map(|row| row.get("name"))
        .collect())
}
