//! Pictures of what is inside a database: healthy, then spoiled in one place.

use muster_model::Snapshot;
use muster_model::snapshot::{
    Collation, ColumnWidth, Counted, DatabaseView, Index, Indexes, Ledger, Migration, Migrations, Part,
    Partition, Partitioned, Partitions, RelationWidths, Sequence, SequenceColumn, Sequences, Shared, Table,
    Tables, Widths,
};
use muster_model::{Span, Time};

use super::{healthy, now};

fn part<T>(value: T) -> Option<Part<Shared<T>>> {
    Some(Part {
        taken_at: now(),
        value: Shared::new(value),
    })
}

const PAGE: u64 = 8192;

/// A database in which all was read and nothing is.
pub(crate) fn database(name: &str) -> DatabaseView {
    DatabaseView {
        tables: part(Tables {
            block: PAGE,
            autovacuum: true,
            analyze_threshold: 50.0,
            analyze_scale: 0.1,
            ..Tables::default()
        }),
        indexes: part(Indexes {
            block: PAGE,
            counted_since: Some(now().minus(days(60))),
            ..Indexes::default()
        }),
        widths: part(Widths {
            block: PAGE,
            relations: vec![],
        }),
        sequences: part(Sequences::default()),
        partitions: part(Partitions {
            block: PAGE,
            ..Partitions::default()
        }),
        migrations: part(Migrations::default()),
        collations: part(vec![]),
        ..DatabaseView::unread(name)
    }
}

/// So many days.
pub(crate) fn days(n: u64) -> Span {
    Span::from_mins(n * 24 * 60)
}

/// A healthy primary whose database `app` was spoiled.
pub(crate) fn spoiled(spoil: impl FnOnce(&mut DatabaseView)) -> Snapshot {
    let mut s = healthy();
    let mut view = database("app");
    spoil(&mut view);
    s.servers[0].databases = vec![view];
    s
}

/// The part of it, to change.
pub(crate) fn of<T: Clone>(part: &mut Option<Part<Shared<T>>>) -> &mut T {
    part.as_mut()
        .expect("a sample has all its parts")
        .value
        .to_change()
}

pub(crate) fn table(name: &str, rows: u64, modified: u64) -> Table {
    Table {
        oid: 1,
        schema: "public".into(),
        name: name.into(),
        kind: "r".into(),
        pages: rows / 50,
        tuples: Some(rows),
        live: rows,
        modified,
        last_analyze: Some(now().minus(days(1))),
        ..Table::default()
    }
}

pub(crate) fn with_tables(tables: Vec<Table>) -> Snapshot {
    spoiled(|d| of(&mut d.tables).tables = tables)
}

/// A valid B-tree of 100 MB over these columns.
pub(crate) fn index(oid: u32, keys: &[&str]) -> Index {
    Index {
        oid,
        table_oid: 1,
        schema: "public".into(),
        name: format!("i{oid}"),
        table: "orders".into(),
        method: "btree".into(),
        valid: true,
        ready: true,
        pages: 12_800,
        keys: keys.iter().map(|k| (*k).to_owned()).collect(),
        scans: 10,
        ..Index::default()
    }
}

pub(crate) fn with_indexes(indexes: Vec<Index>) -> Snapshot {
    spoiled(|d| of(&mut d.indexes).indexes = indexes)
}

/// A serial column of int4 whose sequence and highest value stand here.
pub(crate) fn sequence(last: Option<i64>, highest: Option<i64>) -> Sequence {
    Sequence {
        oid: 5,
        schema: "public".into(),
        name: "orders_id_seq".into(),
        first: 1,
        lowest: 1,
        highest: i64::MAX,
        step: 1,
        readable: true,
        last,
        column: Some(SequenceColumn {
            schema: "public".into(),
            table: "orders".into(),
            name: "id".into(),
            type_highest: Some(i64::from(i32::MAX)),
            readable: true,
            indexed: true,
            highest,
        }),
        ..Sequence::default()
    }
}

pub(crate) fn with_sequences(sequences: Vec<Sequence>) -> Snapshot {
    spoiled(|d| of(&mut d.sequences).sequences = sequences)
}

/// A partition of 30 days, so many such months from now; 0 is the one in which we are, since ten days.
pub(crate) fn month(n: i64) -> Partition {
    let at = |days_from_now: i64| Time::from_millis(now().millis() + days_from_now * 86_400_000);
    Partition {
        schema: "public".into(),
        name: format!("events_m{n}"),
        from: Some(at(n * 30 - 10)),
        to: Some(at(n * 30 + 20)),
        pages: 100,
        live: 1000,
        ..Partition::default()
    }
}

pub(crate) fn default_partition(live: u64, grew: u64) -> Partition {
    Partition {
        schema: "public".into(),
        name: "events_default".into(),
        is_default: true,
        live,
        inserted: Some(Counted {
            at: now(),
            now: live,
            minute: None,
            five_minutes: (grew > 0).then(|| muster_model::snapshot::Before {
                at: now().minus(Span::from_mins(4)),
                value: live - grew,
            }),
        }),
        ..Partition::default()
    }
}

/// A table of events, by month.
pub(crate) fn partitioned(partitions: Vec<Partition>) -> Snapshot {
    spoiled(|d| {
        of(&mut d.partitions).parents = vec![Partitioned {
            schema: "public".into(),
            name: "events".into(),
            by_time: true,
            key_type: Some("timestamptz".into()),
            partitions,
            cut: false,
        }];
    })
}

/// Months from `from` to `to`.
pub(crate) fn months(from: i64, to: i64) -> Vec<Partition> {
    (from..=to).map(month).collect()
}

/// A ledger of Flyway with these versions.
pub(crate) fn ledger(versions: &[&str]) -> Ledger {
    Ledger {
        tool: "flyway".into(),
        schema: "public".into(),
        table: "flyway_schema_history".into(),
        migrations: versions
            .iter()
            .map(|v| Migration {
                version: (*v).to_owned(),
                checksum: Some(format!("c{v}")),
                at: Some(now().minus(days(1))),
                ..Migration::default()
            })
            .collect(),
        left_out: 0,
    }
}

pub(crate) fn with_ledger(ledger: Ledger) -> Snapshot {
    spoiled(|d| of(&mut d.migrations).ledgers = vec![ledger])
}

/// A relation of so many GB whose rows of int8 and 20 bytes need one of them, and a little more.
pub(crate) fn wide(gigabytes: u64, index: bool) -> RelationWidths {
    let column = |len: i32, width: i32| ColumnWidth {
        len,
        align: if len > 0 { "d" } else { "i" }.into(),
        width: Some(width),
        nulls: Some(0.0),
        dropped: false,
        name: "c".into(),
    };
    RelationWidths {
        schema: "public".into(),
        name: if index { "i1" } else { "orders" }.into(),
        table: "orders".into(),
        index,
        pages: gigabytes * 131_072,
        tuples: Some(if index { 22_000_000.0 } else { 18_000_000.0 }),
        readable: true,
        live: 18_000_000,
        last_analyze: Some(now().minus(days(1))),
        columns: vec![column(8, 8), column(-1, 20)],
        ..RelationWidths::default()
    }
}

pub(crate) fn with_widths(relations: Vec<RelationWidths>) -> Snapshot {
    spoiled(|d| of(&mut d.widths).relations = relations)
}

pub(crate) fn collated(recorded: &str, indexes: u64) -> Snapshot {
    spoiled(|d| {
        *of(&mut d.collations) = vec![Collation {
            name: "database default".into(),
            is_default: true,
            locale: "en_US.utf8".into(),
            recorded: Some(recorded.into()),
            actual: Some("2.36".into()),
            indexes,
            example: Some("public.users_name_idx".into()),
        }];
    })
}

/// Servers with one index each, scanned so often, counted since so many days. The first is the primary.
#[cfg(test)]
pub(crate) fn healthy_of(servers: &[(&str, u64)], counted_days: u64) -> Snapshot {
    let mut s = healthy();
    s.servers = servers
        .iter()
        .map(|(name, scans)| {
            let mut server = super::server(name);
            let mut view = database("app");
            let indexes = of(&mut view.indexes);
            indexes.indexes = vec![Index {
                scans: *scans,
                ..index(7, &["1"])
            }];
            indexes.counted_since = Some(now().minus(days(counted_days)));
            server.databases = vec![view];
            server
        })
        .collect();
    s
}
