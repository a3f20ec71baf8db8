//! Pictures of what stands beside the servers: a Redis, a PgBouncer, an application, a role with a limit.

use std::collections::BTreeMap;

use muster_model::snapshot::pooler::PoolerState;
use muster_model::snapshot::{
    AppHealth, AppPool, AppView, Before, CacheClients, CacheCounters, CacheMemory, CachePersistence,
    CacheReplication, CacheStats, CacheView, ConnectionLimit, Counted, LimitOf, LimiterView, PoolerView,
    Principal, Reach, Rung, StuckPool,
};
use muster_model::{Snapshot, Span, Time};

use super::{NOW, healthy, now, part, pooled, session};

/// So many seconds before now.
pub(crate) fn ago(seconds: i64) -> Time {
    Time::from_millis(NOW - seconds * 1000)
}

/// Counters that were `before` a minute ago and are these now.
pub(crate) fn counted<T: Clone>(before: T, after: T) -> Counted<T> {
    let then = Before {
        at: ago(60),
        value: before,
    };
    Counted {
        at: now(),
        now: after,
        minute: Some(then.clone()),
        five_minutes: Some(then),
    }
}

/// A healthy primary and a healthy Redis beside it, that one spoiled.
pub(crate) fn cache(spoil: impl Fn(&mut CacheStats)) -> Snapshot {
    let quiet = CacheCounters {
        hits: 1000,
        misses: 100,
        commands: 5000,
        ..CacheCounters::default()
    };
    let mut stats = CacheStats {
        started_at: Time::from_millis(0),
        cleared_at: None,
        evicting_since: None,
        counted: counted(
            quiet,
            CacheCounters {
                hits: 1900,
                misses: 200,
                commands: 9000,
                ..quiet
            },
        ),
        commands_per_second: 60,
        keys: 1000,
        expiring: 900,
        memory: CacheMemory {
            used: 20 << 20,
            max: 64 << 20,
            policy: "allkeys-lru".into(),
            resident: 24 << 20,
            fragmentation: Some(1.2),
        },
        clients: CacheClients {
            connected: 20,
            max: Some(1000),
            blocked: 0,
        },
        replication: CacheReplication::default(),
        persistence: CachePersistence {
            snapshot_ok: true,
            saved_at: Some(ago(300)),
            unsaved: 10,
            saves: Some(true),
            refuses_writes: Some(true),
            append_only: false,
            append_ok: true,
            rewrite_ok: true,
        },
        slow: Some(vec![]),
        latency: Some(vec![]),
    };
    spoil(&mut stats);
    let mut s = healthy();
    s.caches = vec![CacheView {
        name: "cache".into(),
        address: "shop/cache".into(),
        reach: Reach::Up,
        version: Some("7.0.15".into()),
        run_id: Some("r".into()),
        used_memory: Some(stats.memory.used),
        max_memory: Some(stats.memory.max),
        stats: part(stats),
        limiter: None,
    }];
    s
}

/// Of a hundred lookups of the last minute so many found their key.
pub(crate) fn hits(of_hundred: u64) -> Snapshot {
    cache(|stats| {
        let before = stats.counted.now;
        stats.counted = counted(
            before,
            CacheCounters {
                hits: before.hits + of_hundred,
                misses: before.misses + 100 - of_hundred,
                ..before
            },
        );
    })
}

/// A Redis that is so full in per cent, under a policy.
pub(crate) fn full(percent: u64, policy: &str) -> Snapshot {
    cache(|stats| {
        stats.memory.used = stats.memory.max * percent / 100;
        stats.memory.policy = policy.into();
    })
}

/// A silence of so many misses, since two seconds.
pub(crate) fn silence(misses: u32) -> Reach {
    Reach::Down {
        rung: Rung::Tcp,
        reason: "refused".into(),
        misses,
        since: ago(2),
    }
}

/// A Redis that missed so many looks.
pub(crate) fn cache_down(misses: u32) -> Snapshot {
    let mut s = cache(|_| {});
    s.caches[0].reach = silence(misses);
    s.caches[0].stats = None;
    s
}

/// A Redis that keeps a limiter's counts.
pub(crate) fn limiter(spoil: impl Fn(&mut LimiterView)) -> Snapshot {
    let mut view = LimiterView {
        asked: 1000,
        window: Span::from_secs(60),
        principals: vec![Principal {
            name: "3fa9".into(),
            tier: "standard".into(),
            asked: 100,
            denied: 0,
            usual: Some(90.0),
        }],
        degraded_since: None,
    };
    spoil(&mut view);
    let mut s = cache(|_| {});
    s.caches[0].limiter = Some(view);
    s
}

/// One principal asks so many of a thousand requests, ten times what it usually does or more, and so many are refused.
pub(crate) fn greedy(asked: u64, denied: u64) -> Snapshot {
    limiter(|view| {
        view.principals[0].asked = asked;
        view.principals[0].denied = denied;
        view.principals[0].usual = Some(15.0);
    })
}

/// A PgBouncer at work, spoiled.
pub(crate) fn pooler(spoil: impl Fn(&mut PoolerState)) -> Snapshot {
    let mut s = pooled(0, 0, "active", 20);
    for p in &mut s.poolers {
        if let Some(state) = &mut p.state {
            spoil(&mut state.value);
        }
    }
    s
}

/// A PgBouncer that missed so many looks.
pub(crate) fn pooler_down(misses: u32) -> Snapshot {
    let mut s = healthy();
    s.poolers = vec![PoolerView {
        name: "bouncer".into(),
        address: "shop/bouncer".into(),
        reach: silence(misses),
        version: None,
        state: None,
    }];
    s
}

/// A paused database with so many clients that wait since so long.
pub(crate) fn paused(waiting: u32, maxwait_ms: u64) -> Snapshot {
    pooler(|state| {
        state.databases[0].paused = true;
        state.pools[0].cl_waiting = waiting;
        state.pools[0].maxwait_us = maxwait_ms * 1000;
        state.pools[0].sv_active = 0;
        state.servers.clear();
    })
}

/// A pool that gets no server connection since so many seconds, with so many clients waiting.
pub(crate) fn stuck(seconds: i64, waiting: u32) -> Snapshot {
    pooler(|state| {
        state.pools[0].cl_waiting = waiting;
        state.pools[0].sv_active = 0;
        state.servers.clear();
        state.stuck = vec![StuckPool {
            database: "app".into(),
            user: "app".into(),
            since: ago(seconds),
            tries: true,
        }];
    })
}

/// So many of a thousand clients.
pub(crate) fn clients(used: u32) -> Snapshot {
    pooler(|state| {
        state.used_clients = Some(used);
        state.config = BTreeMap::from([("max_client_conn".to_owned(), "1000".to_owned())]);
    })
}

/// A role with a limit of which so many sessions are used.
pub(crate) fn role_limit(most: u32, used: i32) -> Snapshot {
    let mut s = healthy();
    s.servers[0].limits = part(vec![ConnectionLimit {
        of: LimitOf::Role,
        name: "app".into(),
        most,
    }]);
    if let Some(activity) = &mut s.servers[0].activity {
        activity.value.sessions = (1..=used).map(|pid| session(pid, "idle", 1000)).collect();
    }
    s
}

/// An application that answers, spoiled.
pub(crate) fn app(spoil: impl Fn(&mut AppHealth)) -> Snapshot {
    let mut health = AppHealth {
        status: 200,
        latency_ms: 12.0,
        said: Some("healthy".into()),
        pool: Some(AppPool {
            size: 8,
            overflow: 2,
            checked_out: 3,
            waiting: Some(0),
        }),
        ..AppHealth::default()
    };
    spoil(&mut health);
    let mut s = healthy();
    s.apps = vec![AppView {
        name: "notes".into(),
        address: "shop/notes".into(),
        endpoint: Some("http://127.0.0.1:8080/health/detailed".into()),
        reach: Reach::Up,
        health: part(health),
        log: None,
    }];
    s
}

/// An application that missed so many looks.
pub(crate) fn app_down(misses: u32) -> Snapshot {
    let mut s = app(|_| {});
    s.apps[0].reach = silence(misses);
    s.apps[0].health = None;
    s
}

/// An application whose pool has so many of its ten connections out.
pub(crate) fn checked_out(count: u64) -> Snapshot {
    app(|health| {
        if let Some(pool) = &mut health.pool {
            pool.checked_out = count;
        }
    })
}
