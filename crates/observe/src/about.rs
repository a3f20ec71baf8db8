//! What the collectors of one database need to know of it first: is it a standby's, how large is a page, since when is counted.

use muster_model::Time;
use muster_reach::{PgSession, ReachError};

use crate::row::{Offset, count, get};

const SQL: &str = include_str!("sql/about.sql");

/// A database and the server around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// Whether the server is a standby.
    pub(crate) standby: bool,
    /// Bytes of a page.
    pub(crate) block: u64,
    /// Whether the server vacuums and analyses by itself.
    pub(crate) autovacuum: bool,
    /// `autovacuum_analyze_threshold`.
    pub(crate) analyze_threshold: f64,
    /// `autovacuum_analyze_scale_factor`.
    pub(crate) analyze_scale: f64,
    /// Since when the server counts.
    pub(crate) counted_since: Option<Time>,
    /// Index builds that this login does not see.
    pub(crate) hidden_builds: u64,
}

/// Reads it.
pub(crate) async fn read(session: &PgSession, offset: Offset) -> Result<Option<About>, ReachError> {
    let rows = session.query(SQL, &[]).await?;
    Ok(rows.first().map(|row| About {
        standby: get(row, "in_recovery"),
        block: count(row, "block"),
        autovacuum: get(row, "autovacuum"),
        analyze_threshold: get(row, "analyze_threshold"),
        analyze_scale: get(row, "analyze_scale"),
        counted_since: offset.time(row, "counted_since"),
        hidden_builds: count(row, "hidden_builds"),
    }))
}
