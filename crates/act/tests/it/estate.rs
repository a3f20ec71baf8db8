//! A test fleet as an estate with its catalogue, and waiting for a state with a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_engine::lease::{MemoryLeases, TTL};
use muster_engine::{Action, Catalogue, Leases, Permit};
use muster_lab::Fleet;
use muster_lab::fleet::User;
use muster_model::{FrozenTarget, Protect, Record, Scope};
use muster_reach::{ClusterConfig, Estate, Limits, Login, PoolerConfig, ServerConfig};
use serde_json::{Value, json};

use crate::shape;

/// A fleet, enrolled as `shop`.
pub(crate) struct Desk {
    /// Its servers.
    pub(crate) estate: Arc<Estate>,
    /// What can be read and done there.
    pub(crate) catalogue: Catalogue,
    identity: String,
}

fn login(user: &str, password: &str, port: u16, database: &str) -> Login {
    Login {
        url: format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}"),
        password: None,
        passfile: None,
    }
}

impl Desk {
    /// Enrols a fleet; without `can_act` there is no login to act with.
    pub(crate) fn new(fleet: &Fleet, can_act: bool, protect: Protect) -> Self {
        let secret = |user: User| fleet.password(user).expect("password");
        let (muster, acting) = (secret(User::Muster), secret(User::MusterAct));
        let config = ClusterConfig {
            name: "shop".into(),
            servers: fleet
                .servers
                .iter()
                .map(|s| ServerConfig {
                    name: s.name.clone(),
                    address: format!("shop/{}", s.name),
                    observe: login("muster", &muster, s.port, "app"),
                    act: can_act.then(|| login("muster_act", &acting, s.port, "app")),
                    host: None,
                })
                .collect(),
            poolers: fleet
                .pooler
                .iter()
                .map(|p| PoolerConfig {
                    name: "bouncer".into(),
                    address: "shop/bouncer".into(),
                    observe: login("muster", &muster, p.port, "pgbouncer"),
                    config_path: None,
                })
                .collect(),
            caches: Vec::new(),
            apps: Vec::new(),
        };
        let estate = Estate::new(vec![config], &Limits::default());
        let catalogue = muster_act::catalogue(
            &estate,
            Arc::new(std::sync::RwLock::new(BTreeMap::from([(
                "shop".to_owned(),
                protect,
            )]))),
            muster_act::SharedKit::default(),
        );
        Self {
            estate,
            catalogue,
            identity: fleet.system_identifier.clone(),
        }
    }

    /// The right to act, as the engine would give it.
    pub(crate) async fn permit(&self) -> Permit {
        let leases = Leases::new(Arc::new(MemoryLeases::default()), "test", TTL);
        Permit::practice(&leases, "run-test").await.expect("free")
    }

    /// One that may act and protects nothing.
    pub(crate) fn plain(fleet: &Fleet) -> Self {
        Self::new(fleet, true, Protect::default())
    }

    /// The whole cluster as a scope.
    pub(crate) fn scope(&self) -> Scope {
        Scope {
            cluster: "shop".into(),
            target: "shop".into(),
            identity: self.identity.clone(),
        }
    }

    /// Reads a probe; its outputs have exactly the shape of its signature.
    pub(crate) async fn read(&self, probe: &str, with: Value) -> Record {
        let probe = self.catalogue.find_probe(probe).expect("probe");
        let read = probe.read(&self.scope(), &record(with)).await;
        let read = read.unwrap_or_else(|e| panic!("{}: {e}", probe.signature().name));
        shape::exact(probe.signature(), &read);
        read
    }

    /// Reads a probe until it says what is waited for.
    pub(crate) async fn until(&self, probe: &str, with: Value, seen: impl Fn(&Record) -> bool) -> Record {
        until(async || Some(self.read(probe, with.clone()).await).filter(&seen))
            .await
            .unwrap_or_else(|last| panic!("{probe}: not in time: {last:?}"))
    }

    pub(crate) fn action(&self, name: &str) -> Arc<dyn Action> {
        self.catalogue.find_action(name).expect("action")
    }
}

/// An object as a record.
pub(crate) fn record(value: Value) -> Record {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not an object"),
    }
}

/// No inputs: every parameter has its default.
pub(crate) fn nothing() -> Value {
    json!({})
}

/// The frozen targets in an output.
pub(crate) fn targets(read: &Record, output: &str) -> Vec<FrozenTarget> {
    let items = read[output].as_array().expect("a list");
    items
        .iter()
        .map(|v| FrozenTarget::from_value(v).expect("frozen"))
        .collect()
}

/// Looks again and again until there is an answer.
pub(crate) async fn until<T>(look: impl AsyncFn() -> Option<T>) -> Result<T, &'static str> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = look().await {
            return Ok(seen);
        }
        if Instant::now() >= deadline {
            return Err("the state did not come");
        }
        tokio::task::yield_now().await;
    }
}
