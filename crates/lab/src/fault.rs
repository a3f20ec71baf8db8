//! Faults: journaled before they begin, held by a process of their own, ended by heal or by their dead-man's switch.
//!
//! The process that holds a fault ends it by itself when its time is over, so a fault ends also when everything else was
//! killed; when that process was killed, its sessions died with it, and heal undoes the rest from the record.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster_model::{Span, Time};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{LabError, at};
use crate::fleet::{Fleet, write_private};
use crate::process::{ProcessId, spawn};

/// A fault that can be injected.
#[derive(Clone, Copy, Debug)]
pub struct FaultInfo {
    /// Name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Parameters: name, default, meaning.
    pub params: &'static [(&'static str, &'static str, &'static str)],
}

/// A fault as its record tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Id.
    pub id: String,
    /// Which fault.
    pub fault: String,
    /// Parameters, defaults filled in.
    pub params: std::collections::BTreeMap<String, String>,
    /// When it was journaled.
    pub began_at: Time,
    /// When it ends by itself.
    pub ends_at: Time,
    /// The process that holds it.
    pub process: Option<ProcessId>,
    /// Its fleet's folder.
    pub dir: PathBuf,
}

impl FaultRecord {
    fn path(&self, suffix: &str) -> PathBuf {
        self.dir.join("faults").join(format!("{}.{suffix}", self.id))
    }

    /// A whole number among the parameters.
    #[must_use]
    pub fn number(&self, name: &str) -> u32 {
        self.params.get(name).and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    /// A yes or no among the parameters.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|v| v == "true")
    }

    /// Whether heal was asked for, or its time is over.
    #[must_use]
    pub fn over(&self) -> bool {
        now() >= self.ends_at || self.path("heal").exists()
    }

    fn write(&self) -> Result<(), LabError> {
        write_private(
            &self.path("json"),
            serde_json::to_string_pretty(self).unwrap_or_default().as_bytes(),
        )
    }

    pub(crate) async fn end_process(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::KILL);
            process.gone_within(Duration::from_secs(5)).await;
        }
    }
}

fn now() -> Time {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Faults that have not ended.
#[must_use]
pub fn open(fleet: &Fleet) -> Vec<FaultRecord> {
    let Ok(dir) = std::fs::read_dir(fleet.dir.join("faults")) else {
        return Vec::new();
    };
    let mut all: Vec<FaultRecord> = dir
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "json"))
        .filter_map(|e| serde_json::from_str(&std::fs::read_to_string(e.path()).ok()?).ok())
        .filter(|r: &FaultRecord| !r.path("done").exists())
        .collect();
    all.sort_by_key(|r| r.began_at);
    all
}

/// Writes the record of a fault. Nothing is done yet.
///
/// # Errors
/// When the fault or a parameter is unknown.
pub fn record(
    fleet: &Fleet,
    fault: &str,
    params: &[(String, String)],
    lasts: Span,
) -> Result<FaultRecord, LabError> {
    let info = crate::faults::ALL
        .iter()
        .find(|f| f.name == fault)
        .ok_or_else(|| LabError::Fault(format!("there is no fault `{fault}`")))?;
    let mut all: std::collections::BTreeMap<String, String> = info
        .params
        .iter()
        .map(|(n, d, _)| ((*n).to_owned(), (*d).to_owned()))
        .collect();
    for (name, value) in params {
        let Some(slot) = all.get_mut(name) else {
            let known: Vec<&str> = info.params.iter().map(|p| p.0).collect();
            return Err(LabError::Fault(format!(
                "fault `{fault}` has no parameter `{name}`; it has: {}",
                known.join(", ")
            )));
        };
        let number = slot.parse::<u32>().is_ok();
        let flag = slot.parse::<bool>().is_ok();
        if (number && value.parse::<u32>().is_err()) || (flag && value.parse::<bool>().is_err()) {
            let shape = if number { "a whole number" } else { "true or false" };
            return Err(LabError::Fault(format!(
                "`{name}` of fault `{fault}` is {shape}, not `{value}`"
            )));
        }
        slot.clone_from(value);
    }
    let began_at = now();
    let record = FaultRecord {
        id: format!("{fault}-{}", began_at.millis()),
        fault: fault.to_owned(),
        params: all,
        began_at,
        ends_at: began_at.plus(lasts),
        process: None,
        dir: fleet.dir.clone(),
    };
    record.write()?;
    Ok(record)
}

/// Injects a fault in a process of its own and waits until it is there.
///
/// # Errors
/// When it does not come up; then it is healed.
pub async fn inject(
    fleet: &Fleet,
    binary: &std::path::Path,
    fault: &str,
    params: &[(String, String)],
    lasts: Span,
) -> Result<FaultRecord, LabError> {
    let mut record = record(fleet, fault, params, lasts)?;
    let mut command = std::process::Command::new(binary);
    command
        .args(["lab-child", "fault", "--dir"])
        .arg(&fleet.dir)
        .args(["--id", &record.id]);
    command.stdin(std::process::Stdio::null());
    record.process = Some(spawn(&mut command, &fleet.log("faults"))?);
    record.write()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !record.path("ready").exists() {
        let alive = record.process.as_ref().is_some_and(ProcessId::alive);
        if !alive || Instant::now() >= deadline {
            let log = std::fs::read_to_string(fleet.log("faults")).unwrap_or_default();
            let seen = log.lines().last().unwrap_or("it said nothing").to_owned();
            heal_one(fleet, &record).await?;
            return Err(LabError::Fault(format!(
                "fault `{fault}` did not come up: {seen}"
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(record)
}

/// Holds a fault until it is healed or its time is over, then undoes it. This is what the child process runs.
///
/// # Errors
/// When it cannot be brought about or undone.
pub async fn hold(fleet: &Fleet, id: &str) -> Result<(), LabError> {
    let record = open(fleet)
        .into_iter()
        .find(|r| r.id == id)
        .ok_or_else(|| LabError::Fault(format!("there is no record of fault {id}")))?;
    let held = crate::faults::hold(fleet, &record, async {
        let _ = std::fs::write(record.path("ready"), "");
        while !record.over() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let undone = crate::faults::undo(fleet, &record).await;
    held?;
    undone?;
    let path = record.path("done");
    std::fs::write(&path, "").map_err(at(&path))
}

/// Ends one fault and waits until it is undone.
///
/// # Errors
/// When it cannot be undone.
pub async fn heal_one(fleet: &Fleet, record: &FaultRecord) -> Result<(), LabError> {
    let path = record.path("heal");
    std::fs::write(&path, "").map_err(at(&path))?;
    // The process wrote its number after it was started: read the record again.
    let record = open(fleet)
        .into_iter()
        .find(|r| r.id == record.id)
        .unwrap_or_else(|| record.clone());
    let deadline = Instant::now() + Duration::from_secs(30);
    while !record.path("done").exists() && Instant::now() < deadline {
        if !record.process.as_ref().is_some_and(ProcessId::alive) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if !record.path("done").exists() {
        record.end_process().await;
        crate::faults::undo(fleet, &record).await?;
        let path = record.path("done");
        std::fs::write(&path, "").map_err(at(&path))?;
    }
    Ok(())
}

/// Ends all faults; their names.
///
/// # Errors
/// When one cannot be undone.
pub async fn heal_all(fleet: &Fleet) -> Result<Vec<String>, LabError> {
    let mut names = Vec::new();
    for record in open(fleet) {
        heal_one(fleet, &record).await?;
        names.push(record.fault);
    }
    Ok(names)
}
