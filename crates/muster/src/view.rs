//! What a page or a table shows: one plain picture of everything, put together by the daemon.
//!
//! Knows no HTML and no terminal.

use muster_model::policy::Autopilot;
use muster_model::{Finding, Health, Incident, Plan, Run, Snapshot, Time, TimelineEntry};
use serde::Serialize;

/// One incident with everything that belongs to it.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// The incident.
    pub incident: Incident,
    /// Its plans, newest last, each with its run.
    pub runs: Vec<(Plan, Run)>,
    /// Its timeline, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// Findings at onset, for the drawing (evidence frozen when it opened).
    pub onset: Vec<Finding>,
    /// Who said last that they have it, and when.
    pub taken: Option<(String, Time)>,
}

/// One cluster.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterPicture {
    /// Name.
    pub name: String,
    /// The newest pass.
    pub snapshot: Snapshot,
    /// Health of every component by address.
    pub health: Vec<(String, Health)>,
    /// Findings of the newest pass, causes first.
    pub findings: Vec<Finding>,
    /// Rules that could not decide: kind, target, why.
    pub unknown: Vec<(String, String, String)>,
    /// Who starts runs here.
    pub autopilot: Autopilot,
    /// The last self-test of the rules with this cluster's thresholds.
    pub proved: Option<(Time, Vec<muster_rules::Proved>)>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// When it was put together.
    pub at: Time,
    /// Version of the program.
    pub version: String,
    /// How many clusters are to be watched; of one that was never looked at there is no picture.
    pub watched: usize,
    /// Clusters in the order of the config.
    pub clusters: Vec<ClusterPicture>,
    /// Incidents, open ones first, then the newest ten that are over.
    pub stories: Vec<Story>,
    /// Sentences that every page says: policy.solo, require_proof off, frozen, a config that was not accepted.
    pub notices: Vec<String>,
}

/// What it takes to carry out a plan that reaches farther than its limits.
#[must_use]
pub fn two_glasses(plan: &Plan) -> String {
    format!(
        "It reaches farther than its limits: two approvers break the glass for it, each with `muster break-glass {} --target {} --why …`.",
        plan.id, plan.scope.target
    )
}
