//! Runbooks: list, show, lint.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use muster_runbooks::{Level, lint};
use owo_colors::OwoColorize;
use serde_json::json;

use super::exit::{CONFIG, Failure, USAGE};
use super::print;
use super::session::resolve;
use crate::app::{BUILT_IN, library};

/// What about runbooks.
#[derive(Debug, Subcommand)]
pub enum RunbookCommand {
    /// List them, built-in and one's own
    List,
    /// Show one
    Show {
        /// Id
        id: String,
    },
    /// Check files; every problem with line and column
    Lint {
        /// Files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// `muster runbook …`.
///
/// # Errors
/// When a runbook is wrong or unknown.
pub fn runbook(config: Option<&Path>, command: RunbookCommand, as_json: bool) -> Result<u8, Failure> {
    if let RunbookCommand::Lint { files } = &command {
        return lint_files(files, as_json);
    }
    let shelf = match resolve(config) {
        Ok(resolved) => library(&resolved)?,
        // Without a config the built-in ones are still worth reading.
        Err(e) if config.is_some() => return Err(e),
        Err(_) => built_in()?,
    };
    match command {
        RunbookCommand::List => {
            let all: Vec<_> = shelf.iter().collect();
            if as_json {
                let items: Vec<_> = all
                    .iter()
                    .map(|s| json!({"id": s.runbook.id, "title": s.runbook.title, "risk": s.runbook.risk,
                        "answers": s.runbook.answers, "file": s.file, "overrides": s.overrides, "digest": s.runbook.digest}))
                    .collect();
                print::json(&json!(items));
                return Ok(0);
            }
            let rows = all.iter().map(|s| {
                let from = s
                    .overrides
                    .as_ref()
                    .map_or_else(|| s.file.clone(), |o| format!("{} (overrides {o})", s.file));
                vec![
                    s.runbook.id.clone(),
                    s.runbook.risk.word().to_owned(),
                    s.runbook.title.clone(),
                    s.runbook.answers.join(", "),
                    from,
                ]
            });
            print::table(&["runbook", "risk", "title", "answers", "file"], rows.collect());
        }
        RunbookCommand::Show { id } => {
            let found = shelf.iter().find(|s| s.runbook.id == id);
            let Some(found) = found else {
                let known: Vec<String> = shelf.iter().map(|s| s.runbook.id.clone()).collect();
                return Err(Failure::new(
                    USAGE,
                    format!("there is no runbook `{id}`"),
                    format!("there are: {}", known.join(", ")),
                ));
            };
            if as_json {
                print::json(&json!(found.runbook));
            } else {
                print::line(
                    muster_runbooks::reference_page(&found.runbook, &muster_act::signatures()).trim_end(),
                );
            }
        }
        RunbookCommand::Lint { .. } => {}
    }
    Ok(0)
}

/// The built-in runbooks.
///
/// # Errors
/// When one is wrong.
pub fn built_in() -> Result<muster_runbooks::Library, Failure> {
    let mut out = muster_runbooks::Library::default();
    let signatures = muster_act::signatures();
    for (file, text) in BUILT_IN {
        let checked =
            muster_runbooks::check(file, text, &signatures).map_err(crate::app::AppError::Runbooks)?;
        out.add(checked, file, text);
    }
    Ok(out)
}

fn lint_files(files: &[PathBuf], as_json: bool) -> Result<u8, Failure> {
    let signatures = muster_act::signatures();
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|e| {
            Failure::new(
                USAGE,
                format!("{}: {e}", file.display()),
                "give a file that exists",
            )
        })?;
        all.extend(lint(&file.display().to_string(), &text, &signatures));
    }
    let errors = all.iter().filter(|p| p.level == Level::Error).count();
    if as_json {
        print::json(&json!(all));
    } else {
        for p in &all {
            let level = if p.level == Level::Error {
                "error".red().bold().to_string()
            } else {
                "warning".yellow().to_string()
            };
            print::line(format!(
                "{}:{}:{}: {level}[{}]: {}",
                p.file, p.line, p.column, p.rule, p.message
            ));
            if let Some(help) = &p.help {
                print::line(format!("  {} {help}", "help:".dimmed()));
            }
        }
        if all.is_empty() {
            print::line("Nothing to say.");
        }
    }
    Ok(if errors > 0 { CONFIG } else { 0 })
}
