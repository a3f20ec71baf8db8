//! What a server says about replication: as a sender and as a receiver. Lag is computed across servers by rules.

use serde::{Deserialize, Serialize};

use super::conflicts::Conflicts;
use super::subscription::Subscription;
use crate::time::Time;

/// A position in the write-ahead log, in bytes since its beginning.
pub type Lsn = u64;

/// One row of `pg_stat_replication`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Sender {
    /// Process id of the walsender.
    pub pid: i32,
    /// `application_name` of the standby.
    pub application: String,
    /// Client address, absent for unix sockets.
    pub client: Option<String>,
    /// `streaming`, `catchup`, `startup`, `backup`, `stopping`.
    pub state: Option<String>,
    /// `sync`, `async`, `quorum`, `potential`.
    pub sync_state: Option<String>,
    /// Sent up to here.
    pub sent: Option<Lsn>,
    /// Flushed by the standby up to here.
    pub flushed: Option<Lsn>,
    /// Replayed by the standby up to here.
    pub replayed: Option<Lsn>,
    /// Last answer of the standby.
    pub reply_time: Option<Time>,
    /// How long the standby took to replay what it was sent, by its last answer (`replay_lag`), in milliseconds; absent while
    /// there is nothing to replay.
    #[serde(default)]
    pub replay_lag_ms: Option<u64>,
}

/// One replication slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Slot {
    /// Name.
    pub name: String,
    /// `physical` or `logical`.
    pub slot_type: String,
    /// Whether somebody streams from it.
    pub active: bool,
    /// Process id of the walsender that uses it.
    pub active_pid: Option<i32>,
    /// Oldest position it keeps.
    pub restart: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Temporary slots belong to a session (base backups), not to a standby.
    pub temporary: bool,
    /// Bytes that can be written before it is in danger of being lost; absent without `max_slot_wal_keep_size`.
    #[serde(default)]
    pub safe_wal_size: Option<u64>,
    /// A logical slot: its consumer has confirmed up to here.
    #[serde(default)]
    pub confirmed: Option<Lsn>,
    /// A logical slot: its database.
    #[serde(default)]
    pub database: Option<String>,
    /// A logical slot: its output plugin, which names the consumer.
    #[serde(default)]
    pub plugin: Option<String>,
    /// Since when nobody uses it (PostgreSQL 17 and later).
    #[serde(default)]
    pub inactive_since: Option<Time>,
    /// Why it cannot be used any more (PostgreSQL 17 and later; `rows_removed` on 16 for a conflict).
    #[serde(default)]
    pub invalidation: Option<String>,
    /// Copied from the primary to be ready for a failover: it is never active here (PostgreSQL 17 and later).
    #[serde(default)]
    pub synced: bool,
}

/// The row of `pg_stat_wal_receiver`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Receiver {
    /// Process id.
    pub pid: i32,
    /// `streaming`, `waiting`, …
    pub status: Option<String>,
    /// Host it streams from (a folder for unix sockets).
    pub sender_host: Option<String>,
    /// Port it streams from.
    pub sender_port: Option<u16>,
    /// Slot it uses.
    pub slot: Option<String>,
    /// Last message from the sender.
    pub last_message: Option<Time>,
}

/// What one server says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Replication {
    /// On a primary: `pg_current_wal_lsn()`.
    pub current: Option<Lsn>,
    /// Who streams from here.
    pub senders: Vec<Sender>,
    /// Slots here.
    pub slots: Vec<Slot>,
    /// On a standby: the receiver; absent means that nothing is received.
    pub receiver: Option<Receiver>,
    /// On a standby: received and flushed up to here.
    pub received: Option<Lsn>,
    /// On a standby: replayed up to here.
    pub replayed: Option<Lsn>,
    /// On a standby: commit time of the last replayed transaction.
    pub last_replayed_commit: Option<Time>,
    /// On a standby: `not paused`, `pause requested`, `paused`.
    pub replay_state: Option<String>,
    /// On a standby: where it is told to stream from (`primary_conninfo`, without secrets), when this role may read it.
    pub upstream: Option<String>,
    /// On a standby: `primary_slot_name`, when this role may read it.
    pub upstream_slot: Option<String>,
    /// On a standby: `recovery_min_apply_delay` in milliseconds.
    pub apply_delay_ms: u64,
    /// `synchronous_standby_names`.
    pub synchronous_names: String,
    /// Whether this role sees the rows of the views (pg_monitor).
    pub sees_all: bool,
    /// On a standby: statements that it cancelled, by database; absent when they could not be read.
    #[serde(default)]
    pub conflicts: Option<Vec<Conflicts>>,
    /// Subscriptions of all databases; absent when they could not be read.
    #[serde(default)]
    pub subscriptions: Option<Vec<Subscription>>,
    /// `max_slot_wal_keep_size` in bytes; absent without a limit.
    #[serde(default)]
    pub slot_limit: Option<u64>,
}
