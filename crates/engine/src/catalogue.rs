//! The two traits that probes and actions implement, and the catalogue in which they are found by versioned name.
//!
//! Refuses to know what any of them does.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use muster_model::{
    Blast, FrozenTarget, Observation, Outcome, Record, Scope, Signature, TargetFacts, UndoPlan,
};

use crate::lease::Permit;

/// Why a probe or the planning of an action failed. Never a reason to go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodeError {
    /// The target cannot be reached or does not answer in time.
    #[error("{target} cannot be read: {reason}")]
    Unreadable {
        /// Address of the target.
        target: String,
        /// What was seen.
        reason: String,
    },
    /// This role may not see or do it.
    #[error("{target}: this role lacks a privilege: {reason}")]
    Privilege {
        /// Address of the target.
        target: String,
        /// Which.
        reason: String,
        /// The line that grants it.
        grant: Option<String>,
    },
    /// An input has the wrong type or value.
    #[error("input `{name}` is wrong: {reason}")]
    Input {
        /// Which input.
        name: String,
        /// Why.
        reason: String,
    },
    /// Nothing of that name is in the catalogue, in that version.
    #[error("`{name}` is not in this version of Muster")]
    NoSuchCode {
        /// Versioned name.
        name: String,
    },
}

impl CodeError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Unreadable { target, .. } => Some(format!("look at `muster check {target}`")),
            Self::Privilege { grant, .. } => grant.clone(),
            Self::Input { .. } => Some("look at `muster runbook show`".to_owned()),
            Self::NoSuchCode { .. } => Some(
                "make a new plan with this version, or apply it with the version that made it".to_owned(),
            ),
        }
    }
}

/// Reads something.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Name, inputs, outputs.
    fn signature(&self) -> &Signature;

    /// Reads it. The outputs have exactly the fields of the signature.
    ///
    /// # Errors
    /// When it cannot be read. An unread value is never made up.
    async fn read(&self, scope: &Scope, with: &Record) -> Result<Record, CodeError>;
}

/// What an action says when it is planned.
#[derive(Clone, Debug)]
pub struct ActionPlan {
    /// Targets, frozen. One entry even for an action on the scope itself.
    pub targets: Vec<FrozenTarget>,
    /// For guards, one entry a target.
    pub facts: Vec<TargetFacts>,
    /// How far it reaches.
    pub blast: Blast,
    /// How it is undone.
    pub undo: UndoPlan,
    /// Privileges that are missing, each with the line that would grant it.
    pub missing_privileges: Vec<String>,
}

/// Changes something.
#[async_trait]
pub trait Action: Send + Sync {
    /// Name, inputs, what it works on.
    fn signature(&self) -> &Signature;

    /// Freezes the targets and says how far it would reach. Changes nothing.
    ///
    /// # Errors
    /// When that cannot be said.
    async fn plan(
        &self,
        scope: &Scope,
        step: &str,
        with: &Record,
        targets: &[FrozenTarget],
    ) -> Result<ActionPlan, CodeError>;

    /// Does it to one target. The identity is checked in the same statement that acts; a target that changed since the
    /// plan is `NotDone`. The effect may not happen after the permit has ended.
    async fn apply(&self, scope: &Scope, with: &Record, target: &FrozenTarget, permit: &Permit) -> Outcome;

    /// Looks whether it has been done to this target. Changes nothing.
    async fn observe(&self, scope: &Scope, with: &Record, target: &FrozenTarget) -> Observation;

    /// Takes it back. Twice is harmless. An action whose plan says `UndoPlan::None` answers `NotDone` with the reason.
    async fn undo(&self, scope: &Scope, with: &Record, target: &FrozenTarget, permit: &Permit) -> Outcome;
}

/// All code by versioned name.
#[derive(Clone, Default)]
pub struct Catalogue {
    probes: BTreeMap<String, Arc<dyn Probe>>,
    actions: BTreeMap<String, Arc<dyn Action>>,
}

impl Catalogue {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a probe under its versioned name.
    #[must_use]
    pub fn probe(mut self, probe: impl Probe + 'static) -> Self {
        self.probes
            .insert(probe.signature().name.clone(), Arc::new(probe));
        self
    }

    /// Adds an action under its versioned name.
    #[must_use]
    pub fn action(mut self, action: impl Action + 'static) -> Self {
        self.actions
            .insert(action.signature().name.clone(), Arc::new(action));
        self
    }

    /// Puts something around every probe and every action: a harness that makes trouble.
    #[must_use]
    pub fn around(
        self,
        probe: impl Fn(Arc<dyn Probe>) -> Arc<dyn Probe>,
        action: impl Fn(Arc<dyn Action>) -> Arc<dyn Action>,
    ) -> Self {
        Self {
            probes: self.probes.into_iter().map(|(n, p)| (n, probe(p))).collect(),
            actions: self.actions.into_iter().map(|(n, a)| (n, action(a))).collect(),
        }
    }

    /// Finds a probe.
    ///
    /// # Errors
    /// [`CodeError::NoSuchCode`].
    pub fn find_probe(&self, name: &str) -> Result<Arc<dyn Probe>, CodeError> {
        self.probes
            .get(name)
            .cloned()
            .ok_or_else(|| CodeError::NoSuchCode {
                name: name.to_owned(),
            })
    }

    /// Finds an action.
    ///
    /// # Errors
    /// [`CodeError::NoSuchCode`].
    pub fn find_action(&self, name: &str) -> Result<Arc<dyn Action>, CodeError> {
        self.actions
            .get(name)
            .cloned()
            .ok_or_else(|| CodeError::NoSuchCode {
                name: name.to_owned(),
            })
    }

    /// The signatures of everything, sorted by name; what runbooks are checked against.
    #[must_use]
    pub fn signatures(&self) -> Vec<Signature> {
        let mut all: Vec<Signature> = self
            .probes
            .values()
            .map(|p| p.signature().clone())
            .chain(self.actions.values().map(|a| a.signature().clone()))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
