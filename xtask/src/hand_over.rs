//! The commands that build `muster` and become it: `up`, `bench`, `docs`.
//!
//! They `exec`, so that signals, the terminal and the exit code are Muster's own.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{children, place, provide};

/// `xtask up`: a missing program does not stop it, `muster up` says what it can do without.
pub(crate) fn up(root: &Path, args: &[String]) -> Result<ExitCode> {
    provide::all()?.print();
    become_muster(root, false, &["up"], args)
}

/// `xtask bench NAME`.
pub(crate) fn bench(root: &Path, args: &[String]) -> Result<ExitCode> {
    if args.first().is_none_or(|a| a.starts_with('-')) {
        bail!("name the benchmark: `cargo xtask bench NAME`");
    }
    become_muster(root, true, &["bench"], args)
}

/// `xtask docs`: writes, unless the arguments say otherwise.
pub(crate) fn docs(root: &Path, args: &[String]) -> Result<ExitCode> {
    let words: &[&str] = if args.is_empty() {
        &["docs", "--write"]
    } else {
        &["docs"]
    };
    become_muster(root, false, words, args)
}

fn become_muster(root: &Path, release: bool, words: &[&str], args: &[String]) -> Result<ExitCode> {
    let cargo = place::cargo();
    let mut build = vec![cargo.as_str(), "build", "--package", "muster"];
    if release {
        build.push("--release");
    }
    children::must(&build, Some(root))?;
    let profile = if release { "release" } else { "debug" };
    let program = place::target_dir(root)?.join(profile).join("muster");
    // Only returns when it could not be started.
    let error = Command::new(&program).args(words).args(args).exec();
    Err(error).with_context(|| format!("{} cannot be started", program.display()))
}
