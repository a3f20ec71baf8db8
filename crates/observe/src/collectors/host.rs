//! Volumes, load and memory of a server's host, where that is our own.

use std::path::Path;

use muster_model::snapshot::{Disks, HostMemory, Load, Postmaster};
use muster_model::{Span, Time};

use super::CollectorInfo;
use super::log::Lack;
use crate::host::disks::{self, Where};
use crate::host::{kernel, processes};
use crate::ring::Ring;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "host",
    about: "Volumes of data, WAL, temporary files and log with their growth; memory of the host and of each backend, kills for want \
            of memory; load and pressure against cores; who the lock file names. Only where the config enrols the host.",
    reads: "statvfs(2) of the data folder, pg_wal, tablespaces and the log's folder; /proc; postmaster.pid",
    needs: "a host in the config (`host: {local: true, data_dir: …}`) and a data folder that Muster's user may look into",
    cadence: "5 s; memory of backends 15 s; what eats a volume 60 s",
    gap: "volumes, memory and load",
};

/// What was seen before.
#[derive(Default)]
pub(crate) struct Memory {
    disks: disks::Memory,
    processes: processes::Memory,
    cpu: Ring<kernel::Cpu>,
    kills: Ring<u64>,
    added_up: Option<Time>,
}

/// How often folders are added up.
const ADD_UP: Span = Span::from_secs(60);

fn proc(file: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(file)).unwrap_or_default()
}

impl Memory {
    /// Volumes.
    pub(crate) fn disks(&mut self, at: &Where, now: Time) -> (Option<Disks>, Vec<Lack>) {
        let add_up = self.added_up.is_none_or(|t| now.since(t) >= ADD_UP);
        if add_up {
            self.added_up = Some(now);
        }
        let remedy = || {
            Some("let Muster's user look into it: the group of the data folder, and `initdb --allow-group-access`".to_owned())
        };
        match disks::read(at, &mut self.disks, now, add_up) {
            Ok((disks, problems)) => (Some(disks), problems.into_iter().map(|p| (p, remedy())).collect()),
            Err(e) => (None, vec![(format!("{}: {e}", at.data.display()), remedy())]),
        }
    }

    /// Load.
    pub(crate) fn load(&mut self, now: Time) -> Result<Load, Lack> {
        let (Some(cpu), Some(load)) = (kernel::cpu(&proc("stat")), kernel::load(&proc("loadavg"))) else {
            return Err((
                "/proc/stat and /proc/loadavg do not say how busy this host is".to_owned(),
                None,
            ));
        };
        let counted = self.cpu.take(now, cpu, |a, b| b.all < a.all);
        let share = |of: fn(&kernel::Cpu) -> u64| {
            let all = counted.in_a_minute(|c| c.all)?.by;
            let part = counted.in_a_minute(of)?.by;
            (all > 0).then(|| percent(part, all))
        };
        Ok(Load {
            cores: cpu.cores,
            load,
            running: cpu.running,
            busy: share(|c| c.busy),
            stolen: share(|c| c.stolen),
            pressure: kernel::pressure(
                &proc("pressure/cpu"),
                &proc("pressure/io"),
                &proc("pressure/memory"),
            ),
            booted_at: cpu.booted,
        })
    }

    /// Memory; of the backends too when their postmaster is known.
    pub(crate) fn memory(&mut self, postmaster: Option<i32>, now: Time) -> Result<HostMemory, Lack> {
        let info = proc("meminfo");
        let of = |name: &str| kernel::kilobytes(&info, name);
        let (Some(total), Some(available)) = (of("MemTotal"), of("MemAvailable")) else {
            return Err((
                "/proc/meminfo does not say how much memory this host has".to_owned(),
                None,
            ));
        };
        let kills = kernel::oom_kills(&proc("vmstat")).map(|n| self.kills.take(now, n, |a, b| b < a));
        let sizes = postmaster
            .map(|pid| processes::sizes(pid, &mut self.processes, now))
            .unwrap_or_default();
        let group = postmaster.and_then(limit).filter(|g| g.limit < total);
        Ok(HostMemory {
            total: group.map_or(total, |g| g.limit),
            // What a group may still have is what its limit leaves, and not more than the host has.
            available: group.map_or(available, |g| g.available().min(available)),
            swap: (of("SwapTotal").unwrap_or(0), of("SwapFree").unwrap_or(0)),
            oom_kills: kills,
            backends: sizes.shown,
            processes: sizes.count,
            own: sizes.own,
        })
    }
}

/// Who the lock file names.
pub(crate) fn postmaster(data: &Path) -> Result<Postmaster, Lack> {
    processes::postmaster(data).map_err(|e| {
        let file = data.join("postmaster.pid");
        let remedy =
            "let Muster's user read it: the group of the data folder, and `initdb --allow-group-access`";
        (format!("{}: {e}", file.display()), Some(remedy.to_owned()))
    })
}

/// The control group that leaves a process least memory.
fn limit(pid: i32) -> Option<Group> {
    let groups = proc(&format!("{pid}/cgroup"));
    let path = groups.lines().find_map(|l| l.strip_prefix("0::/"))?;
    tightest(Path::new("/sys/fs/cgroup"), path)
}

/// Memory of a control group, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    limit: u64,
    used: u64,
    /// Pages of files that nobody uses: they go when memory is needed.
    idle: u64,
}

impl Group {
    fn available(self) -> u64 {
        (self.limit.saturating_sub(self.used) + self.idle).min(self.limit)
    }
}

/// Of a group and those above it, each of which may have a limit, the one with the smallest.
fn tightest(root: &Path, path: &str) -> Option<Group> {
    let number = |folder: &Path, name: &str| -> Option<u64> {
        std::fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let own = root.join(path);
    own.ancestors()
        .take_while(|folder| folder.starts_with(root))
        .filter_map(|folder| {
            let limit = number(folder, "memory.max")?;
            let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let idle = stat.lines().find_map(|l| l.strip_prefix("inactive_file "));
            Some(Group {
                limit,
                used: number(folder, "memory.current")?,
                idle: idle.and_then(|n| n.trim().parse().ok()).unwrap_or(0),
            })
        })
        .min_by_key(|g| g.limit)
}

#[allow(clippy::cast_precision_loss)]
fn percent(part: u64, all: u64) -> f64 {
    part as f64 * 100.0 / all as f64
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_smallest_limit_up_the_groups_counts_and_idle_files_are_available() {
        let root = tempfile::tempdir().expect("dir");
        let group = root.path().join("pod/postgres");
        fs::create_dir_all(&group).expect("dirs");
        let write = |folder: &Path, max: &str, current: &str, idle: u64| {
            fs::write(folder.join("memory.max"), max).expect("write");
            fs::write(folder.join("memory.current"), current).expect("write");
            let stat = format!("anon 5\ninactive_file {idle}\nactive_file 7\n");
            fs::write(folder.join("memory.stat"), stat).expect("write");
        };
        write(&group, "max\n", "400\n", 10);
        assert_eq!(tightest(root.path(), "pod/postgres"), None, "no limit");
        write(&root.path().join("pod"), "1000\n", "900\n", 300);
        let found = tightest(root.path(), "pod/postgres").expect("the pod's");
        assert_eq!((found.limit, found.available()), (1000, 400));
        write(&group, "800\n", "790\n", 0);
        let found = tightest(root.path(), "pod/postgres").expect("its own");
        assert_eq!((found.limit, found.available()), (800, 10));
    }
}
