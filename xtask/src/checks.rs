//! `xtask test`: what CI runs, in the order in which it fails cheapest.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{children, place, provide};

/// Runs it all. The first thing that fails ends it.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<ExitCode> {
    let (lint, filters) = split(args);
    let provided = provide::all()?;
    provided.print();
    // A test that is skipped without a word would count as passed.
    let all = !args.iter().any(|a| a == "--allow-missing");
    if all && !provided.missing.is_empty() {
        bail!(
            "a program is missing (see above), so tests would be skipped; `--allow-missing` runs the others"
        );
    }
    let cargo = place::cargo();
    if lint {
        for words in lints(children::works(&[&cargo, "deny", "--version"])) {
            step(&with_cargo(&cargo, &words), root, all)?;
        }
    }
    let nextest = children::works(&[&cargo, "nextest", "--version"]);
    step(&with_cargo(&cargo, &tests(nextest, &filters)), root, all)?;
    Ok(ExitCode::SUCCESS)
}

fn with_cargo<'a>(cargo: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    std::iter::once(cargo).chain(words.iter().copied()).collect()
}

fn step(argv: &[&str], root: &Path, all: bool) -> Result<()> {
    println!("xtask: cargo {}", argv[1..].join(" "));
    let env: &[(&str, &str)] = if all {
        &[("MUSTER_TEST_REQUIRE_ALL", "1")]
    } else {
        &[]
    };
    let status = children::status(argv, Some(root), env)?;
    if !status.success() {
        bail!("`cargo {}` failed: {status}", argv[1..].join(" "));
    }
    Ok(())
}

/// Whether to lint, and the filters.
fn split(args: &[String]) -> (bool, Vec<&str>) {
    let lint = !args.iter().any(|a| a == "--no-lint");
    let filters = args
        .iter()
        .map(String::as_str)
        .filter(|a| !["--no-lint", "--allow-missing"].contains(a));
    (lint, filters.collect())
}

fn lints(deny: bool) -> Vec<Vec<&'static str>> {
    let mut all = vec![
        vec!["fmt", "--all", "--check"],
        vec!["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ];
    if deny {
        // Not `advisories`: it needs the network, and an advisory of today must not fail a change of yesterday.
        all.push(vec!["deny", "check", "bans", "licenses", "sources"]);
    }
    all
}

fn tests<'a>(nextest: bool, filters: &[&'a str]) -> Vec<&'a str> {
    let mut words = if nextest {
        vec!["nextest", "run", "--workspace"]
    } else {
        vec!["test", "--workspace"]
    };
    if !nextest && !filters.is_empty() {
        // `cargo test` takes one filter itself; any number goes to the test binaries.
        words.push("--");
    }
    words.extend(filters);
    words
}

#[cfg(test)]
mod tests_of_checks {
    use super::*;

    #[test]
    fn arguments_split_into_the_switch_and_filters() {
        let args = ["a".to_owned(), "--no-lint".to_owned(), "b".to_owned()];
        assert_eq!(split(&args), (false, vec!["a", "b"]));
        assert_eq!(split(&[]), (true, vec![]));
    }

    #[test]
    fn deny_runs_only_where_it_is() {
        assert_eq!(lints(false).len(), 2);
        assert_eq!(lints(true)[2], ["deny", "check", "bans", "licenses", "sources"]);
    }

    #[test]
    fn filters_reach_both_runners() {
        assert_eq!(
            tests(true, &["a", "b"]),
            ["nextest", "run", "--workspace", "a", "b"]
        );
        assert_eq!(tests(false, &["a", "b"]), ["test", "--workspace", "--", "a", "b"]);
        assert_eq!(tests(false, &[]), ["test", "--workspace"]);
    }

    #[test]
    fn a_failing_step_is_an_error() {
        let root = place::root().expect("a root");
        let error = step(&["false", "x"], &root, true).expect_err("it must fail");
        assert!(error.to_string().contains("`cargo x` failed"));
    }
}
