//! The processes of a server: who its lock file names, and how much memory its backends have for themselves.
//!
//! Anonymous memory (`RssAnon`) is what a backend has for itself: shared buffers that it touched are not in it, unlike in its
//! resident size. The proportional size would say the same, but costs a walk over the page tables under a lock of the
//! process, and only its owner may ask.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;

use muster_model::snapshot::{BackendMemory, Postmaster};
use muster_model::{Span, Time};

use super::kernel;

/// Processes that are looked at.
const MOST: usize = 2000;
/// Entries of `/proc` that are passed through for the children of a process.
const PROC: usize = 50_000;
/// Processes that are shown: the largest, and those that grow most.
const SHOWN: usize = 20;
/// How long memory is remembered, and how far apart samples are.
const HISTORY: Span = Span::from_mins(185);
const APART: Span = Span::from_mins(5);

/// What processes had before: by number and start time.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<(i32, u64), VecDeque<(Time, u64)>>);

/// All processes of a server together, and the ones worth showing.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) shown: Vec<BackendMemory>,
    pub(crate) count: u32,
    pub(crate) own: u64,
}

/// The process that a data folder's lock file names.
///
/// # Errors
/// When there is a file and it may not be read.
pub(crate) fn postmaster(data: &Path) -> std::io::Result<Postmaster> {
    let text = match fs::read_to_string(data.join("postmaster.pid")) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Postmaster::default()),
        Err(e) => return Err(e),
    };
    // A standalone backend writes its number below zero.
    let pid = text
        .lines()
        .next()
        .and_then(|l| l.trim().parse::<i32>().ok()?.checked_abs());
    Ok(Postmaster {
        pid,
        serves: pid.and_then(|pid| serves(pid, data)),
    })
}

/// Whether a process is alive and a PostgreSQL of this folder; `None` when it cannot be told.
fn serves(pid: i32, data: &Path) -> Option<bool> {
    // Nothing is known of processes where there is no /proc.
    fs::metadata("/proc/self").ok()?;
    let folder = Path::new("/proc").join(pid.to_string());
    let Ok(stat) = fs::read_to_string(folder.join("stat")) else {
        return Some(false);
    };
    let name = stat
        .split_once('(')
        .and_then(|(_, r)| r.rsplit_once(") "))
        .map(|(n, rest)| (n, rest.starts_with('Z')));
    let (name, dead) = name?;
    if dead || !(name.starts_with("postgres") || name.starts_with("postmaster")) {
        return Some(false);
    }
    // A PostgreSQL works in its data folder; only its owner may see which that is.
    match (fs::read_link(folder.join("cwd")), fs::canonicalize(data)) {
        (Ok(works_in), Ok(data)) => Some(works_in == data),
        _ => Some(true),
    }
}

/// Memory of a postmaster's children.
pub(crate) fn sizes(postmaster: i32, memory: &mut Memory, now: Time) -> Sizes {
    let mut all = Vec::new();
    let mut seen = BTreeMap::new();
    for pid in children(postmaster).into_iter().take(MOST) {
        let folder = Path::new("/proc").join(pid.to_string());
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        let Some((_, started)) = kernel::parent(&read("stat")) else {
            continue;
        };
        let status = read("status");
        let Some(resident) = kernel::kilobytes(&status, "VmRSS") else {
            continue;
        };
        let Some(own) = kernel::kilobytes(&status, "RssAnon") else {
            continue;
        };
        let mut history = memory.0.remove(&(pid, started)).unwrap_or_default();
        let (per_hour, over) = growth(&mut history, now, own);
        seen.insert((pid, started), history);
        all.push(BackendMemory {
            pid,
            own,
            resident,
            per_hour,
            over,
        });
    }
    memory.0 = seen;
    let mut out = Sizes {
        count: u32::try_from(all.len()).unwrap_or(u32::MAX),
        own: all.iter().map(|b| b.own).sum(),
        shown: Vec::new(),
    };
    all.sort_by(|a, b| b.per_hour.unwrap_or(0.0).total_cmp(&a.per_hour.unwrap_or(0.0)));
    let mut rest = all.split_off(all.len().min(SHOWN / 2));
    rest.sort_by_key(|b| std::cmp::Reverse(b.own));
    rest.truncate(SHOWN / 2);
    all.extend(rest);
    all.sort_by_key(|b| (std::cmp::Reverse(b.own), b.pid));
    out.shown = all;
    out
}

fn children(postmaster: i32) -> Vec<i32> {
    let lists: Option<String> = fs::read_dir(format!("/proc/{postmaster}/task"))
        .ok()
        .and_then(|tasks| {
            let list = |t: fs::DirEntry| fs::read_to_string(t.path().join("children")).ok();
            tasks.flatten().map(list).collect()
        });
    if let Some(text) = lists {
        return text.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    }
    // Not every kernel keeps that list.
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .take(PROC)
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            kernel::parent(&stat).is_some_and(|(parent, _)| parent == postmaster)
        })
        .collect()
}

/// Takes a sample. The growth an hour is the smallest of three thirds of the time: a cache that fills and stays is no leak.
#[allow(clippy::cast_precision_loss)]
fn growth(history: &mut VecDeque<(Time, u64)>, now: Time, own: u64) -> (Option<f64>, Span) {
    while history.front().is_some_and(|(t, _)| now.since(*t) > HISTORY) {
        history.pop_front();
    }
    let first = history.front().copied();
    let over = first.map_or(Span::ZERO, |(t, _)| now.since(t));
    let per_hour = first
        .filter(|_| history.len() >= 3 && over >= APART)
        .map(|(start, was)| {
            let at = |share: u64| {
                let wanted = over.millis() * share / 3;
                history
                    .iter()
                    .min_by_key(|(t, _)| t.since(start).millis().abs_diff(wanted))
                    .copied()
                    .unwrap_or((start, was))
            };
            let points = [(start, was), at(1), at(2), (now, own)];
            points
                .windows(2)
                .map(|w| {
                    let hours = w[1].0.since(w[0].0).millis().max(1) as f64 / 3_600_000.0;
                    (w[1].1 as f64 - w[0].1 as f64) / hours
                })
                .fold(f64::INFINITY, f64::min)
        });
    if history.back().is_none_or(|(t, _)| now.since(*t) >= APART) {
        history.push_back((now, own));
    }
    (per_hour, over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_growth_is_measured_and_a_cache_that_filled_is_none() {
        let grow = |own: &dyn Fn(u64) -> u64| {
            let mut history = VecDeque::new();
            let mut last = (None, Span::ZERO);
            for minute in 0..=200u64 {
                let now = Time::from_millis(i64::try_from(minute).expect("fits") * 60_000);
                last = growth(&mut history, now, own(minute));
            }
            last
        };
        let (leak, over) = grow(&|m| 100_000_000 + m * 1_000_000);
        assert!(
            (leak.expect("slope") - 60_000_000.0).abs() < 2_000_000.0,
            "{leak:?}"
        );
        assert!(over >= Span::from_mins(180), "{over:?}");
        let (filled, _) = grow(&|m| if m < 30 { 1_000_000 } else { 400_000_000 });
        assert!(filled.expect("slope") < 1.0, "{filled:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_lock_file_that_names_somebody_else_names_no_server() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(postmaster(dir.path()).expect("read"), Postmaster::default());
        let own = i32::try_from(std::process::id()).expect("pid");
        fs::write(dir.path().join("postmaster.pid"), format!("{own}\n/x\n")).expect("write");
        let said = postmaster(dir.path()).expect("read");
        assert_eq!(
            (said.pid, said.serves),
            (Some(own), Some(false)),
            "we are no PostgreSQL"
        );
        fs::write(dir.path().join("postmaster.pid"), "999999999\n").expect("write");
        assert_eq!(postmaster(dir.path()).expect("read").serves, Some(false));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn children_of_a_process_are_found_with_their_memory() {
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("starts");
        let own = i32::try_from(std::process::id()).expect("pid");
        let pid = i32::try_from(child.id()).expect("pid");
        let mut memory = Memory::default();
        let all = sizes(own, &mut memory, Time::from_millis(0));
        let _ = child.kill();
        let _ = child.wait();
        assert!(
            all.count >= 1 && all.shown.iter().any(|b| b.pid == pid && b.resident >= b.own),
            "{all:?}"
        );
    }
}
