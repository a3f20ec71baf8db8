//! Where a server writes its log: the file that the config names, the ones of `current_logfiles`, or of its settings.
//!
//! What is written before the server's own logging begins (a lock file that is in the way, a data folder of another version)
//! goes to its standard error, so the file of the config is read beside the one of the collector.

use std::fs;
use std::path::{Path, PathBuf};

use muster_model::snapshot::LogFormat;

/// Settings of a server that say where and how it logs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSettings {
    /// `log_destination`.
    pub destination: String,
    /// `logging_collector`.
    pub collector: bool,
    /// `log_directory`; hidden from most roles.
    pub directory: Option<String>,
    /// `log_line_prefix`.
    pub prefix: String,
    /// `log_timezone`.
    pub timezone: String,
    /// `lc_messages`.
    pub messages: String,
    /// `log_min_duration_statement`.
    pub min_duration: Option<i64>,
    /// `log_min_duration_sample`.
    pub sample_min: Option<i64>,
    /// `log_statement_sample_rate`.
    pub sample_rate: f64,
    /// `log_transaction_sample_rate`.
    pub transaction_rate: f64,
    /// Why what these say is not what counts for everybody.
    pub durations_apart: Option<String>,
    /// `data_directory`; hidden from most roles.
    pub data_directory: Option<PathBuf>,
    /// `wal_segment_size`.
    pub segment: u64,
}

/// A log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path.
    pub path: PathBuf,
    /// How it is written.
    pub format: LogFormat,
}

/// Why there is none, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nowhere {
    /// Why.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

/// Entries of a folder that are looked through for the newest file.
const MOST: usize = 2000;

/// The files to follow.
///
/// # Errors
/// When there is none.
pub fn find(
    data: Option<&Path>,
    named: Option<&Path>,
    settings: Option<&LogSettings>,
) -> Result<Vec<Place>, Nowhere> {
    let mut out: Vec<Place> = Vec::new();
    if let Some(path) = named {
        let file = if path.is_dir() {
            newest(path)
        } else {
            Some(path.to_owned())
        };
        out.extend(file.map(|path| Place {
            format: by_name(&path),
            path,
        }));
    }
    let collects = settings.is_none_or(|s| s.collector);
    let mut denied = None;
    if let Some(data) = data.filter(|_| collects) {
        let folder = settings
            .and_then(|s| s.directory.as_deref())
            .map(|d| data.join(d));
        let own = match fs::read_to_string(data.join("current_logfiles")) {
            Ok(text) => current(data, &text),
            Err(e) => {
                if e.kind() == std::io::ErrorKind::PermissionDenied {
                    denied = Some(data.join("current_logfiles"));
                }
                folder.and_then(|f| newest(&f)).map(|path| Place {
                    format: by_name(&path),
                    path,
                })
            }
        };
        let real = |p: &Path| p.canonicalize().unwrap_or_else(|_| p.to_owned());
        out.extend(own.filter(|o| out.iter().all(|p| real(&p.path) != real(&o.path))));
    }
    if out.is_empty() {
        return Err(nowhere(settings, denied.as_deref()));
    }
    Ok(out)
}

fn nowhere(settings: Option<&LogSettings>, denied: Option<&Path>) -> Nowhere {
    if let Some(path) = denied {
        return Nowhere {
            reason: format!("{} may not be read", path.display()),
            remedy: "give Muster's user the group of the data folder, and the folder group access".to_owned(),
        };
    }
    match settings {
        Some(s) if !s.collector && !s.destination.split(',').any(|d| d.trim() == "stderr") => Nowhere {
            reason: format!("the server logs to {} and to no file", s.destination),
            remedy: "set `log_destination = 'jsonlog'` and `logging_collector = on`".to_owned(),
        },
        Some(s) if !s.collector => Nowhere {
            reason: "the server logs to its standard error, and nobody says which file that is".to_owned(),
            remedy: "name the file as `host.log`, or set `logging_collector = on`".to_owned(),
        },
        _ => Nowhere {
            reason: "no log file was found in the data folder".to_owned(),
            remedy: "name the file as `host.log`".to_owned(),
        },
    }
}

/// `stderr log/postgresql.log`: one line a format; the one that can be read best is enough.
fn current(data: &Path, text: &str) -> Option<Place> {
    let place = |line: &str| {
        let (kind, path) = line.split_once(' ')?;
        let format = match kind {
            "jsonlog" => LogFormat::Json,
            "csvlog" => LogFormat::Csv,
            "stderr" => LogFormat::Stderr,
            _ => return None,
        };
        Some(Place {
            path: data.join(path.trim()),
            format,
        })
    };
    let rank = |f: LogFormat| match f {
        LogFormat::Json => 0,
        LogFormat::Csv => 1,
        LogFormat::Stderr => 2,
    };
    text.lines().filter_map(place).min_by_key(|p| rank(p.format))
}

fn by_name(path: &Path) -> LogFormat {
    match path.extension().and_then(|e| e.to_str()) {
        Some("json") => LogFormat::Json,
        Some("csv") => LogFormat::Csv,
        _ => LogFormat::Stderr,
    }
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let packed = |p: &Path| {
        p.extension()
            .is_some_and(|x| x == "gz" || x == "zst" || x == "xz")
    };
    let all = fs::read_dir(folder).ok()?.flatten().map(|e| e.path());
    let mut paths: Vec<PathBuf> = all.filter(|p| !packed(p)).collect();
    // Where there are that many, they are named by their time: the last names are the newest files.
    paths.sort_unstable_by(|a, b| b.cmp(a));
    let files = paths.into_iter().take(MOST).filter_map(|path| {
        let meta = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some((meta.modified().ok()?, path))
    });
    files.max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_config_and_the_best_of_the_collector_are_followed() {
        let dir = tempfile::tempdir().expect("dir");
        let data = dir.path();
        let own = data.join("log/x.json");
        fs::create_dir(data.join("log")).expect("dir");
        fs::write(
            data.join("current_logfiles"),
            "stderr log/x.log\njsonlog log/x.json\n",
        )
        .expect("write");
        let named = data.join("stderr.log");
        let found = find(Some(data), Some(&named), None).expect("found");
        let formats: Vec<_> = found.iter().map(|p| (p.path.clone(), p.format)).collect();
        assert_eq!(
            formats,
            [(named.clone(), LogFormat::Stderr), (own.clone(), LogFormat::Json)]
        );
        assert_eq!(
            find(Some(data), Some(&own), None).expect("found").len(),
            1,
            "one file, once"
        );

        let off = LogSettings {
            destination: "stderr".into(),
            ..LogSettings::default()
        };
        let found = find(Some(data), Some(&named), Some(&off)).expect("found");
        assert_eq!(found.len(), 1, "a file of former times is not followed");
        let why = find(Some(data), None, Some(&off)).expect_err("nowhere");
        assert!(
            why.reason.contains("standard error") && why.remedy.contains("host.log"),
            "{why:?}"
        );
    }

    #[test]
    fn without_a_list_the_newest_file_of_the_folder_is_taken() {
        let dir = tempfile::tempdir().expect("dir");
        let data = dir.path();
        fs::create_dir(data.join("pg_log")).expect("dir");
        let on = LogSettings {
            collector: true,
            directory: Some("pg_log".into()),
            ..LogSettings::default()
        };
        assert!(find(Some(data), None, Some(&on)).is_err());
        fs::write(data.join("pg_log/monday.log.gz"), "").expect("write");
        fs::write(data.join("pg_log/monday.csv"), "").expect("write");
        let found = find(Some(data), None, Some(&on)).expect("found");
        assert_eq!((found.len(), found[0].format), (1, LogFormat::Csv));
        for i in 0..MOST + 100 {
            fs::write(data.join(format!("pg_log/postgresql-{i:05}.log")), "").expect("write");
        }
        let found = find(Some(data), None, Some(&on)).expect("found");
        let last = format!("pg_log/postgresql-{:05}.log", MOST + 99);
        assert_eq!(found[0].path, data.join(last), "of very many files the newest");
    }
}
