//! Journal, executor, recovery, approvals, guards and incidents.
//!
//! The engine is the part that must never be wrong, so it knows nothing of any product: it sees a target only as
//! `{type, label, fingerprint, json}`, finds code by a versioned name in a [`catalogue::Catalogue`], and judges plans by
//! `PlanFacts` (law L4). It decides purely and then obeys: what comes next ([`progress`]), may we ([`guards`]), is it
//! proven ([`verify`]), which story is it ([`incidents`]) are functions of what the journal says; only [`executor`],
//! [`planner`] and [`journal::store`] have effects.

pub mod catalogue;
pub mod clock;
pub mod condition;
pub mod executor;
pub mod guards;
pub mod incidents;
pub mod journal;
pub mod lease;
pub mod node;
pub mod planner;
pub mod principals;
pub mod progress;
pub mod proof;
pub mod run;
pub mod schedule;
pub mod state;
pub mod story;
pub mod verify;

pub use catalogue::{Action, ActionPlan, Catalogue, CodeError, Probe};
pub use executor::{ClusterRules, Driven, Engine, EngineError, If, Known, Stop, Survey, Surveyor};
pub use guards::{Phase, Refusal, Starter};
pub use journal::{Entry, Event, Journal, JournalError, Place};
pub use lease::{Leases, Permit};
