//! The small caches in shared memory behind transactions: subtransactions, commit log, multixacts and the like.

use serde::{Deserialize, Serialize};

use super::Counted;

/// What one of them counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SlruCounters {
    /// Pages found in the cache.
    pub hit: u64,
    /// Pages read from the disk.
    pub read: u64,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Slru {
    /// Its name as the server says it: `Subtrans` up to 16, `subtransaction` from 17 on.
    pub name: String,
    /// The counters.
    pub counted: Counted<SlruCounters>,
}
