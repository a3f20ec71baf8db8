//! Guards: may we? One rule a file, each a pure function of [`Facts`]. The first that refuses is journaled by name.
//!
//! They are asked when a plan is made, when a run starts and before every batch of changes. None can be switched off.

use muster_model::{Approval, Plan, Policy, Safety, Time, Window};

use crate::proof::Proof;
use crate::run::Past;

mod acting_login;
mod approval;
mod autopilot_proof;
mod blast_radius;
mod cool_down;
mod enrolled;
mod exclusions;
mod expiry;
mod freeze;
mod glass;
mod identity;
mod issued;
mod one_run;
mod policy_changed;
mod policy_never;
mod primary;
mod privilege;
mod rate;
mod relapse;
mod runbook_changed;
mod safety_net;
mod three_failures;
mod typed_target;
mod window;

pub use approval::{may_approve, needed as approvals_needed};
pub(crate) use blast_radius::within_limits;
pub use glass::may_break;
pub use primary::{Same, compare as same_primary};
pub use typed_target::check as typed;

/// When a guard is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A plan was made and would wait for approval.
    Plan,
    /// The run is about to start.
    Start,
    /// A batch of changes is about to be made.
    Change,
}

/// Who starts the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// This person.
    Person(String),
    /// Muster by itself (`autopilot: act`).
    Autopilot,
}

impl Starter {
    /// Whether it is a person: some guards are about what Muster does by itself.
    #[must_use]
    pub fn is_person(&self) -> bool {
        matches!(self, Self::Person(_))
    }
}

/// Everything guards judge by.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Policy as it is now.
    pub policy: &'a Policy,
    /// When they are asked.
    pub phase: Phase,
    /// Who starts it.
    pub starter: Starter,
    /// Now.
    pub now: Time,
    /// Signatures under this plan.
    pub approvals: &'a [Approval],
    /// Who broke the glass for this plan, when somebody did.
    pub glass: Option<&'a str>,
    /// The second one who did.
    pub glass_second: Option<&'a str>,
    /// Digest under which this journal issued the plan; `None` when it did not.
    pub issued: Option<&'a str>,
    /// Why changes are frozen, when they are.
    pub frozen: Option<&'a str>,
    /// Other runs of this journal.
    pub past: &'a [Past],
    /// Identity of the cluster as read just now; `None` when it cannot be read.
    pub identity_now: Option<&'a str>,
    /// Proofs on record.
    pub proofs: &'a [Proof],
    /// Digest of parameters and thresholds, for Proofs.
    pub settings_digest: &'a str,
    /// Digest of the runbook as it is now; `None` when there is none of that id any more.
    pub runbook_now: Option<&'a str>,
    /// Addresses of the servers that take writes now; `None` when that cannot be read.
    pub primaries_now: Option<&'a [String]>,
    /// Timeline of the one that does.
    pub timeline_now: Option<u32>,
    /// When this cluster may be changed; none means always.
    pub windows: &'a [Window],
    /// What there is to fall back on, where that is known.
    pub safety: Option<&'a Safety>,
}

/// A guard's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the guard.
    pub guard: &'static str,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
    /// When it may be otherwise, where that is known: it is not worth asking before.
    pub until: Option<Time>,
}

impl Refusal {
    fn new(guard: &'static str, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            guard,
            why: why.into(),
            remedy: remedy.into(),
            until: None,
        }
    }
}

type Guard = fn(&Facts<'_>) -> Result<(), Refusal>;

/// All guards with their names, in the order in which they are asked.
pub const ALL: [(&str, Guard); 22] = [
    ("issued", issued::check),
    ("expiry", expiry::check),
    ("enrolled", enrolled::check),
    ("identity", identity::check),
    ("primary", primary::check),
    ("freeze", freeze::check),
    ("policy", policy_never::check),
    ("runbook_changed", runbook_changed::check),
    ("policy_changed", policy_changed::check),
    ("safety_net", safety_net::check),
    ("exclusions", exclusions::check),
    ("blast_radius", blast_radius::check),
    ("acting_login", acting_login::check),
    ("privilege", privilege::check),
    ("approval", approval::check),
    ("one_run", one_run::check),
    ("autopilot_proof", autopilot_proof::check),
    ("cool_down", cool_down::check),
    ("three_failures", three_failures::check),
    ("relapse", relapse::check),
    ("rate", rate::check),
    // Last: what has to wait for a window shall wait for nothing else.
    ("window", window::check),
];

/// Asks all guards.
///
/// # Errors
/// The first refusal.
pub fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.plan.target_count() == 0 && facts.phase != Phase::Plan {
        return issued::check(facts).and_then(|()| expiry::check(facts));
    }
    for (_, guard) in ALL {
        guard(facts)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod fixture;
