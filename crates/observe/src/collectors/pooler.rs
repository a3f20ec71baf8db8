//! What a PgBouncer does: pools, clients, servers, databases, config, joined client -> server -> session by pid.

use std::collections::BTreeMap;

use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{Pool, PoolClient, PoolCounters, PoolDatabase, PoolServer, PoolTraffic};
use muster_model::{Span, Time};
use muster_reach::error::Trouble;
use muster_reach::pooler::ConsoleRow;
use muster_reach::{Pooler, ReachError, Show};

use super::CollectorInfo;
use crate::ring::Ring;
use logins::Logins;

mod logins;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "pooler",
    about: "SHOW POOLS, CLIENTS, SERVERS, DATABASES, CONFIG, LISTS, STATS and (where the version has it) STATE of a PgBouncer, \
            joined client to server to session; pools that get no server connection, over several looks.",
    reads: "the console (PgBouncer 1.17 and later)",
    needs: "a user in stats_users",
    cadence: "1 s",
    gap: "everything about the pooler; who is behind a pooled session",
};

/// A list of so many clients costs little: it is asked for at every look.
const FEW: u32 = 300;
/// A longer one is asked for so often while no client waits.
const CLIENTS_EVERY: Span = Span::from_secs(10);

/// What is remembered of a PgBouncer.
#[derive(Default)]
pub(crate) struct Memory {
    version: Option<String>,
    config: Option<(Time, BTreeMap<String, String>)>,
    /// Whether this version is known to have no SHOW STATE.
    stateless: bool,
    /// The clients of the last look that asked for them.
    clients: Option<(Time, Vec<PoolClient>)>,
    traffic: BTreeMap<String, Ring<PoolCounters>>,
    logins: Logins,
}

/// What a look asks beyond what changes all the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    config: Option<BTreeMap<String, String>>,
    version: Option<String>,
    stateless: bool,
    /// Clients that are known well enough while nobody waits.
    clients: Option<Vec<PoolClient>>,
}

/// One look.
pub(crate) struct Look {
    version: Option<String>,
    state: PoolerState,
    counters: Vec<(String, PoolCounters)>,
    config_is_new: bool,
    clients_are_new: bool,
    stateless: bool,
}

impl Memory {
    /// What the next look need not ask.
    pub(crate) fn wants(&self, now: Time, all: bool, config_every: Span) -> Wants {
        let fresh = |t: Time| !all && now.since(t) < config_every;
        Wants {
            config: self
                .config
                .as_ref()
                .filter(|(t, _)| fresh(*t))
                .map(|(_, c)| c.clone()),
            version: self.version.clone(),
            stateless: self.stateless,
            clients: self
                .clients
                .as_ref()
                .filter(|(t, _)| !all && *t <= now && now.since(*t) < CLIENTS_EVERY)
                .map(|(_, clients)| clients.clone()),
        }
    }

    /// Makes of a look what it says, with its version.
    pub(crate) fn takes(&mut self, look: Look, now: Time) -> (PoolerState, Option<String>) {
        let mut state = look.state;
        if look.config_is_new {
            self.config = Some((now, state.config.clone()));
        }
        if look.clients_are_new {
            // Who has which server connection is true for a moment only.
            let gone = |c: &PoolClient| PoolClient {
                link: None,
                ..c.clone()
            };
            self.clients = Some((now, state.clients.iter().map(gone).collect()));
        }
        self.version.clone_from(&look.version);
        self.stateless = look.stateless;
        let mut seen = BTreeMap::new();
        for (database, counters) in look.counters {
            let mut ring = self.traffic.remove(&database).unwrap_or_default();
            let counted = ring.take(now, counters, |a, b| {
                b.queries < a.queries || b.received < a.received
            });
            seen.insert(database.clone(), ring);
            state.traffic.push(PoolTraffic { database, counted });
        }
        self.traffic = seen;
        state.stuck = self.logins.takes(&state, now);
        (state, look.version)
    }

    /// It is gone: another one, of another version, may come back.
    pub(crate) fn forgets(&mut self) {
        *self = Self::default();
    }
}

/// Reads it.
pub(crate) async fn read(pooler: &Pooler, wants: Wants, now: Time) -> Result<Look, ReachError> {
    let version = match wants.version {
        Some(version) => Some(version),
        None => pooler
            .show(Show::Version)
            .await?
            .first()
            .and_then(|r| r.get("version"))
            .map(|v| v.trim_start_matches("PgBouncer ").to_owned()),
    };
    let config_is_new = wants.config.is_none();
    let mut state = PoolerState {
        config: match wants.config {
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
    let mut stateless = wants.stateless;
    if !stateless {
        match pooler.show(Show::State).await {
            Ok(rows) => state.paused = Some(rests(&rows)),
            Err(e) if e.trouble == Trouble::Statement => stateless = true,
            Err(e) => return Err(e),
        }
    }
    for row in &pooler.show(Show::Lists).await? {
        if text(row, "list") == "used_clients" {
            state.used_clients = row.get("items").and_then(|v| v.parse().ok());
        }
    }
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
            paused: number::<u32>(row, "paused") != 0 || state.paused == Some(true),
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
    let waits = state.pools.iter().any(|p| p.cl_waiting > 0);
    let few = state.used_clients.is_some_and(|n| n <= FEW);
    let mut clients_are_new = false;
    let known = wants.clients.filter(|_| !waits && !few);
    let rows = match known {
        Some(clients) => {
            state.clients = clients;
            Vec::new()
        }
        None => {
            clients_are_new = true;
            pooler.show(Show::Clients).await?
        }
    };
    for row in &rows {
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
    let counters = pooler
        .show(Show::Stats)
        .await?
        .iter()
        .filter(|row| text(row, "database") != "pgbouncer")
        .map(|row| (text(row, "database"), counters(row)))
        .collect();
    Ok(Look {
        version,
        state,
        counters,
        config_is_new,
        clients_are_new,
        stateless,
    })
}

/// Whether SHOW STATE says that everything rests: `active`, `paused` and `suspended`, each yes or no.
fn rests(rows: &[ConsoleRow]) -> bool {
    rows.iter()
        .any(|r| matches!(text(r, "key").as_str(), "paused" | "suspended") && text(r, "value") == "yes")
}

fn counters(row: &ConsoleRow) -> PoolCounters {
    PoolCounters {
        transactions: number(row, "total_xact_count"),
        queries: number(row, "total_query_count"),
        received: number(row, "total_received"),
        sent: number(row, "total_sent"),
        transaction_us: number(row, "total_xact_time"),
        query_us: number(row, "total_query_time"),
        wait_us: number(row, "total_wait_time"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pairs: &[(&str, &str)]) -> ConsoleRow {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn the_state_of_newer_versions_is_read_as_they_write_it() {
        let state = |active: &str, paused: &str, suspended: &str| {
            rests(&[
                row(&[("key", "active"), ("value", active)]),
                row(&[("key", "paused"), ("value", paused)]),
                row(&[("key", "suspended"), ("value", suspended)]),
            ])
        };
        assert!(!state("yes", "no", "no"));
        assert!(state("no", "yes", "no") && state("no", "no", "yes"));
    }

    #[test]
    fn a_long_list_of_clients_is_known_for_a_while_without_their_connections() {
        let at = |s: i64| Time::from_millis(s * 1000);
        let mut memory = Memory::default();
        let client = PoolClient {
            ptr: "0x1".into(),
            link: Some("0x2".into()),
            user: "app".into(),
            database: "shop".into(),
            state: "active".into(),
            addr: "unix".into(),
            application: String::new(),
            connect_time: None,
            wait_us: 0,
        };
        let state = PoolerState {
            clients: vec![client],
            ..PoolerState::default()
        };
        let look = Look {
            version: None,
            state,
            counters: Vec::new(),
            config_is_new: false,
            clients_are_new: true,
            stateless: true,
        };
        let wants =
            |memory: &Memory, s: i64, all: bool| memory.wants(at(s), all, Span::from_secs(60)).clients;
        assert_eq!(wants(&memory, 0, false), None);
        let (shown, _) = memory.takes(look, at(1));
        assert!(shown.clients[0].link.is_some());
        let known = wants(&memory, 5, false).expect("known");
        assert_eq!((known[0].user.as_str(), &known[0].link), ("app", &None));
        assert_eq!(wants(&memory, 5, true), None, "a probe asks");
        assert_eq!(wants(&memory, 11, false), None, "too old");
        assert_eq!(wants(&memory, 0, false), None, "the clock was set back");
    }

    #[test]
    fn counters_of_a_restart_begin_anew() {
        let mut memory = Memory::default();
        let mut queries = |count: u64, second: i64| {
            let look = Look {
                version: None,
                state: PoolerState::default(),
                counters: vec![(
                    "app".into(),
                    PoolCounters {
                        queries: count,
                        ..PoolCounters::default()
                    },
                )],
                config_is_new: false,
                clients_are_new: false,
                stateless: true,
            };
            let (state, _) = memory.takes(look, Time::from_millis(second * 1000));
            state.traffic[0].counted.in_a_minute(|c| c.queries).map(|g| g.by)
        };
        assert_eq!(
            (queries(10, 1), queries(40, 2), queries(3, 3)),
            (None, Some(30), None)
        );
    }
}
