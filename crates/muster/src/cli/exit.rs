//! Failures and exit codes: the one place that maps them.

use muster_model::{Run, RunOutcome, RunState};

use crate::app::AppError;
use crate::daemon::api::ApiError;

/// A wrong use of the command line.
pub const USAGE: u8 = 64;
/// Bad config or state.
pub const CONFIG: u8 = 78;
/// The plan has changes.
pub const CHANGES: u8 = 2;
/// A guard refused.
pub const REFUSED: u8 = 3;
/// Waits for an approval, a window, a lease.
pub const WAITING: u8 = 4;

/// Why a command failed: one line, what to do, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One line.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// Exit code.
    pub code: u8,
}

impl Failure {
    /// A failure.
    pub fn new(code: u8, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
            code,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(e: ApiError) -> Self {
        let code = match e.status {
            400 | 404 => USAGE,
            403 | 409 => REFUSED,
            _ => 1,
        };
        Self::new(code, e.error, e.remedy)
    }
}

/// The first problem of a config as one line.
#[must_use]
pub fn wrong_config(problems: &[crate::config::Problem]) -> Failure {
    let first = problems.first();
    let more = if problems.len() > 1 {
        format!(" (and {} more)", problems.len() - 1)
    } else {
        String::new()
    };
    let message = first.map(|p| format!("{}:{}:{}: {}{more}", p.file, p.line, p.column, p.message));
    let help = first
        .and_then(|p| p.help.clone())
        .unwrap_or_else(|| "correct the config".to_owned());
    Failure::new(CONFIG, message.unwrap_or_default(), help)
}

impl From<AppError> for Failure {
    fn from(e: AppError) -> Self {
        let remedy = match &e {
            AppError::Config(problems) => return wrong_config(problems),
            AppError::State(s) => s.remedy(),
            AppError::Engine(e) => e.remedy().unwrap_or_default(),
            AppError::Runbooks(_) | AppError::Library(_) => "`muster runbook lint FILE` says more".to_owned(),
        };
        Self::new(CONFIG, e.to_string(), remedy)
    }
}

impl From<muster_lab::LabError> for Failure {
    fn from(e: muster_lab::LabError) -> Self {
        Self::new(1, e.to_string(), e.remedy())
    }
}

/// The exit code of a run.
#[must_use]
pub fn of_run(run: &Run) -> u8 {
    match (&run.state, run.outcome) {
        (RunState::Ended, Some(outcome)) => match outcome {
            RunOutcome::Proven
            | RunOutcome::Done
            | RunOutcome::Nothing
            | RunOutcome::Declined
            | RunOutcome::Reported
            | RunOutcome::Rejected
            | RunOutcome::Cancelled
            | RunOutcome::Abandoned => 0,
            RunOutcome::Failed => 1,
            RunOutcome::Refused | RunOutcome::Expired => REFUSED,
            RunOutcome::Undone => 5,
            RunOutcome::Escalated | RunOutcome::UndoFailed | RunOutcome::Indeterminate => 6,
        },
        _ => WAITING,
    }
}
