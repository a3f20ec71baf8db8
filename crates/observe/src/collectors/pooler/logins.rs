//! Which pools get no server connection, told from several looks at the console.
//!
//! PgBouncer does not say that its logins fail. After a failure it waits for `server_login_retry` and shows nothing of it:
//! no login under way, no error, only clients that wait beside room for more connections. So the sign must be there in look
//! after look, and one login that succeeded ends it.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{Pool, PoolServer, StuckPool};
use muster_model::{Span, Time};

/// Looks without the sign may lie between two looks with it: clients are sent away at each try, and come again.
const PATIENCE: Span = Span::from_secs(5);
/// Who has been connected before waits for so long before the missing connection is the reason.
const LONG: u64 = 1_000_000;

type Key = (String, String);

struct Trail {
    since: Time,
    last: Time,
    tries: bool,
}

/// What is remembered of the logins of all pools.
#[derive(Default)]
pub(super) struct Logins {
    trails: BTreeMap<Key, Trail>,
    /// Server connections that were logged in at the last look.
    logged_in: BTreeSet<String>,
}

impl Logins {
    /// Takes a look; the pools that are stuck now.
    pub(super) fn takes(&mut self, state: &PoolerState, now: Time) -> Vec<StuckPool> {
        let logged_in: BTreeSet<String> = state
            .servers
            .iter()
            .filter(|s| is_logged_in(s))
            .map(identity)
            .collect();
        let mut trails = BTreeMap::new();
        for pool in &state.pools {
            let key = (pool.database.clone(), pool.user.clone());
            let succeeded = state
                .servers_of(pool)
                .any(|s| is_logged_in(s) && !self.logged_in.contains(&identity(s)));
            let known = self.trails.remove(&key).filter(|_| !succeeded);
            if gets_none(state, pool) && !succeeded {
                let tries = pool.sv_login > 0 || known.as_ref().is_some_and(|t| t.tries);
                let since = known.map_or(now, |t| t.since);
                trails.insert(
                    key,
                    Trail {
                        since,
                        last: now,
                        tries,
                    },
                );
            } else if let Some(trail) = known.filter(|t| now.since(t.last) <= PATIENCE && pool.sv_idle == 0) {
                trails.insert(key, trail);
            }
        }
        self.trails = trails;
        self.logged_in = logged_in;
        self.trails
            .iter()
            .map(|((database, user), trail)| StuckPool {
                database: database.clone(),
                user: user.clone(),
                since: trail.since,
                tries: trail.tries,
            })
            .collect()
    }
}

/// Whether a pool gets no connection although it may: a login is under way, or somebody waits beside room for one.
fn gets_none(state: &PoolerState, pool: &Pool) -> bool {
    let database = state.databases.iter().find(|d| d.name == pool.database);
    if database.is_some_and(|d| d.paused || d.disabled) || limited(state, pool) {
        return false;
    }
    if pool.sv_login > 0 {
        return true;
    }
    let ready = pool.sv_idle + pool.sv_used + pool.sv_tested;
    let room = pool.size == 0 || pool.sv_active < pool.size;
    // Before its first login a client waits without its wait being counted.
    let waits = pool.cl_waiting > 0 && (pool.sv_active == 0 || pool.maxwait_us >= LONG);
    waits && ready == 0 && room
}

/// Whether another limit than the pool's size keeps it from opening one more.
fn limited(state: &PoolerState, pool: &Pool) -> bool {
    let reached = |most: u32, open: usize| most > 0 && open >= most as usize;
    let configured = |key: &str| state.config.get(key).and_then(|v| v.parse().ok()).unwrap_or(0);
    let of_database = state.databases.iter().find(|d| d.name == pool.database);
    let by_database = of_database.is_some_and(|d| {
        let most = if d.max_connections > 0 {
            d.max_connections
        } else {
            configured("max_db_connections")
        };
        reached(most, d.current_connections as usize)
    });
    let of_user = state.servers.iter().filter(|s| s.user == pool.user).count();
    by_database || reached(configured("max_user_connections"), of_user)
}

fn is_logged_in(server: &PoolServer) -> bool {
    !matches!(server.state.as_str(), "new" | "login")
}

/// A pointer is used again; with the time of the connect it names one connection.
fn identity(server: &PoolServer) -> String {
    format!("{}|{}", server.ptr, server.connect_time.map_or(0, Time::millis))
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::PoolDatabase;

    use super::*;

    fn at(secs: i64) -> Time {
        Time::from_millis(secs * 1000)
    }

    fn pool(waiting: u32, active: u32, login: u32) -> Pool {
        Pool {
            database: "app".into(),
            user: "app".into(),
            mode: "transaction".into(),
            cl_active: 0,
            cl_waiting: waiting,
            sv_active: active,
            sv_idle: 0,
            sv_used: 0,
            sv_tested: 0,
            sv_login: login,
            maxwait_us: 0,
            size: 3,
        }
    }

    fn server(ptr: &str, state: &str) -> PoolServer {
        PoolServer {
            ptr: ptr.into(),
            link: None,
            user: "app".into(),
            database: "app".into(),
            state: state.into(),
            addr: "127.0.0.1:1".into(),
            port: 1,
            remote_pid: 0,
            connect_time: Some(at(1)),
        }
    }

    fn state(pool: Pool, servers: Vec<PoolServer>) -> PoolerState {
        PoolerState {
            databases: vec![PoolDatabase {
                name: "app".into(),
                host: "127.0.0.1".into(),
                port: 1,
                database: "app".into(),
                pool_size: 3,
                reserve_pool: 0,
                max_connections: 0,
                current_connections: u32::try_from(servers.len()).unwrap_or(0),
                paused: false,
                disabled: false,
            }],
            pools: vec![pool],
            servers,
            ..PoolerState::default()
        }
    }

    /// As PgBouncer 1.18 shows a wrong password: a client waits, and there is nothing else.
    #[test]
    fn clients_that_wait_beside_room_are_stuck_since_the_first_look() {
        let mut logins = Logins::default();
        let wrong = state(pool(1, 0, 0), vec![]);
        assert_eq!(logins.takes(&wrong, at(1))[0].since, at(1));
        let sent_away = state(pool(0, 0, 0), vec![]);
        assert_eq!(logins.takes(&sent_away, at(4)).len(), 1, "they come again");
        assert_eq!(logins.takes(&wrong, at(6))[0].since, at(1));
        assert!(logins.takes(&sent_away, at(12)).is_empty(), "nobody came again");
    }

    /// As it shows a server whose slots are all taken: one connection works, the others wait and wait.
    #[test]
    fn a_full_server_leaves_some_working_and_the_rest_stuck() {
        let mut logins = Logins::default();
        let busy = vec![server("s1", "active")];
        let mut p = pool(3, 1, 0);
        assert!(
            logins.takes(&state(p.clone(), busy.clone()), at(1)).is_empty(),
            "a short wait"
        );
        p.maxwait_us = 2_000_000;
        assert_eq!(logins.takes(&state(p.clone(), busy.clone()), at(3)).len(), 1);
        let more = vec![server("s1", "active"), server("s2", "active")];
        assert!(
            logins.takes(&state(p, more), at(5)).is_empty(),
            "a login succeeded"
        );
    }

    /// As it shows a server that takes connections and does not answer.
    #[test]
    fn a_login_that_hangs_is_a_try_and_one_that_succeeds_ends_it() {
        let mut logins = Logins::default();
        let hangs = state(pool(1, 0, 1), vec![server("s1", "new")]);
        let stuck = logins.takes(&hangs, at(1));
        assert!(stuck[0].tries);
        assert_eq!(logins.takes(&hangs, at(9))[0].since, at(1));
        let through = state(pool(0, 1, 0), vec![server("s1", "active")]);
        assert!(logins.takes(&through, at(10)).is_empty());
        // A pool that opens one connection after the other is not stuck, however often it is seen at it.
        for second in 11..40 {
            let name = format!("s{second}");
            let opens = state(pool(1, 1, 1), vec![server("x", "new"), server(&name, "active")]);
            assert!(logins.takes(&opens, at(second)).is_empty(), "{second}");
        }
    }

    #[test]
    fn a_pause_a_limit_and_a_full_pool_are_other_things() {
        let mut paused = state(pool(1, 0, 0), vec![]);
        paused.databases[0].paused = true;
        let mut limited = state(pool(1, 0, 0), vec![]);
        limited.databases[0].max_connections = 5;
        limited.databases[0].current_connections = 5;
        let mut by_user = state(pool(1, 0, 0), vec![server("s1", "active")]);
        by_user.config.insert("max_user_connections".into(), "1".into());
        let mut full = pool(9, 3, 0);
        full.maxwait_us = 9_000_000;
        for other in [paused, limited, by_user, state(full, vec![])] {
            let mut logins = Logins::default();
            logins.takes(&other, at(0));
            assert!(logins.takes(&other, at(1)).is_empty(), "{other:?}");
        }
    }
}
