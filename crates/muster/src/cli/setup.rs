//! The daemon as a command, and the config.

use std::path::Path;

use clap::Subcommand;
use muster_engine::state::StateError;
use muster_engine::{EngineError, JournalError};
use muster_reach::{Estate, Limits};
use serde_json::json;

use super::exit::{CONFIG, Failure};
use super::print::{self, coloured};
use super::session::resolve;
use crate::app::{App, AppError};
use crate::config::check;
use crate::daemon::hang;
use crate::daemon::serve::{Daemon, ServeError};

/// What about the config.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every value and where it came from
    Show,
    /// Connect with every login and say what is missing
    Check,
}

impl From<ServeError> for Failure {
    fn from(e: ServeError) -> Self {
        let remedy = match &e {
            ServeError::Listen { .. } => "choose another `listen` in the config, or stop who uses it",
            ServeError::File { .. } => "check the state folder and its owner",
            ServeError::TakenOver { .. } => "it goes on there; start this one again with --standby",
            ServeError::Engine(_) => "`muster journal verify` says more",
        };
        Self::new(CONFIG, e.to_string(), remedy)
    }
}

/// A process that lost the state ends within less; one that keeps the journal locked for longer hangs.
const HANGS: std::time::Duration = std::time::Duration::from_secs(5);

/// `muster watch`.
///
/// # Errors
/// When the config is wrong, the state is in use, or the address is taken.
pub async fn watch(given: Option<&Path>, standby: bool) -> Result<u8, Failure> {
    let config = resolve(given)?;
    let mut said = false;
    let mut locked = None;
    let app = loop {
        let claimed = if standby {
            App::stand_in(config.clone()).await
        } else {
            App::open(config.clone()).await
        };
        match claimed {
            Err(AppError::State(StateError::InUse { owner, .. })) if standby => {
                locked = None;
                if !said {
                    tracing::info!(%owner, "another daemon has the state: standing by");
                    print::note(
                        "standing by: this one takes over when the other one ends or does not answer any more",
                    );
                    said = true;
                }
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
            // Stopped in the middle of an append, the other one still has the journal's own lock.
            Err(
                AppError::State(StateError::Journal(JournalError::Locked { .. }))
                | AppError::Engine(EngineError::Journal(JournalError::Locked { .. })),
            ) if standby => {
                let since = *locked.get_or_insert_with(std::time::Instant::now);
                if since.elapsed() > HANGS {
                    hang::end(&config.state_dir);
                    locked = None;
                }
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
            other => break other?,
        }
    };
    super::up::arm(&app);
    for w in &config.warnings {
        tracing::warn!("{w}");
    }
    let daemon = Daemon::open(app, false, standby).await?;
    print::note(match daemon.address {
        Some(address) => format!("muster watches; the page is at http://{address}/"),
        None => "muster watches; the page opens when the address is free again".to_owned(),
    });
    daemon.run(std::future::pending()).await?;
    Ok(0)
}

/// `muster config …`.
///
/// # Errors
/// When the config is wrong.
pub async fn config(given: Option<&Path>, command: ConfigCommand, as_json: bool) -> Result<u8, Failure> {
    let resolved = resolve(given)?;
    match command {
        ConfigCommand::Show => {
            if as_json {
                print::json(&json!(resolved.shown));
            } else {
                let rows = resolved
                    .shown
                    .iter()
                    .map(|s| vec![s.key.clone(), s.value.clone(), s.origin.clone()]);
                print::table(&["key", "value", "from"], rows.collect());
            }
            Ok(0)
        }
        ConfigCommand::Check => {
            crate::app::library(&resolved)?;
            let estate = Estate::new(
                resolved.clusters.iter().map(|c| c.reach.clone()).collect(),
                &Limits::default(),
            );
            let lines = check::check(&resolved, &estate).await;
            let failed = lines.iter().any(|l| l.state == "failed");
            if as_json {
                print::json(&json!(lines));
            } else {
                for l in &lines {
                    print::line(format!(
                        "{:<9} {} {}: {}",
                        coloured(l.state),
                        l.target,
                        l.what,
                        l.detail
                    ));
                    for fix in &l.fix {
                        print::line(format!("          {fix}"));
                    }
                }
            }
            Ok(if failed { CONFIG } else { 0 })
        }
    }
}
