//! A Finding: the pure judgement of one rule about one subject.
//!
//! Knows kind, subject, severity, evidence and since when. Refuses to know what to do about it beyond the name of a
//! runbook, and never says "healthy": health is [`Health`], and unknown is one of its values.

use serde::{Deserialize, Serialize};

use crate::target::Record;
use crate::time::Time;

/// How bad a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Will hurt if it stays.
    Warning,
    /// Hurts now.
    Critical,
}

/// State of a component. Ordered by how loudly it must be said: `unknown` is worse than `warning`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Everything that was read is within its limits, and everything needed was read.
    Ok,
    /// At least one warning.
    Warning,
    /// Something needed could not be read.
    Unknown,
    /// At least one critical finding.
    Critical,
}

/// What a finding is about: `session:4711`, `pool:app/shop`, `server:a`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Subject(pub String);

impl Subject {
    /// From its two halves.
    #[must_use]
    pub fn new(kind: &str, name: impl std::fmt::Display) -> Self {
        Self(format!("{kind}:{name}"))
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The runbook that answers a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Remedy {
    /// Runbook id.
    pub runbook: String,
}

/// The judgement of one rule about one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Stable name, such as `pool.exhausted`.
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// Address of the target: `shop/a`, `shop/bouncer`.
    pub target: String,
    /// What exactly.
    pub subject: Subject,
    /// One sentence for people.
    pub summary: String,
    /// Onset by the evidence (the age that the server reports), not when it was noticed.
    pub since: Time,
    /// What was seen, as data. Redacted.
    pub evidence: Record,
    /// The runbook that answers it, filled in from the loaded runbooks.
    pub remedy: Option<Remedy>,
    /// Whether correlation named this the cause.
    pub cause: bool,
    /// Whether it needs a longer look than this pass gave (only `muster check` says so).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// Whether this opens an incident by itself (A: a finding at 1 s, an incident at 10 s).
    #[serde(default)]
    pub incident: bool,
    /// Which alternatives were looked at and ruled out, and why; for `muster explain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ruled_out: Vec<String>,
}

impl Finding {
    /// What makes two findings of different passes the same one.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}|{}|{}", self.kind, self.target, self.subject)
    }
}
