//! Policy: what a started run may do unattended, who starts runs, and what is never touched.
//!
//! Data only; the deciding is in `engine`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::signature::Risk;

/// What policy says about a risk class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Goes ahead.
    Auto,
    /// Waits for one person other than the requester.
    Approve,
    /// Waits for two persons other than the requester.
    TwoPerson,
    /// Never happens.
    Never,
}

/// Who starts a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Autopilot {
    /// Nobody.
    Observe,
    /// Muster plans, a person starts.
    #[default]
    Propose,
    /// Muster, where policy and Proof allow it.
    Act,
}

/// What must never be a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Protect {
    /// Users.
    pub users: Vec<String>,
    /// `application_name`s; a trailing `*` matches the rest.
    pub applications: Vec<String>,
    /// Databases.
    pub databases: Vec<String>,
}

/// What a started run may do unattended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// For `reversible` steps.
    pub reversible: Decision,
    /// For `disruptive` steps.
    pub disruptive: Decision,
    /// For `irreversible` steps: `two_person` or `never`, nothing else.
    pub irreversible: Decision,
    /// Whether `autopilot: act` needs a fresh Proof.
    pub require_proof: bool,
    /// Who may approve. An empty list means nobody.
    pub approvers: Vec<String>,
    /// Whether the requester may approve `disruptive` (never `irreversible`). Every page says so.
    pub solo: bool,
    /// Per runbook id, a stricter decision.
    pub runbooks: BTreeMap<String, Decision>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            reversible: Decision::Auto,
            disruptive: Decision::Approve,
            irreversible: Decision::TwoPerson,
            require_proof: true,
            approvers: Vec::new(),
            solo: false,
            runbooks: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// What it says about a risk class.
    #[must_use]
    pub fn decision(&self, risk: Risk) -> Decision {
        match risk {
            Risk::Read => Decision::Auto,
            Risk::Reversible => self.reversible,
            Risk::Disruptive => self.disruptive,
            Risk::Irreversible => self.irreversible,
        }
    }
}
