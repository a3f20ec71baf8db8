//! How many connections a server allows its roles and databases, where it limits them. Who uses them is read elsewhere.

use muster_model::snapshot::{ConnectionLimit, LimitOf};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::get;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "limits",
    about: "Roles and databases that have a CONNECTION LIMIT, with it. Superusers are exempt and left out.",
    reads: "pg_roles, pg_database",
    needs: "nothing beyond a login",
    cadence: "60 s",
    gap: "limits of roles and databases",
};

const SQL: &str = include_str!("../sql/limits.sql");

/// Reads it.
pub(crate) async fn read(session: &PgSession) -> Result<Vec<ConnectionLimit>, ReachError> {
    let rows = session.query(SQL, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| ConnectionLimit {
            of: match get::<String>(row, "kind").as_str() {
                "role" => LimitOf::Role,
                _ => LimitOf::Database,
            },
            name: get(row, "name"),
            most: get::<i32>(row, "most").unsigned_abs(),
        })
        .collect())
}
