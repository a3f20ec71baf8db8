//! Where things are: the checkout, cargo, its target folder and the cache of fetched programs.
//!
//! Refuses to create anything: whoever writes there makes the folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::children;

/// The checkout. The run-time variable comes first: a binary that was built elsewhere must not look there.
pub(crate) fn root() -> Result<PathBuf> {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.ends_with("xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let root = own.parent().context("the xtask folder has no parent")?;
    Ok(root.to_owned())
}

/// The cargo that started us, so that the toolchain is the same.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir(root: &Path) -> Result<PathBuf> {
    let text = children::output(
        &[&cargo(), "metadata", "--no-deps", "--format-version", "1"],
        Some(root),
    )?;
    let json: serde_json::Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let dir = json.get("target_directory").and_then(|v| v.as_str());
    Ok(PathBuf::from(
        dir.context("cargo metadata names no target_directory")?,
    ))
}

/// Whether we are root. Asked of `id`, because the standard library cannot say.
pub(crate) fn is_root() -> bool {
    children::output(&["id", "-u"], None).is_ok_and(|uid| uid.trim() == "0")
}

/// The cache of fetched programs.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    choose_cache(
        var("MUSTER_CACHE_DIR"),
        is_root(),
        var("XDG_CACHE_HOME"),
        var("HOME"),
    )
    .context("no cache folder: set HOME or MUSTER_CACHE_DIR")
}

/// Root's cache is not in its home: the servers run as another user, who could not read it there.
fn choose_cache(
    given: Option<PathBuf>,
    root: bool,
    xdg: Option<PathBuf>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    if given.is_some() {
        return given;
    }
    if root {
        return Some(PathBuf::from("/var/cache/muster"));
    }
    xdg.map(|x| x.join("muster"))
        .or_else(|| home.map(|h| h.join(".cache/muster")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_the_given_one_then_roots_then_the_users() {
        let p = |s: &str| Some(PathBuf::from(s));
        assert_eq!(choose_cache(p("/c"), true, p("/x"), p("/h")), p("/c"));
        assert_eq!(choose_cache(None, true, p("/x"), p("/h")), p("/var/cache/muster"));
        assert_eq!(choose_cache(None, false, p("/x"), p("/h")), p("/x/muster"));
        assert_eq!(choose_cache(None, false, None, p("/h")), p("/h/.cache/muster"));
        assert_eq!(choose_cache(None, false, None, None), None);
    }

    #[test]
    fn the_root_is_the_workspace() {
        let root = root().expect("a root");
        assert!(root.join("xtask/Cargo.toml").is_file());
    }
}
