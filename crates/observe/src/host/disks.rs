//! The volumes that a server writes to: size, free, how fast they fill, and what eats them.
//!
//! A volume is known by its device, so data and WAL on one volume are one. What eats it is added up folder by folder, so many
//! files a round; beyond that a sum says that it is not complete.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use muster_model::snapshot::{Disks, Folder, Holding, Slope, Volume};
use muster_model::{Span, Time};

use super::kernel;

/// Files that one round adds up.
const FILES: usize = 20_000;
/// Tablespaces that are looked at.
const TABLESPACES: usize = 64;
/// How long growth is remembered, and how far apart samples are.
const HISTORY: Span = Span::from_mins(30);
const APART: Span = Span::from_secs(10);

/// What volumes had before, and what folders held when they were last added up.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    used: BTreeMap<u64, VecDeque<(Time, u64)>>,
    sums: BTreeMap<PathBuf, (u64, bool)>,
}

/// Folders of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Where {
    pub(crate) data: PathBuf,
    pub(crate) log: Option<PathBuf>,
    pub(crate) segment: u64,
}

/// Reads them; what could not be read comes as sentences.
///
/// # Errors
/// When not even the data folder's volume can be read.
pub(crate) fn read(
    at: &Where,
    memory: &mut Memory,
    now: Time,
    add_up: bool,
) -> io::Result<(Disks, Vec<String>)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut problems = Vec::new();
    let mut folders = vec![(Holding::Data, at.data.clone())];
    match fs::canonicalize(at.data.join("pg_wal")) {
        Ok(wal) => folders.push((Holding::Wal, wal)),
        Err(e) => problems.push(format!("{}: {e}", at.data.join("pg_wal").display())),
    }
    folders.extend(at.log.clone().map(|log| (Holding::Log, log)));
    let spaces = fs::read_dir(at.data.join("pg_tblspc"))
        .into_iter()
        .flatten()
        .take(TABLESPACES);
    for space in spaces.flatten().filter_map(|e| fs::canonicalize(e.path()).ok()) {
        folders.push((Holding::Tablespace, space));
    }
    let temp: Vec<PathBuf> = folders
        .iter()
        .filter(|(what, _)| matches!(what, Holding::Data | Holding::Tablespace))
        .flat_map(|(what, path)| temporary(*what, path))
        .collect();
    folders.extend(temp.into_iter().map(|p| (Holding::Temp, p)));
    if add_up {
        sum(&folders, memory);
    }
    let mut volumes: Vec<Volume> = Vec::new();
    for (what, path) in &folders {
        let device = match fs::metadata(path).map(|m| m.dev()) {
            Ok(device) => device,
            Err(e) if *what == Holding::Data => return Err(e),
            Err(e) => {
                problems.push(format!("{}: {e}", path.display()));
                continue;
            }
        };
        let sum = memory.sums.get(path);
        let folder = Folder {
            what: *what,
            path: path.display().to_string(),
            bytes: sum.map(|(b, _)| *b),
            complete: sum.is_some_and(|(_, c)| *c),
        };
        if let Some(known) = volumes.iter_mut().find(|v| v.device == device) {
            known.holds.push(folder);
            continue;
        }
        let mut volume = match measure(path, device, &mounts) {
            Ok(volume) => volume,
            Err(e) if *what == Holding::Data => return Err(e),
            Err(e) => {
                problems.push(format!("{}: {e}", path.display()));
                continue;
            }
        };
        volume.holds.push(folder);
        volumes.push(volume);
    }
    memory
        .used
        .retain(|device, _| volumes.iter().any(|v| v.device == *device));
    for v in &mut volumes {
        let history = memory.used.entry(v.device).or_default();
        v.slope = remember(history, now, v.size.saturating_sub(v.free));
    }
    let disks = Disks {
        wal_seen: volumes.iter().any(|v| v.holds(Holding::Wal)),
        volumes,
        segment: at.segment,
    };
    Ok((disks, problems))
}

fn measure(path: &Path, device: u64, mounts: &str) -> io::Result<Volume> {
    let s = rustix::fs::statvfs(path)?;
    let unit = s.f_frsize.max(1);
    let (all, free, available) = (s.f_blocks, s.f_bfree, s.f_bavail);
    let shown = path.display().to_string();
    let real = fs::canonicalize(path).map_or_else(|_| shown.clone(), |p| p.display().to_string());
    Ok(Volume {
        mount: kernel::mount(mounts, &real).unwrap_or(shown),
        device,
        // What only the superuser may fill is nobody's: as `df` counts it.
        size: (all.saturating_sub(free) + available).saturating_mul(unit),
        free: available.saturating_mul(unit),
        inodes: (s.f_files > 0).then_some((s.f_favail, s.f_files)),
        holds: Vec::new(),
        slope: None,
    })
}

/// Folders of temporary files below a data folder or tablespace.
fn temporary(what: Holding, path: &Path) -> Vec<PathBuf> {
    let below = match what {
        Holding::Data => vec![path.join("base/pgsql_tmp")],
        _ => fs::read_dir(path)
            .into_iter()
            .flatten()
            .take(TABLESPACES)
            .flatten()
            .map(|e| e.path().join("pgsql_tmp"))
            .collect(),
    };
    below.into_iter().filter(|p| p.is_dir()).collect()
}

/// Adds up every folder without those of the others inside it.
fn sum(folders: &[(Holding, PathBuf)], memory: &mut Memory) {
    let mut left = FILES;
    memory.sums.clear();
    // The data folder last: it is the largest, and the others say more.
    for (_, path) in folders.iter().rev() {
        let others: Vec<&Path> = folders
            .iter()
            .map(|(_, p)| p.as_path())
            .filter(|p| p != path)
            .collect();
        let mut bytes = 0;
        let complete = walk(path, &others, &mut bytes, &mut left, 0);
        memory.sums.insert(path.clone(), (bytes, complete));
    }
}

fn walk(path: &Path, others: &[&Path], bytes: &mut u64, left: &mut usize, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(path) else {
        return false;
    };
    let mut complete = true;
    for entry in entries {
        if *left == 0 || depth > 8 {
            return false;
        }
        *left -= 1;
        let Ok(entry) = entry else {
            complete = false;
            continue;
        };
        // Not through links: what they point to is counted where it lies. Gone meanwhile: not there any more.
        let Ok(meta) = entry.metadata() else {
            continue;
        };
        if !meta.is_dir() {
            *bytes += meta.blocks() * 512;
        } else if !others.contains(&entry.path().as_path()) {
            complete &= walk(&entry.path(), others, bytes, left, depth + 1);
        }
    }
    complete
}

/// Takes a sample; the growth over what is remembered.
#[allow(clippy::cast_precision_loss)]
fn remember(history: &mut VecDeque<(Time, u64)>, now: Time, used: u64) -> Option<Slope> {
    while history.front().is_some_and(|(t, _)| now.since(*t) > HISTORY) {
        history.pop_front();
    }
    let slope = history.front().filter(|(t, _)| *t < now).map(|(first, was)| {
        let over = now.since(*first);
        let grown = used as f64 - *was as f64;
        let half = Span::from_millis(over.millis() / 2);
        let middle = history
            .iter()
            .min_by_key(|(t, _)| t.since(*first).millis().abs_diff(half.millis()))
            .map_or(*was, |(_, u)| *u);
        let early = middle as f64 - *was as f64;
        let quarter = grown / 4.0;
        Slope {
            per_hour: grown / (over.millis().max(1) as f64 / 3_600_000.0),
            over,
            steady: grown > 0.0 && early >= quarter && grown - early >= quarter,
        }
    });
    if history.back().is_none_or(|(t, _)| now.since(*t) >= APART) {
        history.push_back((now, used));
    }
    slope
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_are_added_up_apart_and_a_linked_wal_is_found() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path().canonicalize().expect("path");
        let (data, wal) = (root.join("data"), root.join("elsewhere"));
        fs::create_dir_all(data.join("base/pgsql_tmp")).expect("dir");
        fs::create_dir_all(data.join("log")).expect("dir");
        fs::create_dir(&wal).expect("dir");
        symlink(&wal, data.join("pg_wal")).expect("link");
        let write =
            |path: PathBuf, kilobytes: usize| fs::write(path, vec![1; kilobytes * 1024]).expect("write");
        write(data.join("base/1"), 64);
        write(data.join("base/pgsql_tmp/x"), 32);
        write(data.join("log/x.log"), 16);
        write(wal.join("000"), 128);
        let at = Where {
            data: data.clone(),
            log: Some(data.join("log")),
            segment: 16 << 20,
        };
        let mut memory = Memory::default();
        let (disks, problems) = read(&at, &mut memory, Time::from_millis(0), true).expect("read");
        assert_eq!(problems, [""; 0]);
        assert!(
            disks.wal_seen && disks.volumes.len() == 1,
            "one device, one volume: {disks:?}"
        );
        let v = &disks.volumes[0];
        assert!(v.size > v.free && v.free > 0 && !v.mount.is_empty());
        let held = |what: Holding| {
            v.holds
                .iter()
                .find(|h| h.what == what)
                .and_then(|h| h.bytes)
                .expect("sum")
        };
        assert_eq!((held(Holding::Wal) / 1024, held(Holding::Log) / 1024), (128, 16));
        assert_eq!((held(Holding::Temp) / 1024, held(Holding::Data) / 1024), (32, 64));
        assert!(v.holds.iter().all(|h| h.complete));
        fs::remove_file(data.join("pg_wal")).expect("remove");
        let (disks, problems) = read(&at, &mut memory, Time::from_millis(1), false).expect("read");
        assert!(!disks.wal_seen && problems[0].contains("pg_wal"), "{problems:?}");
        assert!(read(&Where::default(), &mut memory, Time::from_millis(1), false).is_err());
    }

    #[test]
    fn a_trend_is_steady_and_a_burst_is_not() {
        let fill = |used: &dyn Fn(u64) -> u64| {
            let mut history = VecDeque::new();
            let mut last = None;
            for s in 0..=600u64 {
                last = remember(
                    &mut history,
                    Time::from_millis(i64::try_from(s).expect("fits") * 1000),
                    used(s),
                );
            }
            assert!(history.len() <= 61);
            last.expect("slope")
        };
        let steady = fill(&|s| 1_000_000 + s * 1000);
        assert!(
            steady.steady && (steady.per_hour - 3_600_000.0).abs() < 1.0,
            "{steady:?}"
        );
        assert!(
            !fill(&|s| if s > 500 { 9_000_000 } else { 1_000_000 }).steady,
            "a file was copied"
        );
        assert!(!fill(&|s| if s > 50 { 9_000_000 } else { 1_000_000 }).steady);
        assert!(!fill(&|s| 9_000_000 - s).steady, "it empties");
    }
}
