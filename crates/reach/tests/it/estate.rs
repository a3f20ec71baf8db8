//! Logins for the servers of a test fleet, and waiting for a state with a deadline.

use std::time::{Duration, Instant};

use muster_lab::Fleet;
use muster_lab::fleet::User;
use muster_reach::{Cluster, ClusterConfig, Limits, Login, ServerConfig};

/// A login by its text alone.
pub(crate) fn login(url: &str) -> Login {
    Login {
        url: url.to_owned(),
        password: None,
        passfile: None,
    }
}

/// A fleet user's URL at a port, without the password.
pub(crate) fn url(port: u16, user: &str, database: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{port}/{database}")
}

/// A fleet user's login at server a.
pub(crate) fn of(fleet: &Fleet, user: User) -> Login {
    Login {
        password: Some(fleet.password(user).expect("password").into()),
        ..login(&url(fleet.servers[0].port, user.name(), "app"))
    }
}

/// One server under given logins.
pub(crate) fn server(observe: Login, act: Option<Login>, limits: &Limits) -> Cluster {
    let config = ClusterConfig {
        name: "shop".into(),
        servers: vec![ServerConfig {
            name: "a".into(),
            address: "shop/a".into(),
            observe,
            act,
            host: None,
        }],
        poolers: Vec::new(),
        caches: Vec::new(),
        apps: Vec::new(),
    };
    Cluster::new(config, limits)
}

/// Looks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}
