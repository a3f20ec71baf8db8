//! Faults of transactions and sessions: a row that everybody wants, a lock that is not given back, a transaction that nobody
//! decides, a horizon that is held; and their look-alike, a dump. Directly at the primary.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, Config};

use super::{Crowd, patient};
use crate::error::{LabError, sql};
use crate::fault::FaultRecord;
use crate::fleet::{Fleet, User, connect};

/// Begins all names of prepared transactions of this family.
const GID: &str = "lab-order-";

/// Clients that update one row, each for a while.
pub(super) async fn hot_row(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let config = fleet.config("a", User::App, "app")?;
    let hold = Duration::from_millis(u64::from(record.number("hold").max(1)));
    let clients = record.number("clients").max(2);
    let mut crowd = Crowd::default();
    for _ in 0..clients {
        let config = config.clone();
        crowd.add(async move {
            let Some(client) = patient(&config, "lab-counter").await else {
                return;
            };
            let update = "BEGIN; UPDATE lab_rows SET value = value + 1 WHERE id = 1";
            while client.simple_query(update).await.is_ok() {
                tokio::time::sleep(hold).await;
                if client.simple_query("COMMIT").await.is_err() {
                    return;
                }
            }
        });
    }
    waiting(fleet, "lab-counter", i64::from(clients / 2)).await?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// A session takes an advisory lock and idles; others may wait for it.
pub(super) async fn advisory(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let config = fleet.config("a", User::App, "app")?;
    let holder = named(&config, "lab-leader").await?;
    holder
        .batch_execute("SELECT pg_catalog.pg_advisory_lock(4711)")
        .await
        .map_err(sql("advisory lock"))?;
    let busy = record.flag("busy");
    let mut crowd = Crowd::default();
    let waiters = record.number("waiters");
    for _ in 0..waiters {
        let config = config.clone();
        crowd.add(async move {
            if let Some(client) = patient(&config, "lab-candidate").await {
                let _ = client
                    .batch_execute("SELECT pg_catalog.pg_advisory_lock(4711)")
                    .await;
            }
        });
    }
    waiting(fleet, "lab-candidate", i64::from(waiters)).await?;
    let work = async {
        if !busy {
            std::future::pending::<()>().await;
        }
        while holder.simple_query("SELECT pg_catalog.pg_sleep(1)").await.is_ok() {}
    };
    tokio::select! {
        () = work => {}
        () = until => {}
    }
    crowd.disperse().await;
    Ok(())
}

/// Prepared transactions that nobody decides; others may wait for one.
pub(super) async fn prepared(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let config = fleet.config("a", User::App, "app")?;
    let coordinator = named(&config, "lab-coordinator").await?;
    for i in 1..=record.number("count").clamp(1, 5) {
        let text = format!(
            "BEGIN; UPDATE lab_rows SET value = value + 1 WHERE id = {i}; PREPARE TRANSACTION '{GID}{i}'"
        );
        coordinator
            .batch_execute(&text)
            .await
            .map_err(sql("prepare of a transaction"))?;
    }
    drop(coordinator);
    let mut crowd = Crowd::default();
    let waiters = record.number("waiters");
    for _ in 0..waiters {
        let config = config.clone();
        crowd.add(async move {
            if let Some(client) = patient(&config, "lab-undecided").await {
                let _ = client
                    .batch_execute("UPDATE lab_rows SET value = value + 1 WHERE id = 1")
                    .await;
            }
        });
    }
    waiting(fleet, "lab-undecided", i64::from(waiters)).await?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// Rolls back what `prepared` and `horizon` left.
pub(super) async fn decide(fleet: &Fleet) -> Result<(), LabError> {
    let client = connect(&fleet.config("a", User::Postgres, "app")?)
        .await
        .map_err(sql("login"))?;
    let rows = client
        .query(
            "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE pg_catalog.starts_with(gid, $1)",
            &[&GID],
        )
        .await
        .map_err(sql("prepared transactions"))?;
    for row in rows {
        let gid: String = row.get(0);
        let text = format!("ROLLBACK PREPARED '{}'", gid.replace('\'', "''"));
        client
            .batch_execute(&text)
            .await
            .map_err(sql("rollback of a prepared transaction"))?;
    }
    Ok(())
}

/// Something holds the horizon while transaction ids are used up.
pub(super) async fn horizon(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM notes";
    let by = record.params.get("by").map(String::as_str).unwrap_or_default();
    let _holder: Client = match by {
        "session" | "standby" => {
            let server = if by == "session" { "a" } else { "b" };
            let reader = named(&fleet.config(server, User::App, "app")?, "lab-report").await?;
            reader.batch_execute(snapshot).await.map_err(sql("report"))?;
            reader
        }
        "prepared" => {
            let coordinator = named(&fleet.config("a", User::App, "app")?, "lab-coordinator").await?;
            let text = format!(
                "BEGIN; UPDATE lab_rows SET value = value + 1 WHERE id = 20; PREPARE TRANSACTION '{GID}20'"
            );
            coordinator
                .batch_execute(&text)
                .await
                .map_err(sql("prepare of a transaction"))?;
            coordinator
        }
        other => {
            return Err(LabError::Fault(format!(
                "`by={other}`: there are session, standby, prepared"
            )));
        }
    };
    if by == "standby" {
        fed_back(fleet).await?;
    }
    let writer = named(&fleet.config("a", User::App, "app")?, "lab-writer").await?;
    let xids = record.number("xids");
    let burn = format!(
        "DO $$ BEGIN FOR i IN 1..{xids} LOOP PERFORM pg_catalog.pg_current_xact_id(); COMMIT; END LOOP; END $$"
    );
    writer
        .batch_execute(&burn)
        .await
        .map_err(sql("use of transaction ids"))?;
    until.await;
    Ok(())
}

/// A session that looks like pg_dump: one snapshot, one statement after the other. Healthy.
pub(super) async fn dump(fleet: &Fleet, until: impl Future<Output = ()>) -> Result<(), LabError> {
    let client = named(&fleet.config("a", User::App, "app")?, "pg_dump").await?;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM notes")
        .await
        .map_err(sql("snapshot of the dump"))?;
    let long = client.simple_query("SELECT pg_catalog.pg_sleep(3600)");
    tokio::select! {
        _ = long => {}
        () = until => {}
    }
    Ok(())
}

/// A statement that does not end.
pub(super) async fn runaway(fleet: &Fleet, until: impl Future<Output = ()>) -> Result<(), LabError> {
    let client = named(&fleet.config("a", User::App, "app")?, "lab-runaway").await?;
    let long = client.simple_query("SELECT count(*), pg_catalog.pg_sleep(3600) FROM notes");
    tokio::select! {
        _ = long => {}
        () = until => {}
    }
    Ok(())
}

async fn named(config: &Config, name: &str) -> Result<Client, LabError> {
    patient(config, name)
        .await
        .ok_or_else(|| LabError::Fault(format!("session `{name}` does not get in")))
}

/// Waits until so many sessions of a name wait for a lock.
async fn waiting(fleet: &Fleet, application: &str, count: i64) -> Result<(), LabError> {
    settled(
        fleet,
        &format!("{count} sessions `{application}` that wait"),
        "SELECT count(*) >= $2 FROM pg_catalog.pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'",
        &[&application, &count],
    )
    .await
}

/// Waits until the primary knows what its standbys may still see.
async fn fed_back(fleet: &Fleet) -> Result<(), LabError> {
    settled(
        fleet,
        "feedback of a standby",
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE xmin IS NOT NULL)",
        &[],
    )
    .await
}

async fn settled(
    fleet: &Fleet,
    what: &str,
    ask: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<(), LabError> {
    let client = connect(&fleet.config("a", User::Postgres, "postgres")?)
        .await
        .map_err(sql("login"))?;
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let row = client
            .query_one(ask, params)
            .await
            .map_err(sql("look at the sessions"))?;
        if row.get(0) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(LabError::Fault(format!("{what}: did not come up")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
