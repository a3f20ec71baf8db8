//! Backups and duties, as their keepers tell them. Nobody reads them yet: while there is none in a Snapshot, none is judged.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// What is known of the backups of a cluster from one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackupView {
    /// Name of the repository.
    pub name: String,
    /// Cluster that it is of, or the server that it is taken from.
    pub address: String,
    /// End of the first whole backup that is known, kept or not; absent when there is none.
    #[serde(default)]
    pub first: Option<Time>,
    /// End of the newest whole backup; absent when there is none.
    pub last: Option<Time>,
    /// End of the newest backup that was restored somewhere and looked at.
    pub verified: Option<Time>,
    /// The last try that failed, when none has worked since.
    pub failure: Option<BackupFailure>,
    /// Write-ahead log that is missing between the newest backup and now.
    pub gap: Option<WalGap>,
}

/// A backup that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackupFailure {
    /// First of the failures in a row.
    pub since: Time,
    /// How many in a row.
    pub times: u32,
    /// What the last one said, without secrets.
    pub reason: String,
}

/// Segments that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WalGap {
    /// First missing segment.
    pub from: String,
    /// Last missing segment.
    pub to: String,
    /// When it was noticed.
    pub since: Time,
}

/// What somebody owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DutyKind {
    /// A drill that is due again.
    Drill,
    /// An action item of an incident.
    Action,
}

/// A duty with its date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Duty {
    /// What it is.
    pub kind: DutyKind,
    /// Cluster.
    pub address: String,
    /// Which drill, or what is to be done.
    pub name: String,
    /// Who owes it.
    pub owner: Option<String>,
    /// Until when.
    pub due: Time,
}

/// What amcheck said of one index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IndexCheck {
    /// `schema.index`.
    pub index: String,
    /// `schema.table`.
    pub table: String,
    /// What is wrong, in the server's words; absent when nothing is.
    pub wrong: Option<String>,
}
