//! Faults of log, files and access: what a person or a forgotten consumer does to a server that runs.

use std::path::PathBuf;

use tokio_postgres::Client;

use crate::error::{LabError, at, sql};
use crate::fault::FaultRecord;
use crate::fleet::{Fleet, User, connect};

const SLOT: &str = "lab_forgotten";
const STANDBY: &str = "lab_absent";
/// What is added to a file carries this, so that it is found again.
const MARK: &str = "# lab fault";

async fn boss(fleet: &Fleet) -> Result<Client, LabError> {
    fleet.marked("a")?;
    connect(&fleet.config("a", User::Postgres, "postgres")?)
        .await
        .map_err(sql("login"))
}

async fn run(client: &Client, statements: &[&str]) -> Result<(), LabError> {
    for text in statements {
        client.batch_execute(text).await.map_err(sql("the fault"))?;
    }
    Ok(())
}

/// A slot that nobody uses, and WAL that it keeps.
pub(super) async fn slot(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let client = boss(fleet).await?;
    client
        .execute(
            "SELECT pg_catalog.pg_create_physical_replication_slot($1, true)",
            &[&SLOT],
        )
        .await
        .map_err(sql("the slot"))?;
    for _ in 0..record.number("megabytes").div_ceil(15) {
        let message =
            "SELECT pg_catalog.pg_logical_emit_message(false, 'lab', pg_catalog.repeat('x', 15 * 1048576))";
        run(&client, &[message]).await?;
    }
    until.await;
    Ok(())
}

/// Drops it.
pub(super) async fn drop_slot(fleet: &Fleet) -> Result<(), LabError> {
    boss(fleet)
        .await?
        .execute(
            "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = $1::text::name",
            &[&SLOT],
        )
        .await
        .map(|_| ())
        .map_err(sql("the end of the slot"))
}

/// Commits must be confirmed by a standby that does not exist, and some wait for it.
pub(super) async fn absent(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let client = boss(fleet).await?;
    let set = format!("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({STANDBY})'");
    run(&client, &[&set, "SELECT pg_catalog.pg_reload_conf()"]).await?;
    let mut writers = Vec::new();
    for _ in 0..record.number("writers") {
        let writer = connect(&fleet.app()?).await.map_err(sql("login"))?;
        writers.push(tokio::spawn(async move {
            // It ends when somebody lets it go.
            let _ = writer
                .batch_execute("UPDATE notes SET views = views + 1 WHERE id = 1")
                .await;
        }));
    }
    until.await;
    for writer in writers {
        writer.abort();
    }
    Ok(())
}

/// Lets them go.
pub(super) async fn nobody_absent(fleet: &Fleet) -> Result<(), LabError> {
    let reset = "ALTER SYSTEM RESET synchronous_standby_names";
    run(
        &boss(fleet).await?,
        &[reset, "SELECT pg_catalog.pg_reload_conf()"],
    )
    .await
}

/// A setting of the whole server that does harm.
pub(super) async fn harmful(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let (name, value) = setting(record)?;
    let set = format!("ALTER SYSTEM SET {name} = '{value}'");
    run(&boss(fleet).await?, &[&set, "SELECT pg_catalog.pg_reload_conf()"]).await?;
    until.await;
    Ok(())
}

/// Sets it back.
pub(super) async fn harmless(fleet: &Fleet, record: &FaultRecord) -> Result<(), LabError> {
    let (name, _) = setting(record)?;
    let reset = format!("ALTER SYSTEM RESET {name}");
    run(
        &boss(fleet).await?,
        &[&reset, "SELECT pg_catalog.pg_reload_conf()"],
    )
    .await
}

fn setting(record: &FaultRecord) -> Result<(&str, &str), LabError> {
    let word = |s: &str| {
        !s.is_empty()
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
    };
    match (record.params.get("name"), record.params.get("value")) {
        (Some(name), Some(value)) if word(name) && word(value) => Ok((name, value)),
        _ => Err(LabError::Fault("name and value of a setting are words".into())),
    }
}

/// A line that the server refuses, in one of its files.
pub(super) async fn refused(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let (path, line) = file(fleet, record)?;
    let text = std::fs::read_to_string(&path).map_err(at(&path))?;
    std::fs::write(&path, format!("{text}{line} {MARK}\n")).map_err(at(&path))?;
    until.await;
    Ok(())
}

/// Takes it out again.
pub(super) fn accepted(fleet: &Fleet, record: &FaultRecord) -> Result<(), LabError> {
    let (path, _) = file(fleet, record)?;
    let text = std::fs::read_to_string(&path).map_err(at(&path))?;
    let mut kept: String = text
        .lines()
        .filter(|l| !l.ends_with(MARK))
        .collect::<Vec<_>>()
        .join("\n");
    kept.push('\n');
    std::fs::write(&path, kept).map_err(at(&path))
}

fn file(fleet: &Fleet, record: &FaultRecord) -> Result<(PathBuf, &'static str), LabError> {
    fleet.marked("a")?;
    let (name, line) = match record.params.get("file").map(String::as_str) {
        Some("settings") => ("postgresql.conf", "work_mem = 'much'"),
        Some("rules") => ("pg_hba.conf", "host all all 10.0.0.0/8 trusty"),
        _ => return Err(LabError::Fault("`file` is `settings` or `rules`".into())),
    };
    Ok((fleet.data("a").join(name), line))
}

/// The observing login loses what it sees by.
pub(super) async fn revoked(fleet: &Fleet, until: impl Future<Output = ()>) -> Result<(), LabError> {
    run(&boss(fleet).await?, &["REVOKE pg_monitor FROM muster"]).await?;
    until.await;
    Ok(())
}

/// Gives it back.
pub(super) async fn granted(fleet: &Fleet) -> Result<(), LabError> {
    run(&boss(fleet).await?, &["GRANT pg_monitor TO muster"]).await
}
