//! The nouns of Muster.
//!
//! Everything that crosses a boundary between two crates, a process or a file is a type of this crate:
//! what was seen ([`snapshot`]), what it means ([`finding`]), what could be done ([`signature`], [`plan`]),
//! what was done ([`outcome`], [`run`]), and the story of it ([`incident`]).
//!
//! It refuses to know how any of it comes about: no I/O, no clock, no async runtime, no driver (law L1).
//! What is stored carries a format version.

pub mod bundle;
pub mod digest;
pub mod finding;
pub mod fingerprint;
pub mod histogram;
pub mod incident;
pub mod lock_graph;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod pool_verdict;
pub mod pooled;
pub mod query;
pub mod run;
pub mod signature;
pub mod snapshot;
pub mod span;
pub mod standby;
pub mod target;
pub mod thresholds;
pub mod time;
pub mod window;

pub use bundle::{Answered, Manifest, Section, SectionState};
pub use digest::{Digest, canonical_json, digest_of, digest_of_bytes};
pub use finding::{Finding, Health, Remedy, Severity, Subject};
pub use incident::{
    Cause, Evidence, EvidenceMoment, Incident, IncidentSeverity, IncidentState, TimelineEntry,
};
pub use outcome::{Observation, Outcome, Verdict};
pub use plan::{
    AbortIf, Blast, Check, Limits, OnFail, Plan, PlanFacts, PlanResult, PlannedStep, RunbookRef, StepPlan,
    TargetFacts, UndoPlan,
};
pub use policy::{Autopilot, Decision, Policy, Protect};
pub use run::{Approval, AttemptRecord, Run, RunOutcome, RunState, StepRecord, WaitFor};
pub use signature::{Field, Kind, Risk, Signature, Type};
pub use snapshot::{Gap, Snapshot};
pub use span::Span;
pub use target::{FrozenTarget, Record, Scope};
pub use thresholds::{Threshold, Thresholds};
pub use time::Time;
pub use window::{Safety, Window};

/// Format version of every stored shape of this crate; a reader refuses a larger one by name.
pub const FORMAT: u32 = 1;
