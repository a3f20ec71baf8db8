//! The ends of a file and of those that were rotated away before it: so many bytes and no more, the newest.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use muster_model::Time;

use super::{Lack, SECTION_BYTES};

/// Entries of a folder that are looked through.
const MOST_FILES: usize = 2000;

/// The ends, the oldest first.
pub(super) struct Tail {
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    pub(super) cut: bool,
    pub(super) written: Option<Time>,
    pub(super) note: Option<String>,
    pub(super) lack: Option<Lack>,
}

impl Tail {
    pub(super) fn read(path: &Path, since: Time, sibling: impl Fn(&str, &str) -> bool) -> Result<Self, Lack> {
        let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        // Opening a pipe would wait for a writer.
        if !meta.is_file() {
            return Err(Lack::new(
                format!("{} is not a file", path.display()),
                Some("name the file that the application writes"),
            ));
        }
        let mut out = Self {
            files: Vec::new(),
            cut: false,
            written: meta.modified().ok().and_then(time),
            note: None,
            lack: None,
        };
        let own = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut older: Vec<(SystemTime, PathBuf)> = Vec::new();
        let mut packed = 0;
        let folder = path.parent().map(std::fs::read_dir);
        for entry in folder.into_iter().flatten().flatten().take(MOST_FILES).flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(modified) = entry
                .metadata()
                .ok()
                .filter(|m| m.is_file())
                .and_then(|m| m.modified().ok())
            else {
                continue;
            };
            if name == own || !sibling(&name, &own) || time(modified).is_none_or(|t| t < since) {
                continue;
            }
            if [".gz", ".zst", ".xz", ".bz2"].iter().any(|e| name.ends_with(e)) {
                packed += 1;
            } else {
                older.push((modified, entry.path()));
            }
        }
        older.sort();
        older.reverse();
        let mut budget = SECTION_BYTES as u64;
        for path in std::iter::once(path.to_owned()).chain(older.into_iter().map(|(_, p)| p)) {
            if budget == 0 {
                out.cut = true;
                break;
            }
            match end_of(&path, budget) {
                Ok((bytes, cut)) => {
                    budget -= bytes.len() as u64;
                    out.files.push((path, bytes));
                    // An older file behind what was left out would look as if nothing were missing.
                    if cut {
                        out.cut = true;
                        break;
                    }
                }
                Err(e) if out.files.is_empty() => return Err(unreadable(&path, &e)),
                Err(e) => out.lack = Some(unreadable(&path, &e)),
            }
        }
        out.files.reverse();
        if packed > 0 {
            out.note = Some(format!(
                "{packed} compressed older files of this time were not read"
            ));
        }
        Ok(out)
    }
}

/// At most so many bytes of the end, beginning with a whole line.
fn end_of(path: &Path, most: u64) -> std::io::Result<(Vec<u8>, bool)> {
    let mut file = File::open(path)?;
    let long = file.metadata()?.len();
    let from = long.saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    if from > 0 {
        let whole = bytes
            .iter()
            .position(|b| *b == b'\n')
            .map_or(bytes.len(), |i| i + 1);
        bytes.drain(..whole);
    }
    Ok((bytes, from > 0))
}

fn unreadable(path: &Path, e: &std::io::Error) -> Lack {
    let remedy = match e.kind() {
        std::io::ErrorKind::PermissionDenied => "let Muster's user read it",
        std::io::ErrorKind::NotFound => "correct the path in the config",
        _ => "look at the file and its storage",
    };
    let why = match e.kind() {
        std::io::ErrorKind::PermissionDenied => "may not be read".to_owned(),
        std::io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => e.to_string(),
    };
    Lack::new(format!("{} {why}", path.display()), Some(remedy))
}

fn time(at: SystemTime) -> Option<Time> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Time::from_millis(i64::try_from(since.as_millis()).ok()?))
}
