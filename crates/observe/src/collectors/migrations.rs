//! Migration ledgers, found by name and columns, and a fingerprint of the schema, which is held against them over time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_model::snapshot::{Fingerprint, Ledger, Migration, MigrationState, Migrations, Shared, Untold};
use muster_model::{Span, Time};
use muster_reach::{PgSession, ReachError, quoted};

use super::CollectorInfo;
use super::sequences::Missing;
use crate::row::{Offset, count, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "migrations",
    about: "Of a primary: the ledgers of Alembic, Flyway, Django, Prisma, sqlx, Diesel, Rails, golang-migrate and Muster in every \
            database, their newest 500 lines, and where there is one a digest of the schema (columns, indexes, constraints, \
            functions; not partitions, not what an extension brought).",
    reads: "pg_class, pg_attribute, pg_index, pg_constraint, pg_proc; the ledgers",
    needs: "SELECT on the ledgers",
    cadence: "60 s",
    gap: "ledgers that the login may not read",
};

const FIND: &str = include_str!("../sql/ledgers.sql");
const FINGERPRINT: &str = include_str!("../sql/fingerprint.sql");

/// A migration writes its line and its change in either order, within this time.
const GRACE: Span = Span::from_mins(15);
/// A digest that is had in less costs nothing to speak of.
const CHEAP_MS: u64 = 200;

struct Tool {
    name: &'static str,
    table: &'static str,
    columns: &'static [&'static str],
    sql: &'static str,
}

/// More particular ones first: what golang-migrate writes also has what Rails writes.
const TOOLS: [Tool; 9] = [
    Tool {
        name: "alembic",
        table: "alembic_version",
        columns: &["version_num"],
        sql: include_str!("../sql/ledger_alembic.sql"),
    },
    Tool {
        name: "flyway",
        table: "flyway_schema_history",
        columns: &[
            "checksum",
            "installed_on",
            "installed_rank",
            "script",
            "success",
            "version",
        ],
        sql: include_str!("../sql/ledger_flyway.sql"),
    },
    Tool {
        name: "django",
        table: "django_migrations",
        columns: &["app", "applied", "id", "name"],
        sql: include_str!("../sql/ledger_django.sql"),
    },
    Tool {
        name: "prisma",
        table: "_prisma_migrations",
        columns: &[
            "checksum",
            "finished_at",
            "logs",
            "migration_name",
            "rolled_back_at",
            "started_at",
        ],
        sql: include_str!("../sql/ledger_prisma.sql"),
    },
    Tool {
        name: "sqlx",
        table: "_sqlx_migrations",
        columns: &["checksum", "installed_on", "success", "version"],
        sql: include_str!("../sql/ledger_sqlx.sql"),
    },
    Tool {
        name: "diesel",
        table: "__diesel_schema_migrations",
        columns: &["run_on", "version"],
        sql: include_str!("../sql/ledger_diesel.sql"),
    },
    Tool {
        name: "golang-migrate",
        table: "schema_migrations",
        columns: &["dirty", "version"],
        sql: include_str!("../sql/ledger_golang.sql"),
    },
    Tool {
        name: "rails",
        table: "schema_migrations",
        columns: &["version"],
        sql: include_str!("../sql/ledger_rails.sql"),
    },
    Tool {
        name: "muster",
        table: "muster_migrations",
        columns: &["applied_at", "checksum", "dirty", "version"],
        sql: include_str!("../sql/ledger_muster.sql"),
    },
];

/// What the ledgers and the schema were when they last agreed.
#[derive(Default)]
pub(crate) struct Memory {
    agreed: Option<(Fingerprint, Vec<Ledger>)>,
    /// When a ledger last changed while Muster watched.
    told_at: Option<Time>,
    untold: Option<Untold>,
    latest: Option<Fingerprint>,
    rest_until: Option<Time>,
}

/// Reads them.
pub(crate) async fn read(
    session: &PgSession,
    now: Time,
    offset: Offset,
    memory: &mut Memory,
) -> Result<(Shared<Migrations>, Vec<Missing>), ReachError> {
    let mut out = Migrations::default();
    let mut missing = Vec::new();
    let mut names: Vec<&str> = TOOLS.iter().map(|t| t.table).collect();
    names.dedup();
    for row in &session.query(FIND, &[&names]).await? {
        let (schema, table): (String, String) = (get(row, "schema"), get(row, "name"));
        let columns: Vec<String> = get(row, "columns");
        let has = |t: &&Tool| t.table == table && t.columns.iter().all(|c| columns.iter().any(|k| k == c));
        let Some(tool) = TOOLS.iter().find(has) else {
            continue;
        };
        let name = format!("{}.{}", quoted(&schema), quoted(&table));
        // Dropped while it was read.
        let Some(readable) = get::<Option<bool>>(row, "readable") else {
            continue;
        };
        if !readable {
            let user = quoted(&session.capability().user);
            let reason = format!("the migration ledger {schema}.{table} may not be read");
            let grant = format!(
                "GRANT USAGE ON SCHEMA {} TO {user}; GRANT SELECT ON {name} TO {user};",
                quoted(&schema)
            );
            missing.push((reason, Some(grant)));
            out.unreadable.push(format!("{schema}.{table}"));
            continue;
        }
        if get::<bool>(row, "locked") {
            missing.push((format!("the migration ledger {schema}.{table} is locked"), None));
            out.unreadable.push(format!("{schema}.{table}"));
            continue;
        }
        match session
            .query_made(tool.sql.replace("{table}", &name).trim())
            .await
        {
            Ok(rows) => out.ledgers.push(ledger(tool.name, schema, table, &rows, offset)),
            Err(e) if session.is_closed() => return Err(e),
            Err(e) => {
                let reason = format!("the migration ledger {schema}.{table}: {}", e.reason);
                missing.push((reason, Some(e.remedy())));
                out.unreadable.push(format!("{schema}.{table}"));
            }
        }
    }
    if !out.ledgers.is_empty() && out.unreadable.is_empty() {
        if memory.rest_until.is_none_or(|t| now >= t) {
            let began = Instant::now();
            let read = fingerprint(session).await?;
            memory.rest_until = rest(began.elapsed()).map(|span| now.plus(span));
            memory.compare(now, &read, &out.ledgers);
            memory.latest = Some(read);
        }
        out.fingerprint.clone_from(&memory.latest);
        out.untold.clone_from(&memory.untold);
    }
    Ok((Shared::new(out), missing))
}

fn ledger(tool: &str, schema: String, table: String, rows: &[tokio_postgres::Row], offset: Offset) -> Ledger {
    let migrations: Vec<Migration> = rows
        .iter()
        .map(|row| Migration {
            version: get(row, "version"),
            checksum: get(row, "checksum"),
            at: offset.time(row, "at"),
            state: match get::<String>(row, "state").as_str() {
                "failed" => MigrationState::Failed,
                "unfinished" => MigrationState::Unfinished,
                _ => MigrationState::Applied,
            },
        })
        .collect();
    Ledger {
        tool: tool.to_owned(),
        schema,
        table,
        left_out: rows
            .first()
            .map_or(0, |r| count(r, "total").saturating_sub(rows.len() as u64)),
        migrations,
    }
}

async fn fingerprint(session: &PgSession) -> Result<Fingerprint, ReachError> {
    let mut parts = BTreeMap::new();
    for row in &session.query(FINGERPRINT, &[]).await? {
        parts.insert(get(row, "part"), (count(row, "objects"), get(row, "digest")));
    }
    Ok(Fingerprint { parts })
}

/// How long nothing is read after a digest that took so long: a large schema costs the server at most one part in a hundred.
fn rest(took: Duration) -> Option<Span> {
    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    (took >= CHEAP_MS).then(|| Span::from_millis(took.saturating_mul(100)))
}

impl Memory {
    fn compare(&mut self, now: Time, fingerprint: &Fingerprint, ledgers: &[Ledger]) {
        let told = self.agreed.as_ref().is_some_and(|(_, l)| !same(l, ledgers));
        if told {
            self.told_at = Some(now);
        }
        let lately = self.told_at.is_some_and(|t| now.since(t) < GRACE);
        match &self.agreed {
            Some((before, _)) if !lately => {
                let parts = differences(before, fingerprint);
                self.untold = (!parts.is_empty()).then(|| Untold {
                    at: self.untold.as_ref().map_or(now, |u| u.at),
                    parts,
                });
            }
            _ => {
                self.agreed = Some((fingerprint.clone(), ledgers.to_vec()));
                self.untold = None;
            }
        }
    }
}

/// Whether ledgers say the same; the server's clock against ours, measured anew in each round, is no difference.
fn same(a: &[Ledger], b: &[Ledger]) -> bool {
    let lines = |all: &[Ledger]| -> Vec<(String, u64, String, Option<String>, MigrationState)> {
        all.iter()
            .flat_map(|l| {
                let of = |m: &Migration| {
                    (
                        l.full_name(),
                        l.left_out,
                        m.version.clone(),
                        m.checksum.clone(),
                        m.state,
                    )
                };
                l.migrations.iter().map(of).collect::<Vec<_>>()
            })
            .collect()
    };
    lines(a) == lines(b)
}

fn differences(before: &Fingerprint, after: &Fingerprint) -> Vec<(String, u64, u64)> {
    let names: std::collections::BTreeSet<&String> = before.parts.keys().chain(after.parts.keys()).collect();
    names
        .into_iter()
        .filter(|n| before.parts.get(*n) != after.parts.get(*n))
        .map(|n| {
            let many = |f: &Fingerprint| f.parts.get(n).map_or(0, |p| p.0);
            (n.clone(), many(before), many(after))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(digest: &str) -> Fingerprint {
        let part = ("columns".to_owned(), (3, digest.to_owned()));
        Fingerprint {
            parts: BTreeMap::from([part]),
        }
    }

    fn at(versions: &[&str]) -> Vec<Ledger> {
        let migrations = versions.iter().map(|v| Migration {
            version: (*v).to_owned(),
            ..Migration::default()
        });
        vec![Ledger {
            migrations: migrations.collect(),
            ..Ledger::default()
        }]
    }

    #[test]
    fn a_digest_that_took_long_is_not_taken_often() {
        assert_eq!(rest(Duration::from_millis(199)), None);
        assert_eq!(rest(Duration::from_millis(1300)), Some(Span::from_secs(130)));
    }

    #[test]
    fn a_change_that_no_ledger_told_of_is_kept_until_it_is_undone_or_told() {
        let minute = |m: i64| Time::from_millis(m * 60_000);
        let mut memory = Memory::default();
        memory.compare(minute(0), &schema("a"), &at(&["1"]));
        memory.compare(minute(1), &schema("b"), &at(&["1"]));
        assert_eq!(
            memory.untold.as_ref().map(|u| (u.at, u.parts.len())),
            Some((minute(1), 1))
        );
        memory.compare(minute(2), &schema("b"), &at(&["1"]));
        assert_eq!(
            memory.untold.as_ref().map(|u| u.at),
            Some(minute(1)),
            "since then"
        );
        memory.compare(minute(3), &schema("a"), &at(&["1"]));
        assert_eq!(memory.untold, None, "undone");
        memory.compare(minute(4), &schema("c"), &at(&["2", "1"]));
        assert_eq!(memory.untold, None, "told");
        memory.compare(minute(10), &schema("d"), &at(&["2", "1"]));
        assert_eq!(
            memory.untold, None,
            "the line came first, the change a little later"
        );
        memory.compare(minute(30), &schema("e"), &at(&["2", "1"]));
        assert!(memory.untold.is_some(), "long after the line");
    }
}
