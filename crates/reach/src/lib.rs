//! How Muster reaches a target. Every time-out, budget, identity check and redaction lives here.
//!
//! It knows drivers and the wire; it refuses to know what the answers mean. Sessions are few and long-lived: one that
//! observes and one that acts a server, because with all slots full nobody can log in again.

pub mod app;
pub mod cache;
mod certificate;
pub mod config;
pub mod error;
pub mod login;
pub mod meter;
pub mod pooler;
pub mod redact;
pub mod server;
pub mod session;
mod tls;
pub mod trial;

use std::sync::Arc;

pub use app::{App, HealthAnswer};
pub use cache::Cache;
pub use config::{
    AppConfig, AppLogPlace, CacheConfig, ClusterConfig, HostConfig, Limits, Login, PoolerConfig, ServerConfig,
};
pub use error::ReachError;
pub use meter::Meter;
pub use pooler::{Pooler, Show};
pub use server::Server;
pub use session::{Capability, PgSession, quoted};
pub use trial::{Brought, Depth, Trial};

/// One enrolled cluster.
pub struct Cluster {
    /// Name.
    pub name: String,
    /// Servers in the order of the config.
    pub servers: Vec<Arc<Server>>,
    /// Poolers.
    pub poolers: Vec<Arc<Pooler>>,
    /// Caches.
    pub caches: Vec<Arc<Cache>>,
    /// Applications.
    pub apps: Vec<Arc<App>>,
}

impl Cluster {
    /// From its config. Connects to nothing yet.
    #[must_use]
    pub fn new(config: ClusterConfig, limits: &Limits) -> Self {
        Self {
            name: config.name,
            servers: config
                .servers
                .into_iter()
                .map(|s| Arc::new(Server::new(s, limits.clone())))
                .collect(),
            poolers: config
                .poolers
                .into_iter()
                .map(|p| Arc::new(Pooler::new(p, limits.clone())))
                .collect(),
            caches: config
                .caches
                .into_iter()
                .map(|c| Arc::new(Cache::new(c, limits.clone())))
                .collect(),
            apps: config.apps.into_iter().map(|a| Arc::new(App::new(a))).collect(),
        }
    }

    /// A server by its address (`shop/a`).
    #[must_use]
    pub fn server(&self, address: &str) -> Option<&Arc<Server>> {
        self.servers.iter().find(|s| s.address == address)
    }
}

/// Everything that is enrolled.
pub struct Estate {
    clusters: Vec<Arc<Cluster>>,
}

impl Estate {
    /// From the config. Connects to nothing yet.
    #[must_use]
    pub fn new(clusters: Vec<ClusterConfig>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            clusters: clusters
                .into_iter()
                .map(|c| Arc::new(Cluster::new(c, limits)))
                .collect(),
        })
    }

    /// A cluster by its name.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.iter().find(|c| c.name == name)
    }

    /// All clusters.
    #[must_use]
    pub fn clusters(&self) -> &[Arc<Cluster>] {
        &self.clusters
    }

    /// The cluster that an address (`shop`, `shop/a`) belongs to.
    #[must_use]
    pub fn cluster_of(&self, address: &str) -> Option<&Arc<Cluster>> {
        self.cluster(address.split('/').next().unwrap_or(address))
    }
}
