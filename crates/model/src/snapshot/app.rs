//! What was read from one application: does its health route answer, how fast, and what it says of its own pool, memory
//! and errors.
//!
//! What an application does not say stays absent. It is its own word, and it is said as such.

use serde::{Deserialize, Serialize};

use super::{Counted, Part, Reach};
use crate::time::Time;

/// Everything that was read from one application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppView {
    /// Short name, `notes`.
    pub name: String,
    /// `shop/notes`.
    pub address: String,
    /// Its health route without what may be secret in it; absent when none is configured.
    pub endpoint: Option<String>,
    /// Whether the route answers, whatever it says.
    pub reach: Reach,
    /// What it said.
    pub health: Option<Part<AppHealth>>,
}

/// One answer of a health route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppHealth {
    /// HTTP status.
    pub status: u16,
    /// How long the answer took, in milliseconds.
    pub latency_ms: f64,
    /// `healthy`, `degraded` or `unhealthy`, by its own word.
    pub said: Option<String>,
    /// Answers of 500 and above in a row, this one included.
    pub failures: u32,
    /// When the first of these came.
    pub failing_since: Option<Time>,
    /// Its connection pool.
    pub pool: Option<AppPool>,
    /// Its memory.
    pub memory: Option<AppMemory>,
    /// Its requests.
    pub requests: Option<Counted<AppRequests>>,
    /// When its counters last began anew while it was watched: it restarted.
    pub restarted_at: Option<Time>,
}

/// An application's connection pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppPool {
    /// Connections that it keeps.
    pub size: u64,
    /// Connections that it may open beyond these.
    pub overflow: u64,
    /// In use.
    pub checked_out: u64,
    /// Requests that wait for one.
    pub waiting: Option<u64>,
}

/// An application's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppMemory {
    /// In use, in bytes.
    pub used: u64,
    /// Its limit, in bytes.
    pub limit: u64,
}

/// Requests of an application since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppRequests {
    /// All.
    pub total: u64,
    /// Answered with 500 or above.
    pub errors: u64,
}
