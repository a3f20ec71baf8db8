//! The licences of what we build on, read from `cargo metadata`. cargo-deny checks the same where it is installed.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::tree::Finding;
use crate::{children, place};

/// `BSD-*` too.
const ALLOWED: [&str; 12] = [
    "MIT-0",
    "MIT",
    "Apache-2.0",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "MPL-2.0",
    "CC0-1.0",
    "Unlicense",
    "0BSD",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// None for ours.
    source: Option<String>,
}

pub(super) fn check(root: &Path) -> Vec<Finding> {
    match read(root) {
        Ok(metadata) => judge(&metadata),
        Err(error) => vec![Finding::new(
            "Cargo.lock",
            1,
            "licences",
            format!("they cannot be read: {error:#}"),
            "run `cargo fetch` once with a network",
        )],
    }
}

/// What cargo has already is enough in most places; the packages of other platforms may have to be fetched.
fn read(root: &Path) -> Result<Metadata> {
    let cargo = place::cargo();
    let words = [cargo.as_str(), "metadata", "--format-version", "1"];
    let offline: Vec<&str> = words.iter().copied().chain(["--offline"]).collect();
    let text = children::output(&offline, Some(root)).or_else(|_| children::output(&words, Some(root)))?;
    serde_json::from_str(&text).context("cargo metadata is not as expected")
}

fn judge(metadata: &Metadata) -> Vec<Finding> {
    let others = metadata.packages.iter().filter(|p| p.source.is_some());
    let refused = others.filter(|p| !p.license.as_deref().is_some_and(allowed));
    refused
        .map(|p| {
            let licence = p.license.as_deref().unwrap_or("no licence");
            Finding::new(
                "Cargo.lock",
                1,
                "licences",
                format!("{} {} has `{licence}`", p.name, p.version),
                "use another crate, or have the licence allowed in deny.toml and xtask/src/tidy/licences.rs",
            )
        })
        .collect()
}

/// Whether an SPDX expression can be met with what is allowed. `/` is the old way to write OR.
fn allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any(&tokens, &mut at);
    met && at == tokens.len()
}

fn any(tokens: &[&str], at: &mut usize) -> bool {
    let mut met = every(tokens, at);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= every(tokens, at);
    }
    met
}

fn every(tokens: &[&str], at: &mut usize) -> bool {
    let mut met = one(tokens, at);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at);
    }
    met
}

fn one(tokens: &[&str], at: &mut usize) -> bool {
    let Some(token) = tokens.get(*at) else {
        return false;
    };
    *at += 1;
    if *token == "(" {
        let met = any(tokens, at);
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    if tokens.get(*at) == Some(&"WITH") {
        *at += 2; // an exception only gives more freedom
    }
    ALLOWED.contains(token) || token.starts_with("BSD-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_what_is_allowed() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
            "BSD-3-Clause",
            "GPL-2.0 OR MIT AND ISC",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR ISC) AND AGPL-3.0",
            "",
            "MIT AND",
            "(MIT",
            "MIT ISC",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_crate_with_another_licence_or_none_is_found_and_ours_are_not() {
        let package = |license: Option<&str>, source: Option<&str>| Package {
            name: "x".to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        let packages = vec![
            package(Some("MIT"), Some("registry")),
            package(Some("GPL-3.0"), Some("registry")),
            package(None, Some("registry")),
            package(None, None),
        ];
        assert_eq!(judge(&Metadata { packages }).len(), 2);
    }
}
