//! Faults around locks: a chain of waiters, a queue behind a DDL. Directly at the primary.

use std::time::{Duration, Instant};

use super::{Crowd, patient};
use crate::error::{LabError, sql};
use crate::fault::FaultRecord;
use crate::fleet::{Fleet, User, connect};

/// A holder, a chain of `depth`, waiters at its end.
pub(super) async fn chain(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let config = fleet.config("a", User::App, "app")?;
    let (depth, waiters) = (record.number("depth").clamp(1, 10), record.number("waiters"));
    let (running, relapse) = (record.flag("running"), record.flag("relapse"));
    let mut crowd = Crowd::default();
    let root = config.clone();
    crowd.add(async move {
        loop {
            let Some(client) = patient(&root, "lab-holder").await else {
                return;
            };
            if client
                .simple_query("BEGIN; UPDATE lab_rows SET value = value + 1 WHERE id = 1")
                .await
                .is_ok()
            {
                if running {
                    let _ = client.simple_query("SELECT pg_sleep(3600)").await;
                }
                while !client.is_closed() && !running {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            if !relapse {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    locked(fleet, "lab-holder", 1, false).await?;
    for link in 2..=depth {
        let config = config.clone();
        crowd.add(async move {
            let Some(client) = patient(&config, "lab-link").await else {
                return;
            };
            let own = format!("BEGIN; UPDATE lab_rows SET value = value + 1 WHERE id = {link}");
            if client.simple_query(&own).await.is_ok() {
                let next = format!("UPDATE lab_rows SET value = value + 1 WHERE id = {}", link - 1);
                let _ = client.simple_query(&next).await;
                let _ = client.simple_query("COMMIT").await;
            }
        });
        locked(fleet, "lab-link", i64::from(link - 1), true).await?;
    }
    for _ in 0..waiters {
        let config = config.clone();
        crowd.add(async move {
            let Some(client) = patient(&config, "lab-waiter").await else {
                return;
            };
            loop {
                let own = format!("UPDATE lab_rows SET value = value + 1 WHERE id = {depth}");
                if client.simple_query(&own).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
    locked(fleet, "lab-waiter", i64::from(waiters), true).await?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// A long reader, a waiting ALTER TABLE, readers behind it.
pub(super) async fn ddl(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let config = fleet.config("a", User::App, "app")?;
    let mut crowd = Crowd::default();
    let reader = config.clone();
    crowd.add(async move {
        let Some(client) = patient(&reader, "lab-report").await else {
            return;
        };
        let _ = client
            .simple_query("BEGIN; SELECT * FROM lab_ddl; SELECT pg_sleep(3600)")
            .await;
    });
    locked(fleet, "lab-report", 1, false).await?;
    let migration = config.clone();
    crowd.add(async move {
        let Some(client) = patient(&migration, "lab-migration").await else {
            return;
        };
        let _ = client
            .simple_query("ALTER TABLE lab_ddl ADD COLUMN IF NOT EXISTS note text")
            .await;
    });
    locked(fleet, "lab-migration", 1, true).await?;
    let readers = record.number("readers");
    for _ in 0..readers {
        let config = config.clone();
        crowd.add(async move {
            let Some(client) = patient(&config, "lab-reader").await else {
                return;
            };
            while client.simple_query("SELECT * FROM lab_ddl").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }
    locked(fleet, "lab-reader", i64::from(readers), true).await?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// Waits until so many sessions of a name hold (or wait for) a lock.
async fn locked(fleet: &Fleet, application: &str, count: i64, waiting: bool) -> Result<(), LabError> {
    let client = connect(&fleet.config("a", User::Postgres, "postgres")?)
        .await
        .map_err(sql("login"))?;
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let row = client
            .query_one(
                "SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE application_name = $1 AND xact_start IS NOT NULL \
                 AND (wait_event_type IS NOT DISTINCT FROM 'Lock') = $2 AND EXISTS (SELECT FROM pg_catalog.pg_locks l \
                 WHERE l.pid = a.pid AND l.locktype IN ('relation', 'transactionid', 'tuple'))",
                &[&application, &waiting],
            )
            .await
            .map_err(sql("look at the locks"))?;
        let seen: i64 = row.get(0);
        if seen >= count {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(LabError::Fault(format!(
                "only {seen} of {count} sessions `{application}` came up"
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
