//! Which sessions are behind a pool: PgBouncer names a process id, and the server it connects to must be found first.

use crate::snapshot::{Pool, PoolerView, ServerView, Session, Snapshot};

/// The server and the sessions behind a pool's connections; `None` when that cannot be said for sure: process ids mean
/// nothing on another server.
#[must_use]
pub fn behind<'a>(
    snapshot: &'a Snapshot,
    pooler: &PoolerView,
    pool: &Pool,
) -> Option<(&'a ServerView, Vec<&'a Session>)> {
    let state = &pooler.state.as_ref()?.value;
    let database = state.databases.iter().find(|d| d.name == pool.database)?;
    let mut hosts = vec![database.host.as_str()];
    hosts.extend(
        state
            .servers_of(pool)
            .filter_map(|s| s.addr.rsplit_once(':').map(|(host, _)| host)),
    );
    let server = server(snapshot, database.port, &hosts)?;
    let activity = &server.activity.as_ref()?.value;
    if !activity.sees_all || !server.answers() {
        return None;
    }
    let pids: Vec<i32> = state
        .servers_of(pool)
        .map(|s| s.remote_pid)
        .filter(|p| *p > 0)
        .collect();
    let sessions: Vec<&Session> = activity
        .sessions
        .iter()
        .filter(|s| pids.contains(&s.pid))
        // A process id of this number in another database is somebody else.
        .filter(|s| database.database.is_empty() || s.database.as_deref() == Some(database.database.as_str()))
        .collect();
    // Connections that nobody on this server has: it is another server, or the two pictures do not fit together.
    (pids.is_empty() || !sessions.is_empty()).then_some((server, sessions))
}

/// The server at a port: the only one, else the one of that host, else the primary among them.
fn server<'a>(snapshot: &'a Snapshot, port: u16, hosts: &[&str]) -> Option<&'a ServerView> {
    let port = port.to_string();
    let split = |s: &'a ServerView| s.endpoint.rsplit_once(':').unwrap_or((s.endpoint.as_str(), ""));
    let at: Vec<&ServerView> = snapshot.servers.iter().filter(|s| split(s).1 == port).collect();
    match at.as_slice() {
        // Through a proxy the port is another one; whether it is the primary, the process ids tell.
        [] => snapshot.primary(),
        [only] => Some(only),
        many => {
            let named = many.iter().find(|s| hosts.contains(&split(s).0));
            let primary = || {
                let address = &snapshot.primary()?.address;
                many.iter().find(|s| s.address == *address)
            };
            named.or_else(primary).copied()
        }
    }
}
