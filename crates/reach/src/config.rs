//! What to reach and with which login: plain data, built by `muster` from its config.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::redact;

/// A URL or `key=value` string as libpq takes it, and the password from elsewhere.
#[derive(Clone, Debug)]
pub struct Login {
    /// `postgres://user@host:port/db?sslmode=…`, `host=… user=…`, or `redis://…`.
    pub url: String,
    /// Password; wins over one in the URL.
    pub password: Option<SecretString>,
    /// `.pgpass` file to look into when there is no password.
    pub passfile: Option<PathBuf>,
}

/// A PostgreSQL server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Short name.
    pub name: String,
    /// `shop/a`.
    pub address: String,
    /// To observe with.
    pub observe: Login,
    /// To act with; absent means propose only.
    pub act: Option<Login>,
    /// Its host, where files and processes may be looked at.
    pub host: Option<HostConfig>,
}

/// The host of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// Whether it is the host that Muster runs on. What is elsewhere is not looked at.
    pub local: bool,
    /// The data folder; absent means to ask the server, which needs `pg_read_all_settings` and a server that is up.
    pub data_dir: Option<PathBuf>,
    /// A log file beside the one that the server itself names: where its standard error goes.
    pub log: Option<PathBuf>,
}

/// A PgBouncer.
#[derive(Clone, Debug)]
pub struct PoolerConfig {
    /// Short name.
    pub name: String,
    /// `shop/bouncer`.
    pub address: String,
    /// A stats user of its console.
    pub observe: Login,
    /// Its config file, where it is local.
    pub config_path: Option<PathBuf>,
}

/// A Redis.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Short name.
    pub name: String,
    /// `shop/cache`.
    pub address: String,
    /// How to log in.
    pub login: Login,
}

/// Where an application writes its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppLogPlace {
    /// A unit of systemd, by `journalctl`.
    Unit(String),
    /// A file on this machine.
    File(PathBuf),
    /// A container, by `docker logs`.
    Container(String),
}

impl AppLogPlace {
    /// For people: `unit notes`, `file /var/log/notes.log`.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Unit(name) => format!("unit {name}"),
            Self::File(path) => format!("file {}", path.display()),
            Self::Container(name) => format!("container {name}"),
        }
    }
}

/// An application.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Short name.
    pub name: String,
    /// `shop/notes`.
    pub address: String,
    /// Address of its health route; absent means that it is named and not looked at.
    pub health: Option<String>,
    /// Sent with the question as a bearer token, where the route wants one.
    pub token: Option<SecretString>,
    /// Its log.
    pub log: Option<AppLogPlace>,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Name.
    pub name: String,
    /// Servers; roles are observed, never configured.
    pub servers: Vec<ServerConfig>,
    /// Poolers.
    pub poolers: Vec<PoolerConfig>,
    /// Caches.
    pub caches: Vec<CacheConfig>,
    /// Applications.
    pub apps: Vec<AppConfig>,
}

impl ClusterConfig {
    /// Every secret that its logins and addresses hold: what must be nowhere in what leaves.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretString> {
        let logins = self
            .servers
            .iter()
            .flat_map(|s| std::iter::once(&s.observe).chain(s.act.as_ref()))
            .chain(self.poolers.iter().map(|p| &p.observe))
            .chain(self.caches.iter().map(|c| &c.login));
        let mut out: Vec<SecretString> = logins
            .flat_map(|l| redact::of_url(&l.url).into_iter().chain(l.password.clone()))
            .collect();
        for app in &self.apps {
            out.extend(app.health.as_deref().map(redact::of_url).unwrap_or_default());
            out.extend(app.token.clone());
        }
        out
    }
}

/// Time limits of every session, set on the server's side; the client's own deadline is longer and closes the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To get a connection.
    pub connect: Duration,
    /// `statement_timeout`.
    pub statement: Duration,
    /// `lock_timeout`.
    pub lock: Duration,
    /// `idle_in_transaction_session_timeout`.
    pub idle_in_transaction: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            statement: Duration::from_secs(2),
            lock: Duration::from_millis(200),
            idle_in_transaction: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// When the client gives up and closes the socket.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.statement + Duration::from_secs(1)
    }
}
