//! What our own login may do, asked anew: what was true when it connected may have been taken from it since.

use muster_model::snapshot::LoginView;
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::get;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "login",
    about: "Which rights our logins have: pg_monitor, reserved slots, reading all data, the functions that a collector needs, \
            and pg_signal_backend of the login that acts.",
    reads: "pg_roles, pg_proc, pg_has_role(), has_function_privilege()",
    needs: "nothing beyond a login",
    cadence: "15 s",
    gap: "privileges that were taken from us",
};

const SQL: &str = include_str!("../sql/login.sql");

/// Reads it; `acting` is the user that acts, when there is one.
pub(crate) async fn read(session: &PgSession, acting: Option<&str>) -> Result<LoginView, ReachError> {
    let mut login = LoginView {
        user: session.capability().user.clone(),
        ..LoginView::default()
    };
    for row in &session.query(SQL, &[&acting]).await? {
        login.user = get(row, "name");
        login.rights.insert(get(row, "part"), get(row, "held"));
    }
    Ok(login)
}

/// Whether the session was opened with other rights than these: then it believes what is no longer true.
pub(crate) fn outdated(session: &PgSession, login: &LoginView) -> bool {
    let capability = session.capability();
    login
        .rights
        .get("pg_monitor")
        .is_some_and(|held| *held != (capability.monitor || capability.superuser))
}
