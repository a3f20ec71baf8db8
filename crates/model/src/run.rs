//! A run: a plan that somebody started, as its journal tells it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::outcome::Outcome;
use crate::plan::RunbookRef;
use crate::target::Scope;
use crate::time::Time;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Planned; waits for approval.
    WaitingApproval,
    /// Waits for something else: a timer, a lease, a window.
    Waiting {
        /// For what.
        what: String,
    },
    /// Approved or needing no approval, not started.
    Ready,
    /// At work.
    Running,
    /// Stopped at a journaled point by a stop of the daemon or by a crash; goes on by observing first.
    Parked,
    /// Over.
    Ended,
}

impl RunState {
    /// Whether it has begun and is not over.
    #[must_use]
    pub fn under_way(&self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Running | Self::Parked)
    }
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// A person.
    Approval,
    /// A maintenance window.
    Window,
    /// A time.
    Timer,
    /// The right to act: another run, or another Muster, has it.
    Lease,
}

impl WaitFor {
    /// As written in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Window => "window",
            Self::Timer => "timer",
            Self::Lease => "lease",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Repaired, symptom and cause proven gone.
    Proven,
    /// Done; the runbook has no verify step.
    Done,
    /// There was nothing to do.
    Nothing,
    /// Not this runbook's business.
    Declined,
    /// A read-only runbook reported.
    Reported,
    /// Verification failed, a person was called.
    Escalated,
    /// Verification failed and everything was undone.
    Undone,
    /// Undoing failed: a person is needed.
    UndoFailed,
    /// A step failed and the world is as before.
    Failed,
    /// Nobody can say whether a step happened: a person is needed.
    Indeterminate,
    /// A guard refused.
    Refused,
    /// A person said no.
    Rejected,
    /// Nobody approved in time.
    Expired,
    /// A person stopped it; what was done was undone where it could be.
    Cancelled,
    /// A person gave up on it and said why.
    Abandoned,
}

impl RunOutcome {
    /// As written in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Done => "done",
            Self::Nothing => "nothing",
            Self::Declined => "declined",
            Self::Reported => "reported",
            Self::Escalated => "escalated",
            Self::Undone => "undone",
            Self::UndoFailed => "undo_failed",
            Self::Failed => "failed",
            Self::Indeterminate => "indeterminate",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether a person must look at it now.
    #[must_use]
    pub fn needs_human(self) -> bool {
        matches!(self, Self::Escalated | Self::UndoFailed | Self::Indeterminate)
    }
}

/// A person's signature under a plan's digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Approval {
    /// The digest that was signed.
    pub digest: Digest,
    /// Who.
    pub by: String,
    /// When.
    pub at: Time,
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepRecord {
    /// Step id.
    pub id: String,
    /// What it used (`pg.terminate_backend@1`), or its kind (`verify`).
    pub uses: String,
    /// Labels of its targets.
    pub targets: Vec<String>,
    /// `done`, `not_done`, `failed`, `indeterminate`, `proven`, `refuted`, `unknown`, `undone`, `pending`.
    pub outcome: String,
    /// One attempt a target.
    pub attempts: Vec<AttemptRecord>,
}

/// One try of a step at one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AttemptRecord {
    /// Label of the target.
    pub target: String,
    /// When it was begun.
    pub at: Time,
    /// How it ended; absent while nobody knows.
    pub outcome: Option<Outcome>,
    /// Whether it was an undo.
    pub undo: bool,
}

/// A run as its journal tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Run {
    /// Id (the plan's).
    pub id: String,
    /// Which runbook.
    pub runbook: RunbookRef,
    /// Where.
    pub scope: Scope,
    /// Digest of its plan.
    pub digest: Digest,
    /// Who asked.
    pub requested_by: String,
    /// Incident it answers.
    pub incident: Option<String>,
    /// Where it stands.
    pub state: RunState,
    /// How it ended.
    pub outcome: Option<RunOutcome>,
    /// The sentence that belongs to it.
    pub detail: String,
    /// Signatures.
    pub approvals: Vec<Approval>,
    /// Who broke the glass for it, when somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glass: Option<String>,
    /// The second one who did, for what reaches farther than the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glass_second: Option<String>,
    /// When it was planned.
    pub created_at: Time,
    /// When the plan stops being valid.
    pub expires_at: Time,
    /// When the first change was begun.
    pub first_action_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Its steps.
    pub steps: Vec<StepRecord>,
}
