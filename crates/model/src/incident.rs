//! An Incident: the story. Cause, symptoms, evidence, runs, people, timeline.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::finding::{Finding, Subject};
use crate::time::Time;

/// How bad, in the words of CATALOGUE A.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum IncidentSeverity {
    /// Writes unavailable or data at risk.
    P0,
    /// Degraded, or redundancy lost.
    P1,
    /// The rest.
    P2,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// Seen; nothing is being done.
    Open,
    /// A run is at work.
    Mitigating,
    /// Over.
    Resolved,
    /// A person was called.
    Escalated,
}

/// The finding that explains the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cause {
    /// Its kind.
    pub kind: String,
    /// Its subject.
    pub subject: Subject,
}

/// When evidence was frozen.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceMoment {
    /// When the incident opened.
    Onset,
    /// After the repair.
    After,
}

/// Evidence: rows as JSON, redacted, with their digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Evidence {
    /// Which moment.
    pub moment: EvidenceMoment,
    /// When it was frozen.
    pub taken_at: Time,
    /// SHA-256 of the canonical JSON of `body`.
    pub sha256: Digest,
    /// The rows.
    pub body: serde_json::Value,
}

/// An incident as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Incident {
    /// Format version ([`crate::FORMAT`]).
    pub format: u32,
    /// Id.
    pub id: String,
    /// Where it stands.
    pub state: IncidentState,
    /// How bad it is (the worst it has been).
    pub severity: IncidentSeverity,
    /// Cluster.
    pub cluster: String,
    /// Stable identity of the cluster.
    pub identity: String,
    /// Address of the cause's target.
    pub target: String,
    /// The cause.
    pub cause: Cause,
    /// Kinds of the findings that the cause explains.
    pub symptoms: Vec<String>,
    /// The cause as a finding, as last seen.
    pub finding: Finding,
    /// All findings of it, as last seen.
    pub findings: Vec<Finding>,
    /// Onset by the evidence.
    pub opened_at: Time,
    /// When it was first reported.
    pub detected_at: Time,
    /// When its findings were last seen.
    pub last_seen_at: Time,
    /// When the first change was begun.
    pub first_action_at: Option<Time>,
    /// When it ended.
    pub resolved_at: Option<Time>,
    /// How it ended, as a sentence.
    pub resolution: Option<String>,
    /// Ids of its runs, in order.
    pub runs: Vec<String>,
}

/// One line of a timeline; cites the journal entry it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TimelineEntry {
    /// Sequence number of the journal entry.
    pub entry: u64,
    /// Last entry that the line tells; the same number unless one line tells many alike.
    pub through: u64,
    /// When.
    pub at: Time,
    /// Who: `daemon`, or a person.
    pub who: String,
    /// One sentence.
    pub text: String,
    /// For colour: `seen`, `plan`, `person`, `act`, `proof`, `trouble`, `end`.
    pub tone: String,
}

impl TimelineEntry {
    /// `[7]`, or `[10–29]` for a line that tells many entries.
    #[must_use]
    pub fn cite(&self) -> String {
        if self.through > self.entry {
            format!("[{}–{}]", self.entry, self.through)
        } else {
            format!("[{}]", self.entry)
        }
    }
}
