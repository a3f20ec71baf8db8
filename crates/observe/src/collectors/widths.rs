//! How wide the rows of the largest tables and indexes are, for estimates of bloat that know when they may not be made.

use muster_model::snapshot::{ColumnWidth, RelationWidths, Shared, Widths};
use muster_reach::{PgSession, ReachError, quoted};

use super::CollectorInfo;
use super::sequences::Missing;
use super::tables::options;
use crate::about::About;
use crate::row::{Offset, count, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "widths",
    about: "Of a primary: pages, rows and widths of columns of the 50 largest tables and 50 largest B-tree indexes of every database, \
            as the planner's statistics have them, with what makes an estimate of bloat wrong: how much changed since they were \
            analysed, columns without statistics, dropped columns, expressions.",
    reads: "pg_class, pg_attribute, pg_stats, pg_stat_get_*",
    needs: "SELECT on the tables: without it pg_stats shows nothing of them",
    cadence: "60 s",
    gap: "bloat of tables from 1 GB on that the login may not read",
};

const SQL: &str = include_str!("../sql/widths.sql");
const MOST: i64 = 50;
/// Smaller ones are not worth an estimate: 1 MB.
const PAGES_FROM: i32 = 128;
/// From this size on what cannot be read is said: no smaller one can become a finding with the default thresholds.
const SAID_FROM: u64 = 1 << 30;

/// Reads them.
pub(crate) async fn read(
    session: &PgSession,
    about: &About,
    offset: Offset,
) -> Result<(Shared<Widths>, Option<Missing>), ReachError> {
    let rows = session.query(SQL, &[&MOST, &PAGES_FROM]).await?;
    let mut out = Widths {
        block: about.block,
        relations: Vec::with_capacity(rows.len()),
    };
    for row in &rows {
        // Dropped while it was read.
        let Some(readable) = get::<Option<bool>>(row, "readable") else {
            continue;
        };
        let options = options(get(row, "options"));
        out.relations.push(RelationWidths {
            schema: get(row, "schema"),
            name: get(row, "name"),
            table: get(row, "table_name"),
            index: get(row, "is_index"),
            pages: count(row, "pages"),
            tuples: Some(get::<f64>(row, "tuples")).filter(|t| *t >= 0.0),
            fill: options.get("fillfactor").and_then(|v| v.parse().ok()),
            readable,
            live: count(row, "live"),
            modified: count(row, "modified"),
            last_analyze: offset.time(row, "last_analyze"),
            expressions: get(row, "expressions"),
            partial: get(row, "partial"),
            columns: columns(row),
        });
    }
    let hidden: Vec<&RelationWidths> = out
        .relations
        .iter()
        .filter(|r| !r.readable && r.pages * about.block >= SAID_FROM)
        .collect();
    let missing = hidden.first().map(|first| {
        let mut tables: Vec<String> = hidden
            .iter()
            .map(|r| format!("{}.{}", quoted(&r.schema), quoted(&r.table)))
            .collect();
        tables.sort();
        tables.dedup();
        tables.truncate(10);
        let user = quoted(&session.capability().user);
        (
            format!(
                "statistics of {} large tables and indexes are not shown to this login, {} among them",
                hidden.len(),
                first.full_name()
            ),
            Some(format!("GRANT SELECT ON {} TO {user};", tables.join(", "))),
        )
    });
    Ok((Shared::new(out), missing))
}

fn columns(row: &tokio_postgres::Row) -> Vec<ColumnWidth> {
    let names: Vec<String> = get::<Option<_>>(row, "columns").unwrap_or_default();
    let lens: Vec<i32> = get::<Option<_>>(row, "lens").unwrap_or_default();
    let aligns: Vec<String> = get::<Option<_>>(row, "aligns").unwrap_or_default();
    let widths: Vec<Option<i32>> = get::<Option<_>>(row, "widths").unwrap_or_default();
    let nulls: Vec<Option<f32>> = get::<Option<_>>(row, "nulls").unwrap_or_default();
    let dropped: Vec<bool> = get::<Option<_>>(row, "dropped").unwrap_or_default();
    let each = names
        .into_iter()
        .zip(lens)
        .zip(aligns)
        .zip(widths)
        .zip(nulls)
        .zip(dropped);
    each.map(|(((((name, len), align), width), nulls), dropped)| ColumnWidth {
        len,
        align,
        width,
        nulls,
        dropped,
        name,
    })
    .collect()
}
