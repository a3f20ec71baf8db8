//! Faults of whole servers: stopped, paused, killed.

use std::time::Duration;

use crate::error::{LabError, sql};
use crate::fault::FaultRecord;
use crate::fleet::{Fleet, User, connect};
use crate::server::{How, postmaster, start, stop};

pub(super) async fn stopped(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let server = standby(fleet, &record.params["server"])?;
    stop(fleet, &server, How::Fast).await?;
    until.await;
    Ok(())
}

pub(super) async fn paused(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let server = standby(fleet, &record.params["server"])?;
    let client = connect(&fleet.config(&server, User::Postgres, "postgres")?)
        .await
        .map_err(sql("login"))?;
    client
        .batch_execute("SELECT pg_catalog.pg_wal_replay_pause()")
        .await
        .map_err(sql("pause of replay"))?;
    drop(client);
    let writer = connect(&fleet.config("a", User::App, "app")?)
        .await
        .map_err(sql("login"))?;
    let writes = async {
        loop {
            let _ = writer
                .simple_query("UPDATE notes SET views = views + 1 WHERE id <= 50")
                .await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        () = writes => {}
        () = until => {}
    }
    Ok(())
}

pub(super) async fn killed(fleet: &Fleet, until: impl Future<Output = ()>) -> Result<(), LabError> {
    fleet.marked("a")?;
    stop(fleet, "a", How::Kill).await?;
    until.await;
    Ok(())
}

/// Starts a server that is not running.
pub(super) async fn start_again(fleet: &Fleet, server: &str) -> Result<(), LabError> {
    fleet.marked(server)?;
    if postmaster(fleet, server).is_some() {
        return Ok(());
    }
    // The children of a killed postmaster need a moment to go; it refuses to start before they are gone.
    let mut last = None;
    for _ in 0..10 {
        let mut now = Fleet::open(&fleet.dir)?;
        match start(&mut now, server).await {
            Ok(()) => return now.save(),
            Err(e) => last = Some(e),
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Err(last.unwrap_or_else(|| LabError::Fault(format!("server {server} does not start"))))
}

pub(super) async fn resume(fleet: &Fleet, server: &str) -> Result<(), LabError> {
    let client = connect(&fleet.config(server, User::Postgres, "postgres")?)
        .await
        .map_err(sql("login"))?;
    client
        .batch_execute("SELECT pg_catalog.pg_wal_replay_resume()")
        .await
        .map_err(sql("resume of replay"))
}

fn standby(fleet: &Fleet, name: &str) -> Result<String, LabError> {
    if name == "a" || fleet.server(name).is_none() {
        return Err(LabError::Fault(format!(
            "there is no standby `{name}` in this fleet"
        )));
    }
    fleet.marked(name)?;
    Ok(name.to_owned())
}
