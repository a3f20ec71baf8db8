//! What was read from one Redis: can it be reached, who is it, what it counts, holds, evicts, keeps safe and finds slow.
//!
//! No key and no value is ever read: only what the server says of itself. The arguments of slow commands stay with it.

use serde::{Deserialize, Serialize};

use super::{Counted, LimiterView, Part, Reach};
use crate::time::Time;

/// Everything that was read from one Redis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheView {
    /// Short name, `cache`.
    pub name: String,
    /// `shop/cache`.
    pub address: String,
    /// Whether it answers.
    pub reach: Reach,
    /// Version.
    pub version: Option<String>,
    /// `run_id`, new at every start.
    pub run_id: Option<String>,
    /// `used_memory` in bytes.
    pub used_memory: Option<u64>,
    /// `maxmemory` in bytes; 0 without a limit.
    pub max_memory: Option<u64>,
    /// What INFO says; absent while it does not answer, or does not let us ask.
    #[serde(default)]
    pub stats: Option<Part<CacheStats>>,
    /// What the rate limiter keeps in it; absent while no limiter is enrolled.
    #[serde(default)]
    pub limiter: Option<LimiterView>,
}

/// What only grows until Redis restarts or its counters are reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheCounters {
    /// Lookups that found their key.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Keys thrown out because memory was short.
    pub evicted: u64,
    /// Keys whose time was over.
    pub expired: u64,
    /// Connections refused because `maxclients` was reached.
    pub rejected: u64,
    /// Commands.
    pub commands: u64,
    /// Writes refused because memory was full (Redis 6.2 and later).
    pub out_of_memory: u64,
    /// Writes refused because what is written cannot be saved (Redis 6.2 and later).
    pub misconfigured: u64,
    /// Entries that came into the slow log.
    pub slow: u64,
}

/// What INFO says in one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheStats {
    /// When it started.
    pub started_at: Time,
    /// When most of its keys vanished between two looks: somebody cleared it.
    pub cleared_at: Option<Time>,
    /// Since when every look sees keys evicted; absent when the last looks saw none.
    pub evicting_since: Option<Time>,
    /// The counters.
    pub counted: Counted<CacheCounters>,
    /// Commands a second, as Redis measures it.
    pub commands_per_second: u64,
    /// Keys in all its databases.
    pub keys: u64,
    /// Of these, keys that expire.
    pub expiring: u64,
    /// Memory.
    pub memory: CacheMemory,
    /// Clients.
    pub clients: CacheClients,
    /// Master or replica.
    pub replication: CacheReplication,
    /// Whether what it holds is saved.
    pub persistence: CachePersistence,
    /// The newest entries of the slow log; absent when it may not be read.
    pub slow: Option<Vec<SlowCommand>>,
    /// LATENCY LATEST; absent when it may not be read, empty also when `latency-monitor-threshold` is 0.
    pub latency: Option<Vec<LatencyEvent>>,
}

impl CacheStats {
    /// Since when its rates and shares can be trusted to be those of a warm cache: its start, or when it was cleared.
    #[must_use]
    pub fn cold_since(&self) -> Time {
        self.cleared_at
            .map_or(self.started_at, |t| t.max(self.started_at))
    }
}

/// Memory of a Redis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheMemory {
    /// What counts against `maxmemory`: `used_memory` without the buffers of replicas and of the append-only file.
    pub used: u64,
    /// `maxmemory`; 0 without a limit.
    pub max: u64,
    /// `maxmemory_policy`, such as `noeviction`.
    pub policy: String,
    /// Resident memory of the process.
    pub resident: u64,
    /// `mem_fragmentation_ratio`.
    pub fragmentation: Option<f64>,
}

impl CacheMemory {
    /// Whether a full cache makes room by itself. A `volatile-…` policy can only throw out keys that expire.
    #[must_use]
    pub fn makes_room(&self, expiring: u64) -> bool {
        match self.policy.split_once('-') {
            Some(("allkeys", _)) => true,
            Some(("volatile", _)) => expiring > 0,
            _ => false,
        }
    }
}

/// Clients of a Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheClients {
    /// Connected, ours included.
    pub connected: u64,
    /// `maxclients`; absent when it may not be read.
    pub max: Option<u64>,
    /// Waiting in a blocking command.
    pub blocked: u64,
}

/// Master or replica, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheReplication {
    /// Whether it is a replica.
    pub replica: bool,
    /// `host:port` of its master, when it is a replica.
    pub master: Option<String>,
    /// Whether its link to the master is up, when it is a replica.
    pub link_up: Option<bool>,
    /// Since when the link is down.
    pub down_since: Option<Time>,
    /// Position in the stream of changes.
    pub offset: u64,
    /// Replicas that are connected to it.
    pub replicas: Vec<CacheReplica>,
}

/// A replica as its master sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheReplica {
    /// `host:port`.
    pub address: String,
    /// `online`, `wait_bgsave`, `send_bulk`.
    pub state: String,
    /// Position that it acknowledged.
    pub offset: u64,
}

/// Whether what a Redis holds is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CachePersistence {
    /// Whether the last snapshot was written.
    pub snapshot_ok: bool,
    /// When the last one was written; when none was yet, when Redis started.
    pub saved_at: Option<Time>,
    /// Changes since.
    pub unsaved: u64,
    /// Whether snapshots are taken by themselves (`save`); absent when it may not be read.
    pub saves: Option<bool>,
    /// Whether writes are refused after a snapshot that failed; absent when it may not be read.
    pub refuses_writes: Option<bool>,
    /// Whether it appends every change to a file.
    pub append_only: bool,
    /// Whether the last append was written.
    pub append_ok: bool,
    /// Whether the file was rewritten the last time it had to be.
    pub rewrite_ok: bool,
}

/// One entry of the slow log, its command without arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SlowCommand {
    /// Its number, which only grows.
    pub id: u64,
    /// When it ran.
    pub at: Time,
    /// For how long, in microseconds.
    pub took_us: u64,
    /// The command's name.
    pub command: String,
}

/// One row of LATENCY LATEST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LatencyEvent {
    /// `command`, `fork`, `aof-write`, …
    pub event: String,
    /// When it was last seen.
    pub at: Time,
    /// How long it took then, in milliseconds.
    pub latest_ms: u64,
    /// The longest ever, in milliseconds.
    pub longest_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::CacheMemory;

    #[test]
    fn only_a_policy_with_something_to_throw_out_makes_room() {
        for (policy, expiring, room) in [
            ("noeviction", 9, false),
            ("allkeys-lru", 0, true),
            ("allkeys-lfu", 0, true),
            ("volatile-ttl", 0, false),
            ("volatile-ttl", 1, true),
            ("", 1, false),
        ] {
            let memory = CacheMemory {
                policy: policy.into(),
                ..CacheMemory::default()
            };
            assert_eq!(memory.makes_room(expiring), room, "{policy} {expiring}");
        }
    }
}
