//! A test fleet as an enrolled cluster, and waiting for a state with a deadline.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_lab::Fleet;
use muster_lab::fleet::User;
use muster_model::{Snapshot, Time};
use muster_observe::{Cadence, Extent, Observer};
use muster_reach::{CacheConfig, Cluster, ClusterConfig, Limits, Login, PoolerConfig, ServerConfig};

pub(crate) fn login(url: String) -> Login {
    Login {
        url,
        password: None,
        passfile: None,
    }
}

/// The whole fleet; servers are observed as `user`.
pub(crate) fn cluster(fleet: &Fleet, user: &str, password: &str) -> ClusterConfig {
    let muster = fleet.password(User::Muster).expect("password");
    let redis = std::fs::read_to_string(fleet.dir.join("secrets").join("redis")).expect("secret");
    ClusterConfig {
        name: "shop".into(),
        servers: fleet
            .servers
            .iter()
            .map(|s| ServerConfig {
                name: s.name.clone(),
                address: format!("shop/{}", s.name),
                observe: login(format!("postgres://{user}:{password}@127.0.0.1:{}/app", s.port)),
                act: None,
                host: None,
            })
            .collect(),
        poolers: fleet
            .pooler
            .iter()
            .map(|p| PoolerConfig {
                name: "bouncer".into(),
                address: "shop/bouncer".into(),
                observe: login(format!(
                    "postgres://muster:{muster}@127.0.0.1:{}/pgbouncer",
                    p.port
                )),
                config_path: None,
            })
            .collect(),
        caches: fleet
            .cache
            .iter()
            .map(|c| CacheConfig {
                name: "cache".into(),
                address: "shop/cache".into(),
                login: login(format!("redis://:{}@127.0.0.1:{}", redis.trim(), c.port)),
            })
            .collect(),
        apps: Vec::new(),
    }
}

/// An observer of the fleet as `muster`.
pub(crate) fn observer(fleet: &Fleet) -> Observer {
    watching(cluster(
        fleet,
        "muster",
        &fleet.password(User::Muster).expect("password"),
    ))
}

/// An observer of a cluster.
pub(crate) fn watching(config: ClusterConfig) -> Observer {
    Observer::new(
        Arc::new(Cluster::new(config, &Limits::default())),
        Cadence::default(),
    )
}

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    Time::from_micros(i64::try_from(since.as_micros()).expect("a year that fits"))
}

/// Passes again and again until one shows what is waited for.
pub(crate) async fn until(what: &str, observer: &Observer, seen: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let snapshot = observer.pass(now(), Extent::Hot).await;
        if seen(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < deadline, "not in time: {what}: {snapshot:#?}");
        tokio::task::yield_now().await;
    }
}
