//! A statement by the id that `muster query top` prints, or by the server's own `queryid`.
//!
//! The texts of pg_stat_statements carry parameters where the literals were. Reads all of them once when asked by our own id,
//! because the server does not know it.

use muster_reach::{ReachError, Server, Trial};

use crate::texts::{self, LONGEST};

const WHERE: &str = include_str!("../sql/statements_where.sql");
const TEXTS: &str = include_str!("../sql/query_texts.sql");
/// A text longer than this is not planned.
const WHOLE: i32 = 1_000_000;

/// A statement that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The server's id.
    pub queryid: i64,
    /// Our id.
    pub fingerprint: String,
    /// Its text, with parameters where literals were.
    pub text: String,
    /// Whose it is.
    pub user: String,
    /// Database.
    pub database: String,
    /// Calls.
    pub calls: u64,
}

/// All statements with an id: a fingerprint or its beginning, or a `queryid`; the most called first.
///
/// # Errors
/// When the server cannot be asked. That the extension is not there is `Ok(None)`.
pub async fn find(
    server: &Server,
    trial: &Trial,
    database: Option<&str>,
    id: &str,
) -> Result<Option<Vec<Found>>, ReachError> {
    trial.begin(&[]).await?;
    let here = trial.query(WHERE, &[]).await;
    if here.as_ref().is_ok_and(Vec::is_empty) {
        trial.end().await;
        // The login's own database may have it: it speaks for the whole server.
        let Some(_) = database else { return Ok(None) };
        let other = server.trial(None, server.limits().statement).await?;
        return Box::pin(find(server, &other, None, id)).await;
    }
    let found = match here {
        Ok(_) => listed(trial, id).await,
        Err(e) => Err(e),
    };
    trial.end().await;
    found.map(Some)
}

async fn listed(trial: &Trial, id: &str) -> Result<Vec<Found>, ReachError> {
    let queryid: Option<i64> = id.parse().ok();
    let longest = if queryid.is_some() {
        WHOLE
    } else {
        i32::try_from(LONGEST).unwrap_or(i32::MAX)
    };
    let wanted = if id.contains(':') {
        id.to_owned()
    } else {
        format!("{}:{id}", muster_model::fingerprint::VERSION)
    };
    let mut out = Vec::new();
    for row in trial.query(TEXTS, &[&longest, &queryid]).await? {
        let Some(text) = row.get::<_, Option<String>>("text") else {
            continue;
        };
        let bytes = row.get::<_, Option<i32>>("bytes").unwrap_or(0);
        let head: String = text.chars().take(LONGEST).collect();
        let fingerprint = texts::fingerprint(&head, bytes);
        if queryid.is_none() && !fingerprint.starts_with(&wanted) {
            continue;
        }
        out.push(Found {
            queryid: row.get("queryid"),
            fingerprint,
            text,
            user: row.get::<_, Option<String>>("user_name").unwrap_or_default(),
            database: row.get::<_, Option<String>>("database").unwrap_or_default(),
            calls: crate::row::count(&row, "calls"),
        });
    }
    if queryid.is_none() {
        // Only the beginning was read of a long one.
        let mut whole = Vec::new();
        for f in out {
            if f.text.chars().count() < LONGEST {
                whole.push(f);
                continue;
            }
            let rows = trial.query(TEXTS, &[&WHOLE, &Some(f.queryid)]).await?;
            let text = rows.first().and_then(|r| r.get("text"));
            whole.push(Found {
                text: text.unwrap_or_default(),
                ..f
            });
        }
        out = whole;
    }
    Ok(out)
}
