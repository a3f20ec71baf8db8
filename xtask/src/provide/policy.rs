//! `/usr/sbin/policy-rc.d`: the file that keeps Debian's packages from starting their services.
//!
//! Writes one only where there is none, and takes away only its own. One that a killed run left behind is known by its
//! comment and taken away by the next.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::packages::as_root;
use crate::children;

/// Where it is.
pub(super) const PATH: &str = "/usr/sbin/policy-rc.d";

/// 101: "action forbidden by policy".
const TEXT: &str = "#!/bin/sh\n# Temporary, by `cargo xtask provide` of Muster: no service starts while it installs.\nexit 101\n";

/// What stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Nothing: we may write one.
    Absent,
    /// Ours, of a run that was killed.
    Ours,
    /// Somebody else's: not to be touched.
    Foreign,
}

/// Looks.
pub(super) fn look(path: &Path) -> Policy {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Policy::Absent,
        Ok(_) if fs::read_to_string(path).is_ok_and(|text| text == TEXT) => Policy::Ours,
        _ => Policy::Foreign,
    }
}

/// The file for as long as this lives.
pub(super) struct Guard {
    root: bool,
}

impl Guard {
    /// Puts it there. `install` sets content and mode in one step, as root or through sudo. `scratch` is a folder of
    /// ours: in `/tmp` another user could put a file of that name first, and root would run it.
    pub(super) fn put(root: bool, scratch: &Path) -> Result<Self> {
        let source = scratch.join(format!(".policy-rc.d.{}", std::process::id()));
        fs::write(&source, TEXT).with_context(|| format!("{} cannot be written", source.display()))?;
        let from = source.to_string_lossy().into_owned();
        let argv = as_root(root, &["install", "-m", "755", &from, PATH]);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        // From here on it may stand there, even when what follows fails.
        let guard = Self { root };
        let result = children::output(&argv, None);
        fs::remove_file(&source).ok();
        result.context("policy-rc.d cannot be written")?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        remove_ours(self.root);
    }
}

/// Takes ours away, and says so when that fails: a left-over file keeps every later package from starting a service.
pub(super) fn remove_ours(root: bool) {
    if look(Path::new(PATH)) != Policy::Ours {
        return;
    }
    let argv = as_root(root, &["rm", "-f", PATH]);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    if let Err(error) = children::output(&argv, None) {
        eprintln!(
            "xtask: {PATH} is ours and could not be removed ({error:#}); remove it with `sudo rm {PATH}`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_somebody_else_is_never_taken_for_ours() {
        let path = std::env::temp_dir().join(format!("muster-xtask-policy-{}", std::process::id()));
        assert_eq!(look(&path), Policy::Absent);
        fs::write(&path, "#!/bin/sh\nexit 101\n").expect("a file");
        let foreign = look(&path);
        fs::write(&path, TEXT).expect("a file");
        let ours = look(&path);
        fs::remove_file(&path).expect("ours to remove");
        assert_eq!((foreign, ours), (Policy::Foreign, Policy::Ours));
    }
}
