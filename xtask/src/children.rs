//! Running other programs: always an argument vector, never a shell, never with our standard input.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// A command whose standard input is empty, so that nothing can wait for an answer.
pub(crate) fn command(argv: &[&str], dir: Option<&Path>) -> Result<Command> {
    let (program, args) = argv.split_first().context("no program to run")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    Ok(command)
}

/// Runs it with our output, and says how it ended.
pub(crate) fn status(argv: &[&str], dir: Option<&Path>, env: &[(&str, &str)]) -> Result<ExitStatus> {
    let mut command = command(argv, dir)?;
    command.envs(env.iter().copied());
    command
        .status()
        .with_context(|| format!("`{}` cannot be started", argv.join(" ")))
}

/// Runs it with our output; an error when it fails.
pub(crate) fn must(argv: &[&str], dir: Option<&Path>) -> Result<()> {
    let status = status(argv, dir, &[])?;
    if !status.success() {
        bail!("`{}` failed: {status}", argv.join(" "));
    }
    Ok(())
}

/// What it prints; an error with its complaint when it fails.
pub(crate) fn output(argv: &[&str], dir: Option<&Path>) -> Result<String> {
    let output = command(argv, dir)?
        .output()
        .with_context(|| format!("`{}` cannot be started", argv.join(" ")))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed: {}: {}",
            argv.join(" "),
            output.status,
            complaint.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether it works at all; its output is of no interest.
pub(crate) fn works(argv: &[&str]) -> bool {
    output(argv, None).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_the_complaint() {
        let error = output(&["ls", "--no-such-option"], None).expect_err("it must fail");
        let text = format!("{error:#}");
        assert!(text.contains("`ls --no-such-option` failed"), "{text}");
        assert!(!works(&["/no/such/program"]));
        assert!(works(&["true"]));
    }
}
