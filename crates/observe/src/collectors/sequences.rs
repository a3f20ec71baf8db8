//! Sequences and the columns that they fill. The column is read before the sequence: whoever inserts in between moves the
//! sequence first, so a sequence that is seen behind its column is behind.

use std::time::{Duration, Instant};

use muster_model::snapshot::{Sequence, SequenceColumn, Sequences, Shared};
use muster_reach::error::Trouble;
use muster_reach::{PgSession, ReachError, quoted};

use super::CollectorInfo;
use crate::row::{count, get, oid};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "sequences",
    about: "Of a primary: sequences with their bounds and last value, the column each fills, and the highest value of that column \
            where a unique index gives it at once.",
    reads: "pg_sequence, pg_depend, pg_sequence_last_value(), max(column) of identity and serial columns by their index",
    needs: "SELECT on the sequences; SELECT on the columns that they fill",
    cadence: "60 s",
    gap: "sequences whose value, and columns whose highest value, the login may not read",
};

const SQL: &str = include_str!("../sql/sequences.sql");
const VALUES: &str = include_str!("../sql/sequence_values.sql");
const HIGHEST: &str = include_str!("../sql/column_highest.sql");
const STATE: &str = include_str!("../sql/sequence_state.sql");
const PATIENCE: &str = include_str!("../sql/patience.sql");

const MOST: i64 = 500;
/// An index whose end is full of dead entries is not waited for, nor who holds its table: each look is a statement of its own
/// that holds one lock, and no longer than this.
const COLUMN_MS: &str = "100";
/// All looks together.
const COLUMNS_WITHIN: Duration = Duration::from_secs(2);
/// The values of all sequences.
const VALUES_MS: &str = "2000";

/// What could not be read, with what would close it.
pub(crate) type Missing = (String, Option<String>);

/// Reads them.
pub(crate) async fn read(session: &PgSession) -> Result<(Shared<Sequences>, Vec<Missing>), ReachError> {
    let rows = session.query(SQL, &[&MOST]).await?;
    let mut out = Sequences {
        left_out: rows
            .first()
            .map_or(0, |r| count(r, "total").saturating_sub(rows.len() as u64)),
        sequences: rows.iter().filter_map(sequence).collect(),
    };
    let mut missing = unreadable(&out.sequences, &session.capability().user);
    let before = session.query(PATIENCE, &[&COLUMN_MS]).await?;
    if let Err(e) = columns(session, &mut out.sequences).await {
        if session.is_closed() {
            return Err(e);
        }
        missing.push((
            format!("highest values of columns: {}", e.reason),
            Some(e.remedy()),
        ));
    }
    session.query(PATIENCE, &[&VALUES_MS]).await?;
    values(session, &mut out.sequences).await?;
    if let Some(was) = before.first().map(|r| get::<String>(r, "was")) {
        session.query(PATIENCE, &[&was]).await?;
    }
    Ok((Shared::new(out), missing))
}

/// `None` for one that was dropped while it was read.
fn sequence(row: &tokio_postgres::Row) -> Option<Sequence> {
    let readable = get::<Option<bool>>(row, "readable")?;
    let column = get::<Option<String>>(row, "column_name").map(|name| SequenceColumn {
        schema: get::<Option<String>>(row, "table_schema").unwrap_or_default(),
        table: get::<Option<String>>(row, "table_name").unwrap_or_default(),
        name,
        type_highest: get(row, "column_highest"),
        readable: get(row, "column_readable"),
        indexed: get::<Option<bool>>(row, "indexed").unwrap_or(false),
        highest: None,
    });
    Some(Sequence {
        oid: oid(row, "oid"),
        schema: get(row, "schema"),
        name: get(row, "name"),
        first: get(row, "first"),
        lowest: get(row, "lowest"),
        highest: get(row, "highest"),
        step: get(row, "step"),
        cycles: get(row, "cycles"),
        column,
        readable,
        locked: get(row, "locked"),
        last: None,
    })
}

/// Whether the highest value of the column says something, and can be had.
fn compares(s: &Sequence) -> bool {
    s.step > 0
        && !s.cycles
        && s.column
            .as_ref()
            .is_some_and(|c| c.indexed && c.type_highest.is_some())
}

fn unreadable(sequences: &[Sequence], user: &str) -> Vec<Missing> {
    let mut out = Vec::new();
    let user = quoted(user);
    let hidden: Vec<&Sequence> = sequences.iter().filter(|s| !s.readable).collect();
    if let Some(first) = hidden.first() {
        let mut schemas: Vec<String> = hidden.iter().map(|s| quoted(&s.schema)).collect();
        schemas.sort();
        schemas.dedup();
        out.push((
            format!(
                "{} sequences may not be read, {} among them",
                hidden.len(),
                first.full_name()
            ),
            Some(format!(
                "GRANT SELECT ON ALL SEQUENCES IN SCHEMA {} TO {user};",
                schemas.join(", ")
            )),
        ));
    }
    let columns: Vec<&SequenceColumn> = sequences
        .iter()
        .filter(|s| compares(s))
        .filter_map(|s| s.column.as_ref())
        .filter(|c| !c.readable)
        .collect();
    if let Some(first) = columns.first() {
        let grants: Vec<String> = columns
            .iter()
            .take(10)
            .map(|c| {
                let table = format!("{}.{}", quoted(&c.schema), quoted(&c.table));
                format!("GRANT SELECT ({}) ON {table} TO {user};", quoted(&c.name))
            })
            .collect();
        out.push((
            format!(
                "{} columns that a sequence fills may not be read, {}.{}.{} among them",
                columns.len(),
                first.schema,
                first.table,
                first.name
            ),
            Some(grants.join(" ")),
        ));
    }
    out
}

async fn columns(session: &PgSession, sequences: &mut [Sequence]) -> Result<(), ReachError> {
    let wanted: Vec<usize> = (0..sequences.len())
        .filter(|i| {
            let s = &sequences[*i];
            compares(s) && s.readable && !s.locked && s.column.as_ref().is_some_and(|c| c.readable)
        })
        .collect();
    let began = Instant::now();
    let mut failed = None;
    for (done, i) in wanted.iter().enumerate() {
        if began.elapsed() >= COLUMNS_WITHIN {
            let reason = format!(
                "{} of {} were not looked at: the others took {} s",
                wanted.len() - done,
                wanted.len(),
                COLUMNS_WITHIN.as_secs()
            );
            return Err(ReachError::new("", Trouble::Timeout, reason));
        }
        let Some(c) = sequences[*i].column.as_mut() else {
            continue;
        };
        let table = format!("{}.{}", quoted(&c.schema), quoted(&c.table));
        let sql = HIGHEST
            .trim()
            .replace("{column}", &quoted(&c.name))
            .replace("{table}", &table);
        match session.query_made(&sql).await {
            Ok(rows) => c.highest = rows.first().and_then(|row| get(row, "highest")),
            Err(e) if session.is_closed() => return Err(e),
            Err(e) => {
                let reason = format!("{}.{}.{}: {}", c.schema, c.table, c.name, e.reason);
                failed = Some(ReachError { reason, ..e });
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn values(session: &PgSession, sequences: &mut [Sequence]) -> Result<(), ReachError> {
    let oids: Vec<i64> = sequences
        .iter()
        .filter(|s| s.readable && !s.locked)
        .map(|s| i64::from(s.oid))
        .collect();
    for row in &session.query(VALUES, &[&oids]).await? {
        let of = oid(row, "oid");
        if let Some(s) = sequences.iter_mut().find(|s| s.oid == of) {
            s.last = get(row, "value");
        }
    }
    // None given yet, or put back by setval(…, false): only the sequence itself tells which.
    for s in sequences
        .iter_mut()
        .filter(|s| s.readable && !s.locked && s.last.is_none())
    {
        let Some(c) = s.column.as_mut().filter(|c| c.highest.is_some()) else {
            continue;
        };
        let name = format!("{}.{}", quoted(&s.schema), quoted(&s.name));
        match session
            .query_made(STATE.replace("{sequence}", &name).trim())
            .await
        {
            Ok(rows) => {
                if let Some(row) = rows.first() {
                    let value: i64 = get(row, "value");
                    let called: bool = get(row, "is_called");
                    s.last = Some(if called {
                        value
                    } else {
                        value.saturating_sub(s.step)
                    });
                }
            }
            Err(e) if session.is_closed() => return Err(e),
            Err(_) => c.highest = None,
        }
    }
    Ok(())
}
