//! The chores of the project, as `cargo xtask COMMAND`.
//!
//! Knows how to fetch what the project needs, run its checks and hand over to the `muster` binary. Refuses to know what
//! Muster does: it depends on no crate of ours, so that it works when they do not compile.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod checks;
mod children;
mod hand_over;
mod place;
mod provide;
mod stubs;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask COMMAND

  up [ARGS…]                 provide the programs, build, and start a real local fleet with `muster up`
  test [--no-lint] [--allow-missing] [FILTERS…]
                             provide the programs, then format, lint and run every test
  provide                    find or fetch PostgreSQL, PgBouncer and Redis
  tidy                       the laws of the house and its checks
  bench NAME [ARGS…]         build for release and run one benchmark
  docs [ARGS…]               write the reference pages and schemas
  new-collector|new-rule|new-probe|new-action|new-runbook|new-drill NAME
                             write the stub files and say what to wire";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match dispatch(&command, &rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &str, rest: &[String]) -> Result<ExitCode> {
    let root = place::root()?;
    match command {
        "up" => hand_over::up(&root, rest),
        "test" => checks::run(&root, rest),
        "provide" => provide::command(),
        "tidy" => tidy::command(&root),
        "bench" => hand_over::bench(&root, rest),
        "docs" => hand_over::docs(&root, rest),
        "" | "help" | "-h" | "--help" => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => match other.strip_prefix("new-").and_then(stubs::Kind::from_word) {
            Some(kind) => stubs::command(&root, kind, rest),
            None => bail!("there is no command `{other}`\n\n{USAGE}"),
        },
    }
}
