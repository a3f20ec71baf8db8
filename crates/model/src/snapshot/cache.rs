//! What was read from one Redis: can it be reached, who is it.

use serde::{Deserialize, Serialize};

use super::Reach;

/// Everything that was read from one Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheView {
    /// Short name, `cache`.
    pub name: String,
    /// `shop/cache`.
    pub address: String,
    /// Whether it answers PING.
    pub reach: Reach,
    /// Version.
    pub version: Option<String>,
    /// `run_id`, new at every start.
    pub run_id: Option<String>,
    /// `used_memory` in bytes.
    pub used_memory: Option<u64>,
    /// `maxmemory` in bytes; 0 without a limit.
    pub max_memory: Option<u64>,
}
