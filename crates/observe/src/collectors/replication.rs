//! Replication on both ends: what a server sends, what it receives, what its slots keep.

use muster_model::snapshot::{Gap, Receiver, Replication, Role, Sender, Slot};
use muster_reach::{PgSession, ReachError, redact};

use super::CollectorInfo;
use crate::row::{Offset, get, lsn};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "replication",
    about: "Senders, slots and the current position of a primary; receiver, received and replayed positions and pause of a standby.",
    reads: "pg_stat_replication, pg_replication_slots, pg_stat_wal_receiver, positions, primary_conninfo without its secrets",
    needs: "pg_monitor",
    cadence: "2 s",
    gap: "state and positions of senders, the receiver, the upstream of a standby",
};

const NODE: &str = include_str!("../sql/replication.sql");
const SENDERS: &str = include_str!("../sql/senders.sql");
const SLOTS: &str = include_str!("../sql/slots.sql");
const RECEIVER: &str = include_str!("../sql/receiver.sql");

/// Reads it.
pub(crate) async fn read(
    session: &PgSession,
    address: &str,
    role: Role,
    offset: Offset,
) -> Result<(Replication, Vec<Gap>), ReachError> {
    let mut out = Replication {
        sees_all: session.capability().monitor || session.capability().superuser,
        ..Replication::default()
    };
    if let Some(row) = session.query(NODE, &[]).await?.first() {
        out.current = lsn(row, "current");
        out.received = lsn(row, "received");
        out.replayed = lsn(row, "replayed");
        out.last_replayed_commit = offset.time(row, "last_commit");
        out.replay_state = get(row, "replay_state");
        out.upstream = get::<Option<String>>(row, "upstream")
            .map(|u| redact::conninfo(&u))
            .filter(|u| !u.is_empty());
        out.upstream_slot = get::<Option<String>>(row, "upstream_slot").filter(|s| !s.is_empty());
        out.apply_delay_ms = u64::try_from(get::<i64>(row, "apply_delay_ms")).unwrap_or(0);
        out.synchronous_names = get(row, "synchronous_names");
        // Below zero: no limit.
        let limit = get::<Option<i64>>(row, "slot_limit_mb");
        out.slot_limit = limit.and_then(|mb| u64::try_from(mb).ok()).map(|mb| mb << 20);
    }
    for row in &session.query(SENDERS, &[]).await? {
        out.senders.push(Sender {
            pid: get(row, "pid"),
            application: get::<Option<String>>(row, "application_name").unwrap_or_default(),
            client: get(row, "client"),
            state: get(row, "state"),
            sync_state: get(row, "sync_state"),
            sent: lsn(row, "sent"),
            flushed: lsn(row, "flushed"),
            replayed: lsn(row, "replayed"),
            reply_time: offset.time(row, "reply_time"),
            replay_lag_ms: row
                .get::<_, Option<i64>>("replay_lag_ms")
                .and_then(|ms| u64::try_from(ms).ok()),
        });
    }
    for row in &session.query(SLOTS, &[]).await? {
        out.slots.push(Slot {
            name: get(row, "slot_name"),
            slot_type: get(row, "slot_type"),
            active: get(row, "active"),
            active_pid: get(row, "active_pid"),
            restart: lsn(row, "restart"),
            wal_status: get(row, "wal_status"),
            temporary: get(row, "temporary"),
            // Below zero: its limit is passed already.
            safe_wal_size: get::<Option<i64>>(row, "safe_wal_size").map(|b| u64::try_from(b).unwrap_or(0)),
            confirmed: lsn(row, "confirmed"),
            database: get(row, "database"),
            plugin: get(row, "plugin"),
            inactive_since: offset.time(row, "inactive_since"),
            invalidation: get(row, "invalidation"),
            synced: get(row, "synced"),
        });
    }
    if role == Role::Standby
        && let Some(row) = session.query(RECEIVER, &[]).await?.first()
    {
        out.receiver = Some(Receiver {
            pid: get(row, "pid"),
            status: get(row, "status"),
            sender_host: get(row, "sender_host"),
            sender_port: get::<Option<i32>>(row, "sender_port").and_then(|p| u16::try_from(p).ok()),
            slot: get(row, "slot_name"),
            last_message: offset.time(row, "last_message"),
        });
    }
    let mut gaps = Vec::new();
    if !out.sees_all {
        gaps.push(Gap {
            collector: INFO.name.to_owned(),
            target: address.to_owned(),
            reason: format!(
                "role {} does not see the state of replication",
                session.capability().user
            ),
            remedy: Some(format!("GRANT pg_monitor TO {};", session.capability().user)),
        });
    }
    Ok((out, gaps))
}
