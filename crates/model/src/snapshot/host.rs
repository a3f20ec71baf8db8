//! What only the host of a server can tell: its log, volumes, memory, load, and whose process the postmaster is.
//!
//! Filled in only where the config enrols a host; a server without one has no such view, and no rule asks for it.

use serde::{Deserialize, Serialize};

use super::{Counted, Part, ServerLog};
use crate::span::Span;
use crate::time::Time;

/// What lies on a volume.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// The data folder without what is named below.
    Data,
    /// `pg_wal`.
    Wal,
    /// Temporary files of statements.
    Temp,
    /// The server's log.
    Log,
    /// A tablespace.
    Tablespace,
}

/// A folder on a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Folder {
    /// What it holds.
    pub what: Holding,
    /// Where.
    pub path: String,
    /// Bytes in it, when they were added up.
    pub bytes: Option<u64>,
    /// Whether all of it was added up; a folder with very many files is not.
    pub complete: bool,
}

/// How fast a volume fills.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Slope {
    /// Growth of what is used, in bytes an hour; below zero when it empties.
    pub per_hour: f64,
    /// Over which time it was measured.
    pub over: Span,
    /// Whether each half of that time shows it: a single burst is no trend.
    pub steady: bool,
}

/// A mounted volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Volume {
    /// Where it is mounted.
    pub mount: String,
    /// Number of the device; the same on one host is the same volume.
    pub device: u64,
    /// Bytes that ordinary users can fill: used and free.
    pub size: u64,
    /// Bytes that ordinary users can still write.
    pub free: u64,
    /// Files that can still be made, and how many there can be; absent where the file system does not count them.
    pub inodes: Option<(u64, u64)>,
    /// What lies here.
    pub holds: Vec<Folder>,
    /// How fast it fills.
    pub slope: Option<Slope>,
}

impl Volume {
    /// Share that is used, in per cent; of bytes or files, whichever is more.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn used_percent(&self) -> f64 {
        let used = |free: u64, all: u64| (1.0 - free as f64 / all.max(1) as f64) * 100.0;
        let files = self.inodes.map_or(0.0, |(free, all)| used(free, all));
        used(self.free, self.size).max(files)
    }

    /// When it will be full, if it goes on like this.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn full_in(&self) -> Option<Span> {
        let slope = self.slope.filter(|s| s.steady && s.per_hour > 0.0)?;
        let hours = self.free as f64 / slope.per_hour;
        (hours < 24.0 * 365.0).then(|| Span::from_millis((hours * 3_600_000.0) as u64))
    }

    /// Whether it holds this.
    #[must_use]
    pub fn holds(&self, what: Holding) -> bool {
        self.holds.iter().any(|h| h.what == what)
    }
}

/// The volumes of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Disks {
    /// Each once.
    pub volumes: Vec<Volume>,
    /// `wal_segment_size` in bytes.
    pub segment: u64,
    /// Whether `pg_wal` was found; if not, the [`super::Gap`] says why.
    pub wal_seen: bool,
}

/// Time lost to waiting for a resource, as the kernel measures it: per cent of the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pressure {
    /// Something waited for a CPU.
    pub cpu: f64,
    /// Something waited for storage.
    pub io: f64,
    /// Everything waited for storage.
    pub io_full: f64,
    /// Something waited for memory.
    pub memory: f64,
    /// Everything waited for memory.
    pub memory_full: f64,
}

/// How busy a host is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Load {
    /// CPUs that are on line.
    pub cores: u32,
    /// Load average of a minute: running and waiting for storage.
    pub load: f64,
    /// Processes that run or could run now.
    pub running: u32,
    /// Per cent of CPU time that was used in the last minute; absent at the first look.
    pub busy: Option<f64>,
    /// Per cent of CPU time that a hypervisor kept.
    pub stolen: Option<f64>,
    /// Pressure; absent where the kernel does not measure it.
    pub pressure: Option<Pressure>,
    /// When the host started.
    pub booted_at: Option<Time>,
}

/// Memory of one process of the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackendMemory {
    /// Process id.
    pub pid: i32,
    /// Memory of its own: without shared buffers and files.
    pub own: u64,
    /// Resident memory, shared buffers that it touched included.
    pub resident: u64,
    /// Growth of its own memory in bytes an hour, and over which time.
    pub per_hour: Option<f64>,
    /// Over which time the growth was measured.
    pub over: Span,
}

/// Memory of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HostMemory {
    /// Bytes there are; the limit of the server's control group when that is less.
    pub total: u64,
    /// Bytes that can be had without swapping.
    pub available: u64,
    /// Swap, all and free.
    pub swap: (u64, u64),
    /// Processes that the kernel has killed for want of memory, since the start of the host.
    pub oom_kills: Option<Counted<u64>>,
    /// The largest processes of the server, and those that grow; the largest first.
    pub backends: Vec<BackendMemory>,
    /// How many processes the server has.
    pub processes: u32,
    /// Memory of their own, together.
    pub own: u64,
}

/// Who the lock file of a data folder says is the postmaster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Postmaster {
    /// The process that `postmaster.pid` names; absent when there is no such file.
    pub pid: Option<i32>,
    /// Whether that process is alive and a PostgreSQL; absent when it cannot be told.
    pub serves: Option<bool>,
}

/// What was read on the host of one server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HostView {
    /// Its name.
    pub name: String,
    /// The server's log.
    pub log: Option<Part<ServerLog>>,
    /// Volumes.
    pub disks: Option<Part<Disks>>,
    /// Load.
    pub load: Option<Part<Load>>,
    /// Memory.
    pub memory: Option<Part<HostMemory>>,
    /// The lock file.
    pub postmaster: Option<Part<Postmaster>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_as_full_as_its_bytes_or_its_files_and_a_burst_is_no_trend() {
        let mut v = Volume {
            mount: "/srv".into(),
            device: 1,
            size: 1000,
            free: 250,
            inodes: Some((50, 1000)),
            holds: vec![],
            slope: None,
        };
        assert!((v.used_percent() - 95.0).abs() < 1e-9);
        v.inodes = None;
        assert!((v.used_percent() - 75.0).abs() < 1e-9);
        assert_eq!(v.full_in(), None);
        let mut slope = Slope {
            per_hour: 100.0,
            over: Span::from_mins(10),
            steady: true,
        };
        v.slope = Some(slope);
        assert_eq!(v.full_in(), Some(Span::from_mins(150)));
        slope.steady = false;
        v.slope = Some(slope);
        assert_eq!(v.full_in(), None);
    }
}
