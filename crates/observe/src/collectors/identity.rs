//! Who a server is: system identifier, timeline, role, version.

use muster_model::Time;
use muster_model::snapshot::{Gap, Identity, Role};
use muster_reach::{PgSession, ReachError};

use super::CollectorInfo;
use crate::row::{Offset, get};

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "identity",
    about: "Who a server is: system identifier, timeline, role by its own word, version, start time.",
    reads: "pg_control_system(), pg_control_checkpoint(), pg_walfile_name(), pg_stat_wal_receiver, pg_is_in_recovery(), settings",
    needs: "EXECUTE on pg_control_system() and pg_control_checkpoint() (granted to everybody by default)",
    cadence: "2 s",
    gap: "the identity of the cluster; without it nothing is planned",
};

const SQL: &str = include_str!("../sql/identity.sql");
const CONTROL: &str = include_str!("../sql/control.sql");

/// Reads it; the offset between the clocks comes with it.
pub(crate) async fn read(
    session: &PgSession,
    address: &str,
    now: Time,
) -> Result<(Option<Identity>, Offset, Vec<Gap>), ReachError> {
    let rows = session.query(SQL, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok((None, Offset::default(), Vec::new()));
    };
    let offset = Offset::between(get(row, "now_us"), now);
    let mut gaps = Vec::new();
    // A statement of its own: a CASE does not keep the server from checking the privilege.
    let control = if get(row, "control") {
        session.query(CONTROL, &[]).await?
    } else {
        Vec::new()
    };
    let control = control.first();
    if control.is_none() {
        gaps.push(Gap {
            collector: INFO.name.to_owned(),
            target: address.to_owned(),
            reason: "this role may not execute pg_control_system() and pg_control_checkpoint(), so the cluster's identity is unknown".to_owned(),
            remedy: Some(format!(
                "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system(), pg_catalog.pg_control_checkpoint() TO {};",
                session.capability().user
            )),
        });
    }
    let identity = Identity {
        system_identifier: control.map(|r| get(r, "system_identifier")).unwrap_or_default(),
        timeline: control.map_or(0, |r| get::<i32>(r, "timeline").unsigned_abs()),
        role: if get(row, "in_recovery") {
            Role::Standby
        } else {
            Role::Primary
        },
        version_num: get::<i32>(row, "version_num").unsigned_abs(),
        version: get(row, "version"),
        started_at: offset.ours(get(row, "started_us")),
        read_only: get(row, "read_only"),
        cluster_name: get(row, "cluster_name"),
    };
    Ok((Some(identity), offset, gaps))
}
