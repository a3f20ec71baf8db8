//! What a PgBouncer does: pools, clients, servers, databases, config, joined client -> server -> session by pid.

use std::collections::BTreeMap;

use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{Pool, PoolClient, PoolDatabase, PoolServer};
use muster_model::{Span, Time};
use muster_reach::pooler::ConsoleRow;
use muster_reach::{Pooler, ReachError, Show};

use super::CollectorInfo;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "pooler",
    about: "SHOW POOLS, CLIENTS, SERVERS, DATABASES and CONFIG of a PgBouncer, joined client to server to session.",
    reads: "the console (PgBouncer 1.17 and later)",
    needs: "a user in stats_users",
    cadence: "1 s",
    gap: "everything about the pooler; who is behind a pooled session",
};

/// Reads it; `config` is what SHOW CONFIG said last when it is not due.
pub(crate) async fn read(
    pooler: &Pooler,
    now: Time,
    config: Option<BTreeMap<String, String>>,
) -> Result<PoolerState, ReachError> {
    let mut state = PoolerState {
        config: match config {
            Some(config) => config,
            None => pooler
                .show(Show::Config)
                .await?
                .iter()
                .filter_map(|r| Some((r.get("key")?.clone(), r.get("value").cloned().unwrap_or_default())))
                .collect(),
        },
        ..PoolerState::default()
    };
    for row in &pooler.show(Show::Databases).await? {
        state.databases.push(PoolDatabase {
            name: text(row, "name"),
            host: text(row, "host"),
            port: number(row, "port"),
            database: text(row, "database"),
            pool_size: number(row, "pool_size"),
            reserve_pool: row
                .get("reserve_pool_size")
                .or(row.get("reserve_pool"))
                .and_then(|v| v.parse().ok())
                .unwrap_or(0),
            max_connections: number(row, "max_connections"),
            current_connections: number(row, "current_connections"),
            paused: number::<u32>(row, "paused") != 0,
            disabled: number::<u32>(row, "disabled") != 0,
        });
    }
    for row in &pooler.show(Show::Pools).await? {
        if text(row, "database") == "pgbouncer" {
            continue;
        }
        let size = state
            .databases
            .iter()
            .find(|d| d.name == text(row, "database"))
            .map_or(0, |d| d.pool_size);
        state.pools.push(Pool {
            database: text(row, "database"),
            user: text(row, "user"),
            mode: text(row, "pool_mode"),
            cl_active: number(row, "cl_active"),
            cl_waiting: number(row, "cl_waiting"),
            sv_active: number(row, "sv_active"),
            sv_idle: number(row, "sv_idle"),
            sv_used: number(row, "sv_used"),
            sv_tested: number(row, "sv_tested"),
            sv_login: number(row, "sv_login"),
            maxwait_us: number::<u64>(row, "maxwait") * 1_000_000 + number::<u64>(row, "maxwait_us"),
            size,
        });
    }
    for row in &pooler.show(Show::Clients).await? {
        if text(row, "database") == "pgbouncer" {
            continue;
        }
        state.clients.push(PoolClient {
            ptr: text(row, "ptr"),
            link: row.get("link").filter(|l| !l.is_empty()).cloned(),
            user: text(row, "user"),
            database: text(row, "database"),
            state: text(row, "state"),
            addr: address(row),
            application: text(row, "application_name"),
            connect_time: time(row, "connect_time", now),
            wait_us: number::<u64>(row, "wait") * 1_000_000 + number::<u64>(row, "wait_us"),
        });
    }
    for row in &pooler.show(Show::Servers).await? {
        state.servers.push(PoolServer {
            ptr: text(row, "ptr"),
            link: row.get("link").filter(|l| !l.is_empty()).cloned(),
            user: text(row, "user"),
            database: text(row, "database"),
            state: text(row, "state"),
            addr: address(row),
            port: number(row, "port"),
            remote_pid: number(row, "remote_pid"),
            connect_time: time(row, "connect_time", now),
        });
    }
    Ok(state)
}

fn text(row: &ConsoleRow, column: &str) -> String {
    row.get(column).cloned().unwrap_or_default()
}

fn number<T: std::str::FromStr + Default>(row: &ConsoleRow, column: &str) -> T {
    row.get(column).and_then(|v| v.parse().ok()).unwrap_or_default()
}

fn address(row: &ConsoleRow) -> String {
    let addr = text(row, "addr");
    if addr == "unix" || addr.starts_with("unix") {
        "unix".to_owned()
    } else {
        format!("{addr}:{}", text(row, "port"))
    }
}

/// `2026-11-20 03:04:05 UTC`; a time in another zone or in the future is left out rather than misread.
fn time(row: &ConsoleRow, column: &str, now: Time) -> Option<Time> {
    let text = row.get(column)?;
    let utc = text.strip_suffix(" UTC")?.replacen(' ', "T", 1) + "Z";
    utc.parse::<Time>()
        .ok()
        .filter(|t| *t <= now.plus(Span::from_secs(60)))
}
