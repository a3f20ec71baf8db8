//! One PostgreSQL server in a bundle: five readings over its one session, and its log where its host is ours.

use std::sync::Arc;

use muster_model::{Answered, Span};
use muster_reach::{PgSession, ReachError, Server, redact};
use serde_json::{Value, json};

use super::{Asked, Begun, DAY, Lack, Piece, Read, logs};
use crate::collectors::log;

const ACTIVITY: &str = include_str!("../sql/bundle_activity.sql");
const LOCKS: &str = include_str!("../sql/bundle_locks.sql");
const DATABASES: &str = include_str!("../sql/bundle_databases.sql");
const CONNECTIONS: &str = include_str!("../sql/bundle_connections.sql");
const REPLICATION: &str = include_str!("../sql/bundle_replication.sql");

/// What a role without `pg_monitor` does not see.
const BLIND: &str = "GRANT pg_monitor TO the observing role";

struct Part {
    name: &'static str,
    collector: &'static str,
    sql: &'static str,
}

const PARTS: [Part; 5] = [
    Part {
        name: "activity",
        collector: "pg_stat_activity, at most 100 sessions",
        sql: ACTIVITY,
    },
    Part {
        name: "locks",
        collector: "pg_locks that are not granted, with pg_blocking_pids()",
        sql: LOCKS,
    },
    Part {
        name: "databases",
        collector: "pg_stat_database",
        sql: DATABASES,
    },
    Part {
        name: "connections",
        collector: "pg_stat_activity and max_connections",
        sql: CONNECTIONS,
    },
    Part {
        name: "replication",
        collector: "pg_stat_replication, pg_replication_slots, pg_stat_wal_receiver",
        sql: REPLICATION,
    },
];

/// Its sections.
pub(super) async fn read(server: &Arc<Server>, asked: &Asked) -> Vec<Piece> {
    let mut out = Vec::new();
    let session = match server.observing().await {
        Ok(session) => another(&session, asked).map_or(Ok(session), Err),
        Err(e) => Err(unreached(e)),
    };
    let answered = session.as_ref().ok().map(|s| answered(server, s));
    let mut gone: Option<Lack> = session.as_ref().err().cloned();
    for part in &PARTS {
        let begun = Begun::new(part.name, Some(&server.address), part.collector);
        let read = match (&gone, &session) {
            (Some(lack), _) => Read::failed(lack.clone()),
            (None, Ok(session)) => match session.query(part.sql, &[]).await {
                Ok(rows) => {
                    let rows = rows.iter().map(|r| r.get::<_, Option<String>>("row"));
                    shown(part.name, rows, session)
                }
                Err(e) => {
                    let closed = session.is_closed();
                    let lack = Lack::from(e);
                    // One that went away is not logged into anew: it has enough to do.
                    gone = closed.then(|| lack.clone());
                    Read::failed(lack)
                }
            },
            (None, Err(lack)) => Read::failed(lack.clone()),
        };
        out.push(begun.ended(read, answered.clone()));
    }
    out.push(own_log(server, session.ok().as_ref(), DAY, answered).await);
    out
}

/// All slots taken: the daemon has a session of its own from before.
fn unreached(e: ReachError) -> Lack {
    let full = e.trouble == muster_reach::error::Trouble::Full;
    let mut lack = Lack::from(e);
    if full {
        lack.remedy = Some(
            "`muster run evidence` while `muster watch` runs: the daemon's own session is still there"
                .to_owned(),
        );
    }
    lack
}

/// Another cluster answers than the one that is meant.
fn another(session: &PgSession, asked: &Asked) -> Option<Lack> {
    let (wanted, found) = (
        asked.identity.as_deref()?,
        session.capability().system_identifier.as_deref()?,
    );
    (wanted != found).then(|| {
        Lack::new(
            format!("another cluster answers here: its system_identifier is {found}, not {wanted}"),
            Some("correct the address in the config"),
        )
    })
}

fn answered(server: &Server, session: &PgSession) -> Answered {
    let c = session.capability();
    Answered {
        endpoint: server.endpoint.clone(),
        system_identifier: c.system_identifier.clone(),
        version: Some(c.version_num.to_string()),
        user: Some(c.user.clone()),
    }
}

fn shown(name: &str, rows: impl Iterator<Item = Option<String>>, session: &PgSession) -> Read {
    let mut values: Vec<Value> = Vec::new();
    for row in rows {
        match row.as_deref().map(serde_json::from_str::<Value>) {
            Some(Ok(value)) => values.push(value),
            // What cannot be read is not left out silently.
            _ => {
                return Read::failed(Lack::new(
                    "a row of the answer is no JSON",
                    Some("this may be a defect of Muster: please report it"),
                ));
            }
        }
    }
    for value in &mut values {
        statements(value);
    }
    let sees = session.capability().monitor || session.capability().superuser;
    let (document, hidden) = match name {
        "connections" | "replication" => {
            let one = values.into_iter().next().unwrap_or(Value::Null);
            let hidden = name == "replication" && !sees && peers(&one);
            (one, hidden)
        }
        "activity" => {
            let all = values.first().and_then(|v| v["sessions"].as_u64()).unwrap_or(0);
            for v in &mut values {
                if let Some(map) = v.as_object_mut() {
                    map.remove("sessions");
                }
            }
            (
                json!({"sessions": all, "shown": values.len(), "rows": values}),
                !sees,
            )
        }
        "locks" => {
            let waiters = !values.is_empty();
            (json!({"rows": values}), !sees && waiters)
        }
        _ => (json!({"rows": values}), false),
    };
    let lack = hidden.then(|| {
        let user = &session.capability().user;
        Lack::new(
            format!(
                "{user} lacks pg_monitor: state, statement and client of the sessions of others are hidden"
            ),
            Some(BLIND),
        )
    });
    Read {
        lack,
        ..Read::json(document)
    }
}

/// Whether it has senders or a receiver, whose details would be hidden.
fn peers(replication: &Value) -> bool {
    replication["senders"].as_array().is_some_and(|s| !s.is_empty()) || replication["receiver"].is_object()
}

/// Statements without their literals, wherever they stand.
fn statements(value: &mut Value) {
    if let Some(query) = value.get_mut("query")
        && let Some(text) = query.as_str()
    {
        *query = Value::String(redact::statement(text));
    }
}

async fn own_log(
    server: &Arc<Server>,
    session: Option<&PgSession>,
    window: Span,
    answered: Option<Answered>,
) -> Piece {
    let begun = Begun::new(
        "server_log",
        Some(&server.address),
        format!("its log files of the last {}", window.human()),
    );
    let Some(host) = server.host.clone().filter(|h| h.local) else {
        return begun.skipped(
            "its host is not this machine, or the config does not say so",
            Some("run it on the server's host, with `host: {local: true}` in the config"),
        );
    };
    let settings = match session {
        Some(session) => log::settings(session).await.ok(),
        // A server that is down is read by where the config says that its files are.
        None => None,
    };
    let read = logs::of_server(host, settings, window).await;
    begun.ended(read, answered)
}
