//! The laws of the house (ARCHITECTURE.md) and its checks, each a pure function of a tree of files.
//!
//! Knows names, edges and sizes. Refuses to judge what a compiler or clippy judges better.

mod banned_crates;
mod beginnings;
mod edges;
mod lexer;
mod licences;
mod machine_paths;
mod names;
mod pages;
mod purity;
mod sizes;
mod tree;
mod troubles;
mod unfinished;
mod words;
mod writers;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use tree::{Finding, Tree};

/// `xtask tidy`.
pub(crate) fn command(root: &Path) -> Result<ExitCode> {
    let findings = look(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing to say");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} to put right", findings.len());
    Ok(ExitCode::FAILURE)
}

/// Every check, on what git would commit.
fn look(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    for check in [
        edges::check,
        purity::check,
        writers::check,
        words::check,
        pages::check,
        troubles::check,
        sizes::check,
        names::check,
        unfinished::check,
        beginnings::check,
        machine_paths::check,
        banned_crates::check,
    ] {
        findings.extend(check(&tree));
    }
    findings.extend(licences::check(root));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let root = crate::place::root().expect("a root");
        let findings = look(&root).expect("it can be read");
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
