//! Logical replication as the subscriber sees it.

use serde::{Deserialize, Serialize};

use super::Counted;

/// What a subscription counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SubscriptionErrors {
    /// Errors while changes were applied.
    pub apply: u64,
    /// Errors while a table was copied at first.
    pub sync: u64,
}

/// One subscription, by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Subscription {
    /// Name.
    pub name: String,
    /// Databases of this server that have an enabled subscription of this name.
    pub enabled: u64,
    /// Apply workers that run for it.
    pub workers: u64,
    /// What it counted (PostgreSQL 15 and later).
    pub errors: Option<Counted<SubscriptionErrors>>,
}
