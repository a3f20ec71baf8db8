//! Faults around connections: leaks, a slow server, a small pool, a flood.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Crowd, patient};
use crate::error::LabError;
use crate::fault::FaultRecord;
use crate::fleet::{Fleet, User, connect};

/// Clients that open a transaction and sit, and clients that want to work.
pub(super) async fn leak(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    need_pooler(fleet)?;
    let app = fleet.app()?;
    let relapse = record.flag("relapse");
    let leakers = match record.number("leakers") {
        0 => fleet.pool_size,
        n => n,
    };
    let mut crowd = Crowd::default();
    let (ready, mut readies) = mpsc::channel::<()>(1024);
    for id in 0..leakers {
        let (app, ready) = (app.clone(), ready.clone());
        crowd.add(async move {
            loop {
                let Some(client) = patient(&app, "notes-worker").await else {
                    return;
                };
                let id = 1 + (id % 1000);
                // Reads only: what it holds is the connection, not a lock.
                let begin = format!("BEGIN; SELECT body FROM notes WHERE id = {id}");
                if client.simple_query(&begin).await.is_ok() {
                    let _ = ready.send(()).await;
                    while !client.is_closed() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                if !relapse {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1000)).await;
            }
        });
    }
    wait_for(&mut readies, leakers).await?;
    workers(
        &mut crowd,
        fleet,
        record.number("waiters"),
        "SELECT body FROM notes WHERE id = 3",
        100,
    )?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// All pooled connections run a slow statement.
pub(super) async fn slow(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    need_pooler(fleet)?;
    let mut crowd = Crowd::default();
    workers(
        &mut crowd,
        fleet,
        record.number("clients"),
        "SELECT count(*), pg_sleep(6) FROM notes",
        10,
    )?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// Many short transactions, few connections.
pub(super) async fn small(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    need_pooler(fleet)?;
    crate::pooler::resize(fleet, record.number("size")).await?;
    let mut crowd = Crowd::default();
    workers(
        &mut crowd,
        fleet,
        record.number("clients"),
        "SELECT body, pg_sleep(0.02) FROM notes WHERE id = 5",
        1,
    )?;
    until.await;
    crowd.disperse().await;
    Ok(())
}

/// Idle connections until no slot is left.
pub(super) async fn flood(
    fleet: &Fleet,
    record: &FaultRecord,
    until: impl Future<Output = ()>,
) -> Result<(), LabError> {
    let mut config = fleet.config("a", User::App, "app")?;
    config.application_name("lab-flood");
    let leave = usize::try_from(record.number("leave")).unwrap_or(0);
    let mut held = Vec::new();
    // Many at once: a flood that rises for long is another fault, a slow leak.
    loop {
        let wave = futures::future::join_all((0..20).map(|_| connect(&config))).await;
        let refused = wave.iter().any(Result::is_err);
        held.extend(wave.into_iter().flatten());
        if refused {
            break;
        }
        if held.len() > 5000 {
            return Err(LabError::Fault("the flood found no limit".into()));
        }
    }
    // The last few, one by one, until really nobody gets in.
    while let Ok(client) = connect(&config).await {
        held.push(client);
    }
    held.truncate(held.len().saturating_sub(leave));
    until.await;
    drop(held);
    Ok(())
}

/// Clients that run one statement again and again, with a pause; they reconnect when they are thrown out.
fn workers(
    crowd: &mut Crowd,
    fleet: &Fleet,
    count: u32,
    statement: &str,
    pause_ms: u64,
) -> Result<(), LabError> {
    let app = fleet.app()?;
    for _ in 0..count {
        let (app, statement) = (app.clone(), statement.to_owned());
        crowd.add(async move {
            loop {
                let Some(client) = patient(&app, "notes-web").await else {
                    return;
                };
                while client.simple_query(&statement).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    Ok(())
}

fn need_pooler(fleet: &Fleet) -> Result<(), LabError> {
    match &fleet.pooler {
        Some(_) => Ok(()),
        None => Err(LabError::Fault(
            "this fault needs PgBouncer, which this fleet does not have".into(),
        )),
    }
}

async fn wait_for(readies: &mut mpsc::Receiver<()>, count: u32) -> Result<(), LabError> {
    for seen in 0..count {
        match tokio::time::timeout(Duration::from_secs(15), readies.recv()).await {
            Ok(Some(())) => {}
            _ => return Err(LabError::Fault(format!("only {seen} of {count} clients came up"))),
        }
    }
    Ok(())
}
