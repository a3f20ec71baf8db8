//! A Plan: a runbook turned into an immutable instance with frozen targets, an expiry and a digest.
//!
//! The persisted plan is what runs (law L6). Refuses to know how its steps are carried out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, digest_of};
use crate::policy::Policy;
use crate::signature::Risk;
use crate::span::Span;
use crate::target::{FrozenTarget, Record, Scope};
use crate::time::Time;

/// Which runbook, in which exact text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunbookRef {
    /// Id.
    pub id: String,
    /// Title, for people.
    pub title: String,
    /// Digest of the checked runbook.
    pub digest: Digest,
    /// Who wrote its file last, where it is not built in: may not approve what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
}

/// What making the plan came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum PlanResult {
    /// There is something to do.
    Changes,
    /// The condition that the runbook cures is not there.
    Nothing {
        /// What was seen.
        why: String,
    },
    /// Something is wrong, but it is not this runbook's business.
    Declined {
        /// The step that said so.
        step: String,
        /// What was expected and what was seen.
        why: String,
        /// The finding kind that names it rightly, when known.
        named: Option<String>,
    },
    /// A read-only runbook: what it read is the result.
    Report {
        /// The verdict of the runbook, such as `pool.slow_server` or `ok`; a value of its `record` step.
        verdict: String,
        /// One sentence.
        summary: String,
    },
}

impl PlanResult {
    /// `changes`, `nothing`, `declined` or `report`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Nothing { .. } => "nothing",
            Self::Declined { .. } => "declined",
            Self::Report { .. } => "report",
        }
    }

    /// Whether both say that nothing is to be done, and for the same reason; the values that were seen may differ.
    #[must_use]
    pub fn same_answer(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing { .. }, Self::Nothing { .. }) => true,
            (
                Self::Declined {
                    step: a, named: x, ..
                },
                Self::Declined {
                    step: b, named: y, ..
                },
            ) => (a, x) == (b, y),
            (Self::Report { verdict: a, .. }, Self::Report { verdict: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// What may be touched at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Limits {
    /// Most targets.
    pub max_targets: u32,
    /// Most targets as a share of the population, in per cent.
    pub max_percent: f64,
    /// How many are tried first; then twice as many, and so on. 0 means all at once.
    pub canary: u32,
    /// Errors after which the step stops.
    pub max_errors: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_targets: 10,
            max_percent: 25.0,
            canary: 1,
            max_errors: 0,
        }
    }
}

/// What happens when a step fails.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// Undo what was done, in reverse order, then escalate.
    Undo,
    /// Stop and call a person.
    #[default]
    Escalate,
    /// Go on at a later step.
    Goto(String),
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum UndoPlan {
    /// It can be undone.
    Inverse {
        /// How, as a sentence.
        how: String,
    },
    /// It cannot, and need not or must not.
    None {
        /// Why, as a sentence.
        why: String,
    },
}

/// How far a step reaches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Blast {
    /// Targets of the step.
    pub targets: u64,
    /// Out of how many of their kind.
    pub population: u64,
    /// Others that are affected although they are not targets.
    pub also: Vec<String>,
    /// One sentence: `terminates 10 of 250 sessions; frees 8 waiting clients`.
    pub summary: String,
}

impl Blast {
    /// Share of the population in per cent; 100 when the population is unknown.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn percent(&self) -> f64 {
        if self.population == 0 {
            return if self.targets == 0 { 0.0 } else { 100.0 };
        }
        self.targets as f64 * 100.0 / self.population as f64
    }
}

/// A condition under which a run stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AbortIf {
    /// Id of the earlier step that this repeats.
    pub step: String,
    /// Its probe, versioned.
    pub uses: String,
    /// Its inputs, resolved.
    pub with: Record,
    /// CEL over the probe's outputs; when it holds, or cannot be read, nothing further is begun.
    pub when: String,
}

/// One condition of a verify step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Check {
    /// Id of the earlier step that this repeats.
    pub step: String,
    /// Its probe, versioned.
    pub uses: String,
    /// Its inputs, resolved.
    pub with: Record,
    /// CEL over the probe's outputs; must hold.
    pub until: String,
}

/// What a step does, with everything resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum StepPlan {
    /// Reads. Read again, and its conditions checked again, when the plan is applied.
    Probe {
        /// Versioned name.
        uses: String,
        /// Inputs, resolved.
        with: Record,
        /// CEL; false means that there is nothing to do.
        continue_if: Option<String>,
        /// CEL; false means that it is another runbook's business.
        expect: Option<String>,
    },
    /// Changes.
    Action {
        /// Versioned name.
        uses: String,
        /// Inputs, resolved.
        with: Record,
        /// What exactly; for an action without targets, the scope as its only target.
        targets: Vec<FrozenTarget>,
        /// Bounds.
        limits: Limits,
        /// Worst case.
        risk: Risk,
        /// How far it reaches.
        blast: Blast,
        /// How it is undone.
        undo: UndoPlan,
        /// Any of them stops the run: looked at before each of its batches and during the proof.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        abort_if: Vec<AbortIf>,
    },
    /// Proves that symptom and cause are gone.
    Verify {
        /// All must hold, in one window.
        checks: Vec<Check>,
        /// For how long.
        hold: Span,
        /// How long it may take to get there.
        within: Span,
    },
    /// Waits for a person.
    Approve {
        /// The question.
        question: String,
    },
    /// Waits.
    Wait {
        /// How long.
        span: Span,
    },
    /// Writes values into the incident.
    Record {
        /// Resolved values; `verdict` and `summary` are shown first.
        values: Record,
    },
}

impl StepPlan {
    /// `probe`, `action`, …
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Probe { .. } => "probe",
            Self::Action { .. } => "action",
            Self::Verify { .. } => "verify",
            Self::Approve { .. } => "approve",
            Self::Wait { .. } => "wait",
            Self::Record { .. } => "record",
        }
    }

    /// The versioned name of what it uses, where it uses one thing.
    #[must_use]
    pub fn uses(&self) -> Option<&str> {
        match self {
            Self::Probe { uses, .. } | Self::Action { uses, .. } => Some(uses),
            _ => None,
        }
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlannedStep {
    /// Id, unique in the plan.
    pub id: String,
    /// What it does.
    pub plan: StepPlan,
    /// What happens when it fails.
    pub on_fail: OnFail,
}

/// What `act` says about one frozen target, for guards to judge without knowing what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TargetFacts {
    /// Step it belongs to.
    pub step: String,
    /// Which target ([`FrozenTarget::fingerprint`]).
    pub fingerprint: String,
    /// Class of thing, such as `client_session`.
    pub class: String,
    /// Whom it belongs to, such as a user name.
    pub owner: Option<String>,
    /// How long it has been in the state that is to be cured.
    pub age: Option<Span>,
    /// Why it must never be touched, when it must not (exclusions of `act`, `protect` of the config).
    pub excluded: Option<String>,
}

/// Everything guards judge a plan by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanFacts {
    /// Whether the cluster is enrolled in the config of this Muster.
    pub enrolled: bool,
    /// Whether there is a credential to act with; its absence means propose only.
    pub can_act: bool,
    /// Privileges that the steps need and the acting role lacks, each with the line that would grant it.
    pub missing_privileges: Vec<String>,
    /// One entry a frozen target.
    pub targets: Vec<TargetFacts>,
    /// Major version of the product, for Proofs.
    pub major: Option<u32>,
    /// Whether the cluster is a practice fleet (a lab, or `drill: true`).
    pub practice: bool,
    /// Addresses of the servers that took writes; absent when that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primaries: Option<Vec<String>>,
    /// Timeline of the one that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
}

/// A runbook with frozen targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Plan {
    /// Format version ([`crate::FORMAT`]).
    pub format: u32,
    /// Id of the plan, and of the run that it becomes.
    pub id: String,
    /// Which runbook.
    pub runbook: RunbookRef,
    /// Where.
    pub scope: Scope,
    /// Who asked for it: `daemon`, or a person.
    pub requested_by: String,
    /// The incident it answers.
    pub incident: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it stops being valid.
    pub expires_at: Time,
    /// Parameters of the runbook, resolved.
    pub params: Record,
    /// Policy as it was when the plan was made: who may sign it, and how many. A changed one needs a new plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Worst case of its steps.
    pub risk: Risk,
    /// Made knowing that it may reach farther than its runbook's limits: then two people break the glass for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_limits: bool,
    /// What making it came to.
    pub result: PlanResult,
    /// The steps.
    pub steps: Vec<PlannedStep>,
    /// What the probes read when it was made.
    pub outputs: BTreeMap<String, Record>,
    /// For guards.
    pub facts: PlanFacts,
    /// The step after which there is no way back; absent when everything can be undone or nothing is changed.
    pub point_of_no_return: Option<String>,
    /// Digest of everything above.
    pub digest: Digest,
}

impl Plan {
    /// The digest of everything but the digest itself.
    #[must_use]
    pub fn compute_digest(&self) -> Digest {
        let mut value = serde_json::to_value(self).unwrap_or(serde_json::Value::Null);
        if let Some(map) = value.as_object_mut() {
            map.remove("digest");
        }
        digest_of(&value)
    }

    /// This plan with its digest filled in.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.compute_digest();
        self
    }

    /// Whether the text is still what was sealed.
    #[must_use]
    pub fn intact(&self) -> bool {
        self.digest == self.compute_digest()
    }

    /// A step by its id.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&PlannedStep> {
        self.steps.iter().find(|s| s.id == id)
    }

    /// How long it takes at most by its own steps: what is held and waited for, and some seconds for every target.
    #[must_use]
    pub fn estimate(&self) -> Span {
        let ms: u64 = self
            .steps
            .iter()
            .map(|s| match &s.plan {
                StepPlan::Action { targets, .. } => 2000 * targets.len() as u64,
                StepPlan::Verify { within, .. } => within.millis(),
                StepPlan::Wait { span } => span.millis(),
                _ => 1000,
            })
            .sum();
        Span::from_millis(ms)
    }

    /// Number of targets that actions would touch.
    #[must_use]
    pub fn target_count(&self) -> usize {
        self.steps
            .iter()
            .map(|s| match &s.plan {
                StepPlan::Action { targets, .. } => targets.len(),
                _ => 0,
            })
            .sum()
    }
}
