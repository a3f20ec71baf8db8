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
    /// What its log says; absent when the config names none, or when it could not be read.
    pub log: Option<Part<AppLog>>,
}

/// What a known error string of an application's log is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AppLogClass {
    /// No connection was free: of its own pool, of the pooler or of the server.
    PoolTimeout,
    /// A deadlock was broken at its cost.
    Deadlock,
    /// A statement or a wait for a lock took longer than it may.
    StatementTimeout,
    /// A login was refused.
    Authentication,
    /// TLS was not agreed on, or a certificate not accepted.
    Tls,
    /// A column, table, function or type is not there, as after a migration that was not run.
    Schema,
    /// Its Redis does not answer.
    Redis,
    /// Nothing answers, or the connection was cut.
    ConnectionRefused,
    /// It got no memory, or the server got none for it.
    OutOfMemory,
    /// It ended itself: a panic, a fatal signal, an unhandled exception.
    Panic,
}

impl AppLogClass {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::PoolTimeout => "pool_timeout",
            Self::Deadlock => "deadlock",
            Self::StatementTimeout => "statement_timeout",
            Self::Authentication => "authentication",
            Self::Tls => "tls",
            Self::Schema => "schema",
            Self::Redis => "redis",
            Self::ConnectionRefused => "connection_refused",
            Self::OutOfMemory => "out_of_memory",
            Self::Panic => "panic",
        }
    }
}

/// How often one class was seen in an application's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppLogCount {
    /// Which.
    pub class: AppLogClass,
    /// Lines of the last minute.
    pub minute: u64,
    /// Lines of the last five minutes.
    pub five_minutes: u64,
    /// Lines since it is followed, shortly before included.
    pub ever: u64,
    /// When it was last seen; absent when its lines have no time and were there before anybody followed.
    pub last: Option<Time>,
    /// The newest line, without literals, numbers and secrets.
    pub example: String,
}

/// What an application's log says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppLog {
    /// `file /var/log/notes.log`, `unit notes`, `container notes`.
    pub source: String,
    /// Since when it is followed.
    pub since: Option<Time>,
    /// Lines that were read.
    pub lines: u64,
    /// Bytes that were written faster than they are read, and skipped.
    pub skipped: u64,
    /// Classes that were seen; one that is not here was not seen.
    pub classes: Vec<AppLogCount>,
}

impl AppLog {
    /// Lines of a class in the last minute.
    #[must_use]
    pub fn minute(&self, class: AppLogClass) -> u64 {
        self.classes
            .iter()
            .find(|c| c.class == class)
            .map_or(0, |c| c.minute)
    }
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
