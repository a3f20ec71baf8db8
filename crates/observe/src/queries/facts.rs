//! The tables behind a plan: columns with the planner's statistics, indexes, and the counters of their primary.
//!
//! Counters are of one server: a standby does not know what is written. What was not asked is absent.

use std::collections::BTreeMap;

use muster_model::Time;
use muster_model::query::{ColumnFacts, IndexFacts, IndexKey, TableFacts};
use muster_reach::{ReachError, Trial, redact};
use tokio_postgres::Row;

use crate::row::{count, oid};

const TABLES: &str = include_str!("../sql/query_tables.sql");
const COLUMNS: &str = include_str!("../sql/query_columns.sql");
const INDEXES: &str = include_str!("../sql/query_indexes.sql");
const COUNTS: &str = include_str!("../sql/query_counts.sql");
const DENIED: &str = include_str!("../sql/query_denied.sql");
const ENABLED: &str = include_str!("../sql/query_enabled.sql");

/// What a primary counts about a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// When it was asked, on the server's clock.
    pub at: Time,
    /// Rows.
    pub live: u64,
    /// Rows changed since the last ANALYZE.
    pub modified: u64,
    /// Inserted, updated, of which HOT, deleted.
    pub written: [u64; 4],
    /// Scans from end to end.
    pub seq_scans: u64,
    /// The last ANALYZE.
    pub analyzed: Option<Time>,
    /// When counting began anew.
    pub since: Option<Time>,
}

/// The tables by schema and name, without their counters.
///
/// # Errors
/// When the server cannot be asked.
pub async fn tables(trial: &Trial, of: &[(String, String)]) -> Result<Vec<TableFacts>, ReachError> {
    let schemas: Vec<&str> = of.iter().map(|t| t.0.as_str()).collect();
    let names: Vec<&str> = of.iter().map(|t| t.1.as_str()).collect();
    let rows = trial.query(TABLES, &[&schemas, &names]).await?;
    let mut out: Vec<TableFacts> = rows.iter().map(table).collect();
    let oids: Vec<i64> = out.iter().map(|t| i64::from(t.oid)).collect();
    for row in trial.query(COLUMNS, &[&oids]).await? {
        if let Some(t) = out.iter_mut().find(|t| t.oid == oid(&row, "oid")) {
            t.columns.push(column(&row));
        }
    }
    for row in trial.query(INDEXES, &[&oids]).await? {
        if let Some(t) = out.iter_mut().find(|t| t.oid == oid(&row, "oid")) {
            t.indexes.push(index(&row));
        }
    }
    Ok(out)
}

/// The counters of tables, by oid.
///
/// # Errors
/// When the server cannot be asked.
pub async fn counts(trial: &Trial, oids: &[u32]) -> Result<BTreeMap<u32, Counted>, ReachError> {
    let asked: Vec<i64> = oids.iter().map(|o| i64::from(*o)).collect();
    let time = |r: &Row, c: &str| r.get::<_, Option<i64>>(c).map(Time::from_micros);
    let rows = trial.query(COUNTS, &[&asked]).await?;
    Ok(rows
        .iter()
        .map(|r| {
            let counted = Counted {
                at: time(r, "now_us").unwrap_or(Time::from_millis(0)),
                live: count(r, "live"),
                modified: count(r, "modified"),
                written: ["inserted", "updated", "hot", "deleted"].map(|c| count(r, c)),
                seq_scans: count(r, "seq_scans"),
                analyzed: time(r, "analyzed"),
                since: time(r, "since"),
            };
            (oid(r, "oid"), counted)
        })
        .collect())
}

/// The ways to read that are switched off in this transaction.
///
/// # Errors
/// When the server cannot be asked.
pub async fn switched_off(trial: &Trial) -> Result<Vec<String>, ReachError> {
    let rows = trial.query(ENABLED, &[]).await?;
    Ok(rows.iter().map(|r| r.get("name")).collect())
}

/// The full name of a relation that this role may not read, from the short one that the server names.
///
/// # Errors
/// When the server cannot be asked.
pub async fn denied(trial: &Trial, name: &str) -> Result<Option<String>, ReachError> {
    let rows = trial.query(DENIED, &[&name]).await?;
    Ok(rows.first().map(|r| r.get("name")))
}

fn table(r: &Row) -> TableFacts {
    TableFacts {
        oid: oid(r, "oid"),
        schema: r.get("schema"),
        name: r.get("name"),
        kind: r.get("kind"),
        partition_of: r.get("partition_of"),
        rows: r.get("rows"),
        pages: count(r, "pages"),
        ..TableFacts::default()
    }
}

fn column(r: &Row) -> ColumnFacts {
    ColumnFacts {
        name: r.get("name"),
        type_name: r.get("type_name"),
        orders: r.get("orders"),
        byte_order: r.get("byte_order"),
        width: r.get("width"),
        distinct: r.get("distincts"),
        nulls: r.get("nulls"),
        commonest: r.get("commonest"),
    }
}

fn index(r: &Row) -> IndexFacts {
    let columns: Vec<Option<String>> = r.get("columns");
    let texts: Vec<Option<String>> = r.get("texts");
    let prefixes: Vec<Option<bool>> = r.get("prefixes");
    let keys = columns
        .into_iter()
        .zip(texts)
        .zip(prefixes)
        .map(|((column, text), prefixes)| IndexKey {
            column,
            text: redact::statement(&text.unwrap_or_default()),
            prefixes: prefixes.unwrap_or(false),
        });
    IndexFacts {
        name: r.get("name"),
        method: r.get("method"),
        valid: r.get("valid"),
        keys: keys.collect(),
        predicate: r
            .get::<_, Option<String>>("predicate")
            .map(|p| redact::statement(&p)),
        pages: count(r, "pages"),
    }
}
