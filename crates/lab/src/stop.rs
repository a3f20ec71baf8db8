//! Taking a fleet down, from its folder alone; and what of it runs.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;

use crate::error::{LabError, at};
use crate::fault;
use crate::fleet::Fleet;
use crate::server::{How, postmaster, release_shared_memory, stop};

/// What went away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DownReport {
    /// Servers and helpers that were stopped.
    pub stopped: Vec<String>,
    /// The folder that was removed.
    pub removed: String,
}

/// One part of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartStatus {
    /// `a`, `pgbouncer`, `redis`, `traffic`, or a fault.
    pub name: String,
    /// `running` or `stopped`.
    pub state: String,
    /// Port, where it has one.
    pub port: Option<u16>,
    /// More, such as the role.
    pub detail: String,
}

/// A fleet as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetStatus {
    /// Its folder.
    pub dir: String,
    /// PostgreSQL version.
    pub pg: String,
    /// Its parts.
    pub parts: Vec<PartStatus>,
    /// What is missing.
    pub missing: Vec<String>,
}

/// What of a fleet runs.
#[must_use]
pub fn status(fleet: &Fleet) -> FleetStatus {
    let word = |alive: bool| if alive { "running" } else { "stopped" }.to_owned();
    let mut parts: Vec<PartStatus> = fleet
        .servers
        .iter()
        .map(|s| PartStatus {
            name: s.name.clone(),
            state: word(postmaster(fleet, &s.name).is_some()),
            port: Some(s.port),
            detail: if fleet.data(&s.name).join("standby.signal").exists() {
                "standby"
            } else {
                "primary"
            }
            .to_owned(),
        })
        .collect();
    for (name, part) in [
        ("pgbouncer", &fleet.pooler),
        ("redis", &fleet.cache),
        ("traffic", &fleet.traffic),
    ] {
        if let Some(part) = part {
            parts.push(PartStatus {
                name: name.to_owned(),
                state: word(part.process.alive()),
                port: Some(part.port).filter(|p| *p != 0),
                detail: String::new(),
            });
        }
    }
    for record in fault::open(fleet) {
        parts.push(PartStatus {
            name: record.fault.clone(),
            state: "injected".to_owned(),
            port: None,
            detail: format!("ends by itself at {}", record.ends_at),
        });
    }
    FleetStatus {
        dir: fleet.dir.display().to_string(),
        pg: fleet.pg.version.clone(),
        parts,
        missing: fleet.missing.clone(),
    }
}

/// Takes a fleet down: no process, no file, no shared memory is left. A folder that is not a fleet's is left alone.
///
/// # Errors
/// When the folder is foreign, or something does not end.
pub async fn down(dir: &Path) -> Result<DownReport, LabError> {
    let fleet = Fleet::open(dir)?;
    // Every data folder must be ours before anything is touched; one that was never marked is still being made.
    for server in &fleet.servers {
        let data = fleet.data(&server.name);
        let made = data.join("PG_VERSION").exists();
        if made && data.join(crate::fleet::MARKER).exists() {
            fleet.marked(&server.name)?;
        }
    }
    let mut report = DownReport {
        removed: dir.display().to_string(),
        ..DownReport::default()
    };
    for record in fault::open(&fleet) {
        record.end_process().await;
    }
    for (name, part) in [
        ("traffic", &fleet.traffic),
        ("pgbouncer", &fleet.pooler),
        ("redis", &fleet.cache),
    ] {
        if let Some(part) = part
            && part.process.alive()
        {
            part.process.signal(Signal::TERM);
            if !part.process.gone_within(Duration::from_secs(3)).await {
                part.process.signal(Signal::KILL);
                part.process.gone_within(Duration::from_secs(3)).await;
            }
            report.stopped.push(name.to_owned());
        }
    }
    // Standbys first, so that nobody waits for them; at once, because nothing is kept.
    for server in fleet.servers.iter().rev() {
        if postmaster(&fleet, &server.name).is_some() {
            stop(&fleet, &server.name, How::Immediate).await?;
            report.stopped.push(server.name.clone());
        }
        release_shared_memory(&fleet, &server.name).await;
    }
    std::fs::remove_dir_all(dir).map_err(at(dir))?;
    Ok(report)
}
