//! How one try ended, what a look at the world says, and what a proof says.
//!
//! Three small closed sets. None of them has a default: unknown is never success.

use serde::{Deserialize, Serialize};

/// How one attempt of a step at one target ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The effect happened.
    Done {
        /// What was seen, for the timeline.
        detail: String,
    },
    /// Nothing was done and nothing needed to be: the target changed since the plan, or is already as wanted.
    NotDone {
        /// Why, for the timeline.
        why: String,
    },
    /// It was tried and did not work; the world is as before.
    Failed {
        /// What happened and what to do.
        error: String,
    },
    /// Nobody can say whether it happened. The run stops and a person is called.
    Indeterminate {
        /// What is missing to decide.
        why: String,
    },
}

impl Outcome {
    /// One word for tables: `done`, `not_done`, `failed`, `indeterminate`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::NotDone { .. } => "not_done",
            Self::Failed { .. } => "failed",
            Self::Indeterminate { .. } => "indeterminate",
        }
    }

    /// The sentence that belongs to it.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Done { detail } => detail,
            Self::NotDone { why } | Self::Indeterminate { why } => why,
            Self::Failed { error } => error,
        }
    }
}

/// What a look at the world says about an effect whose result was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "observed", rename_all = "snake_case")]
pub enum Observation {
    /// The effect is there.
    Done {
        /// What was seen.
        detail: String,
    },
    /// The effect is not there; trying is safe.
    NotDone {
        /// What was seen.
        detail: String,
    },
    /// It cannot be seen. Never acted upon.
    Unknown {
        /// Why it cannot be seen.
        why: String,
    },
}

/// What a proof says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Symptom and cause were gone for the whole window.
    Proven {
        /// What was seen.
        detail: String,
    },
    /// One of them was still there, or came back.
    Refuted {
        /// Which, and what was seen.
        why: String,
    },
    /// It could not be read. Never success.
    Unknown {
        /// Why.
        why: String,
    },
}
