//! Settings that rules and runbooks look at.

use muster_model::snapshot::Settings;
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::get;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "settings",
    about: "Limits, time-outs, what protects data, what steers the planner, and everything that was set in a file, as the server \
            shows it; what waits for a restart. Of what may hold a secret only a hash is read.",
    reads: "pg_settings",
    needs: "pg_monitor for the hidden ones",
    cadence: "60 s",
    gap: "settings that only pg_read_all_settings shows",
};

const SQL: &str = include_str!("../sql/settings.sql");

/// Reads it.
pub(crate) async fn read(session: &PgSession) -> Result<Settings, ReachError> {
    let mut settings = Settings::default();
    for row in &session.query(SQL, &[]).await? {
        let name: String = get(row, "name");
        if get(row, "pending_restart") {
            settings.pending_restart.push(name.clone());
        }
        if get(row, "own") {
            settings.own.push(name.clone());
        }
        settings
            .values
            .insert(name, get::<Option<String>>(row, "setting").unwrap_or_default());
    }
    Ok(settings)
}
