//! What was read from one PgBouncer console: pools, clients, servers, databases, config, joined by link and pid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Counted, Part, Reach};
use crate::time::Time;

/// One row of SHOW POOLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pool {
    /// Database as clients name it.
    pub database: String,
    /// User.
    pub user: String,
    /// `session`, `transaction` or `statement`.
    pub mode: String,
    /// Clients linked to a server or idle.
    pub cl_active: u32,
    /// Clients that wait for a server.
    pub cl_waiting: u32,
    /// Servers linked to a client.
    pub sv_active: u32,
    /// Servers ready for use.
    pub sv_idle: u32,
    /// Servers being checked or reset.
    pub sv_used: u32,
    /// Servers being tested.
    pub sv_tested: u32,
    /// Servers logging in.
    pub sv_login: u32,
    /// How long the oldest client waits, in microseconds.
    pub maxwait_us: u64,
    /// Most servers this pool may open (the per-database, per-user or default size); 0 when unknown.
    pub size: u32,
}

/// One row of SHOW CLIENTS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolClient {
    /// Its pointer, unique while it lives.
    pub ptr: String,
    /// The server it is linked to.
    pub link: Option<String>,
    /// User.
    pub user: String,
    /// Database.
    pub database: String,
    /// `active`, `waiting`, `idle`, …
    pub state: String,
    /// `addr:port`, or `unix`.
    pub addr: String,
    /// Application name, empty when not told.
    pub application: String,
    /// When it connected.
    pub connect_time: Option<Time>,
    /// How long it waits, in microseconds.
    pub wait_us: u64,
}

/// One row of SHOW SERVERS, joined with its client and the server's own process id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolServer {
    /// Its pointer.
    pub ptr: String,
    /// The client it is linked to.
    pub link: Option<String>,
    /// User.
    pub user: String,
    /// Database.
    pub database: String,
    /// `active`, `idle`, `used`, …
    pub state: String,
    /// `addr:port` of the PostgreSQL server, or `unix`.
    pub addr: String,
    /// The port of the PostgreSQL server.
    pub port: u16,
    /// Process id on the PostgreSQL server; 0 when unknown.
    pub remote_pid: i32,
    /// When it connected.
    pub connect_time: Option<Time>,
}

/// One row of SHOW DATABASES.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolDatabase {
    /// Name as clients see it.
    pub name: String,
    /// Host of the PostgreSQL server, empty for a unix socket by default.
    pub host: String,
    /// Port of the PostgreSQL server.
    pub port: u16,
    /// Database on the server.
    pub database: String,
    /// Pool size of this database.
    pub pool_size: u32,
    /// Reserve pool.
    pub reserve_pool: u32,
    /// Most connections to this database; 0 without a limit.
    pub max_connections: u32,
    /// Open now.
    pub current_connections: u32,
    /// Paused, by its name or together with everything.
    pub paused: bool,
    /// Disabled.
    pub disabled: bool,
}

/// Everything that was read from one PgBouncer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolerView {
    /// Short name, `bouncer`.
    pub name: String,
    /// `shop/bouncer`.
    pub address: String,
    /// Whether its console answers.
    pub reach: Reach,
    /// Version, such as `1.18.0`.
    pub version: Option<String>,
    /// What the console said.
    pub state: Option<Part<PoolerState>>,
}

/// What a console said in one pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolerState {
    /// SHOW POOLS, the console's own pool left out.
    pub pools: Vec<Pool>,
    /// SHOW CLIENTS.
    pub clients: Vec<PoolClient>,
    /// SHOW SERVERS.
    pub servers: Vec<PoolServer>,
    /// SHOW DATABASES.
    pub databases: Vec<PoolDatabase>,
    /// SHOW CONFIG.
    pub config: BTreeMap<String, String>,
    /// SHOW LISTS: clients that count against `max_client_conn`, ours included.
    #[serde(default)]
    pub used_clients: Option<u32>,
    /// SHOW STATE: whether everything is paused or suspended; absent where the version does not say.
    #[serde(default)]
    pub paused: Option<bool>,
    /// SHOW STATS, by database.
    #[serde(default)]
    pub traffic: Vec<PoolTraffic>,
    /// Pools whose clients get no server connection because none can be opened.
    #[serde(default)]
    pub stuck: Vec<StuckPool>,
}

/// A pool whose clients get no server connection because none can be opened: logins to the server fail, hang or are
/// refused. PgBouncer tries again only every `server_login_retry`, and shows no login between two tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StuckPool {
    /// Database as clients name it.
    pub database: String,
    /// User.
    pub user: String,
    /// Since when every look saw it so, and no login succeeded.
    pub since: Time,
    /// Whether a login was seen under way: somebody tries, so nothing is paused.
    pub tries: bool,
}

/// What PgBouncer counts for a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolCounters {
    /// Transactions.
    pub transactions: u64,
    /// Statements.
    pub queries: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
    /// Time in transactions, in microseconds.
    pub transaction_us: u64,
    /// Time in statements, in microseconds.
    pub query_us: u64,
    /// Time that clients waited for a server, in microseconds.
    pub wait_us: u64,
}

/// One row of SHOW STATS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolTraffic {
    /// Database as clients name it.
    pub database: String,
    /// Its counters.
    pub counted: Counted<PoolCounters>,
}

impl PoolerState {
    /// The client that is linked to the server session `pid`.
    #[must_use]
    pub fn client_of(&self, pid: i32) -> Option<&PoolClient> {
        let server = self.servers.iter().find(|s| s.remote_pid == pid)?;
        self.clients.iter().find(|c| {
            c.link.as_deref() == Some(server.ptr.as_str()) || server.link.as_deref() == Some(c.ptr.as_str())
        })
    }

    /// The servers of a pool.
    pub fn servers_of<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = &'a PoolServer> {
        self.servers
            .iter()
            .filter(move |s| s.database == pool.database && s.user == pool.user)
    }
}
