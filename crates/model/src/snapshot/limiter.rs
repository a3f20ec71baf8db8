//! What a rate limiter says of itself: who asked how much, and whether it decides without its store.
//!
//! Principals are known by the prefix of a hash, never by their key. Nothing fills this in yet: the limiter's own keys
//! come with the limiter, and until then it is absent, which is silence and not ignorance.

use serde::{Deserialize, Serialize};

use crate::span::Span;
use crate::time::Time;

/// One limiter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LimiterView {
    /// Requests of everybody in the window.
    pub asked: u64,
    /// The window.
    pub window: Span,
    /// The principals that asked most, the biggest first.
    pub principals: Vec<Principal>,
    /// Since when it decides without its store, by its policy for that; absent while it has it.
    pub degraded_since: Option<Time>,
}

/// Somebody whose requests are limited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Principal {
    /// Prefix of the hash of its key.
    pub name: String,
    /// Its tier.
    pub tier: String,
    /// Its requests in the window.
    pub asked: u64,
    /// Of these, refused.
    pub denied: u64,
    /// Its requests in a usual window of the same length; absent while that is not known.
    pub usual: Option<f64>,
}
