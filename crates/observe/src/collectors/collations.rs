//! Collations that indexes are sorted by, on every server: a standby may have other libraries than its primary.

use muster_model::snapshot::{Collation, Shared};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::{count, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "collations",
    about: "The default collation of every database and those that its indexes are sorted by: the version noted when they were made \
            and the version of the libraries of this server. Before PostgreSQL 15 nothing is noted for the default; there the \
            collation of the same locale speaks for it.",
    reads: "pg_collation, pg_database, pg_index, pg_collation_actual_version(), pg_database_collation_actual_version()",
    needs: "CONNECT",
    cadence: "60 s",
    gap: "collation versions of databases that the login may not connect to",
};

const SQL: &str = include_str!("../sql/collations.sql");
const DATABASE: &str = include_str!("../sql/database_collation.sql");
/// `datcollversion` and its function came with PostgreSQL 15.
const SAYS_ITSELF: u32 = 150_000;

/// Reads them.
pub(crate) async fn read(session: &PgSession) -> Result<Shared<Vec<Collation>>, ReachError> {
    let mut out: Vec<Collation> = session
        .query(SQL, &[])
        .await?
        .iter()
        .map(|row| Collation {
            name: get(row, "name"),
            is_default: get(row, "is_default"),
            locale: get::<Option<String>>(row, "locale").unwrap_or_default(),
            recorded: get(row, "recorded"),
            actual: get(row, "actual"),
            indexes: count(row, "indexes"),
            example: get(row, "example"),
        })
        .collect();
    if session.capability().version_num >= SAYS_ITSELF
        && let Some(row) = session.query(DATABASE, &[]).await?.first()
    {
        for c in out.iter_mut().filter(|c| c.is_default) {
            c.recorded = get(row, "recorded");
            c.actual = get(row, "actual");
        }
    }
    Ok(Shared::new(out))
}
