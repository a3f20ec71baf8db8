//! What was read from one PostgreSQL server: can it be reached, who is it, who is connected, who waits for whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Certificate, ConnectionLimit, DatabaseView, Files, Horizons, HostView, LoginView, OwnCost, Part,
    Prepared, Replication, Slru, Statements, Traffic, Vacuuming, Waits, Wal,
};
use crate::time::Time;

/// One rung of the connection ladder; the first that fails is the one to report.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The name does not resolve.
    Dns,
    /// Nothing answers at the address.
    Tcp,
    /// TLS cannot be agreed on.
    Tls,
    /// User or password refused, or no rule of `pg_hba.conf` lets us in.
    Auth,
    /// The database does not exist or accepts no connections.
    Database,
    /// Logged in, but a query gets no answer in time.
    Query,
}

/// Whether a target can be reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Reach {
    /// It answers.
    Up,
    /// It answers on the reserved session, but lets no new session in (all slots are taken).
    Full {
        /// What the server said.
        reason: String,
    },
    /// It said that it is starting up, shutting down or recovering (SQLSTATE 57P03).
    Starting {
        /// What the server said.
        reason: String,
    },
    /// It does not answer.
    Down {
        /// The rung of the ladder that fails.
        rung: Rung,
        /// What was seen.
        reason: String,
        /// Failed tries in a row.
        misses: u32,
        /// When the first of these failed.
        since: Time,
    },
    /// Not tried yet.
    #[default]
    Unknown,
}

impl Reach {
    /// Whether nothing answers there. Who refuses our login or has another certificate than we trust does answer: that is
    /// our blindness, and nobody else's trouble.
    #[must_use]
    pub fn silent(&self) -> bool {
        matches!(
            self,
            Self::Down {
                rung: Rung::Dns | Rung::Tcp | Rung::Query,
                ..
            }
        )
    }
}

/// The role that a server has by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Accepts writes.
    Primary,
    /// In recovery.
    Standby,
}

/// Who a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Identity {
    /// `system_identifier`, as text (it exceeds what JSON numbers hold).
    pub system_identifier: String,
    /// Timeline.
    pub timeline: u32,
    /// Primary or standby.
    pub role: Role,
    /// `server_version_num`, such as 150018.
    pub version_num: u32,
    /// `server_version`, such as `15.18`.
    pub version: String,
    /// When the postmaster started.
    pub started_at: Time,
    /// `default_transaction_read_only` or a hot standby.
    pub read_only: bool,
    /// `cluster_name`, empty when not set.
    pub cluster_name: String,
}

impl Identity {
    /// Major version, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.version_num / 10_000
    }
}

/// One row of `pg_stat_activity`, the text of its statement normalised (no literals).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    /// Process id on the server.
    pub pid: i32,
    /// When the session started. With `pid` it names exactly one session, ever.
    pub backend_start: Time,
    /// When its transaction started.
    pub xact_start: Option<Time>,
    /// When its running or last statement started.
    pub query_start: Option<Time>,
    /// When `state` last changed.
    pub state_change: Option<Time>,
    /// `active`, `idle`, `idle in transaction`, …; absent when this role may not see it.
    pub state: Option<String>,
    /// Database user.
    pub user: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// `application_name`.
    pub application: String,
    /// Client address and port, absent for unix sockets.
    pub client: Option<String>,
    /// `client backend`, `walsender`, `autovacuum worker`, …
    pub backend_type: String,
    /// Wait event type, such as `Lock`.
    pub wait_type: Option<String>,
    /// Wait event.
    pub wait_event: Option<String>,
    /// Statement without literals, cut at 500 characters.
    pub query: Option<String>,
    /// Whether the session holds a transaction id (has written).
    pub has_xid: bool,
    /// Whether the user is a superuser.
    pub superuser: bool,
    /// Sessions that block this one (0 stands for a prepared transaction); filled only while it waits for a lock.
    pub blocked_by: Vec<i32>,
}

impl Session {
    /// Who it belongs to, in words that survive a reconnect: `user/application`.
    #[must_use]
    pub fn owner(&self) -> String {
        format!("{}/{}", self.user.as_deref().unwrap_or("?"), self.application)
    }

    /// Whether it is idle inside a transaction (an aborted one too).
    #[must_use]
    pub fn idle_in_transaction(&self) -> bool {
        self.state
            .as_deref()
            .is_some_and(|s| s.starts_with("idle in transaction"))
    }

    /// Whether it is a client's session (not a walsender, worker or the like).
    #[must_use]
    pub fn is_client(&self) -> bool {
        self.backend_type == "client backend"
    }
}

/// Who is connected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Activity {
    /// Every session, our own included (its `application` starts with `muster/`).
    pub sessions: Vec<Session>,
    /// `max_connections`.
    pub max_connections: u32,
    /// `superuser_reserved_connections` + `reserved_connections`.
    pub reserved: u32,
    /// Whether this role sees state and statement of the sessions of others.
    pub sees_all: bool,
}

/// One wait for a lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LockWait {
    /// Who waits.
    pub pid: i32,
    /// For which kind of thing: `relation`, `transactionid`, `advisory`, …
    pub locktype: String,
    /// In which mode, such as `AccessExclusiveLock`.
    pub mode: String,
    /// `schema.table` when it is a relation and its name can be read without locking; else its oid.
    pub relation: Option<String>,
    /// Since when (PostgreSQL 14 and later; absent for some milliseconds after the wait began).
    pub since: Option<Time>,
    /// Who blocks it (0 stands for a prepared transaction). Both holders and those before it in the queue.
    pub blocked_by: Vec<i32>,
}

/// Who waits for whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Locks {
    /// Every wait.
    pub waits: Vec<LockWait>,
}

/// Settings that rules and runbooks look at, as the server shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Settings {
    /// `name -> setting` in base units.
    pub values: BTreeMap<String, String>,
    /// Names whose change waits for a restart.
    pub pending_restart: Vec<String>,
    /// Names whose value here is that of our own session, role or database, and not the server's.
    #[serde(default)]
    pub own: Vec<String>,
}

/// Everything that was read from one server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServerView {
    /// Short name, `a`.
    pub name: String,
    /// `shop/a`.
    pub address: String,
    /// `host:port`, to match what standbys and poolers say they connect to.
    pub endpoint: String,
    /// Whether it can be reached.
    pub reach: Reach,
    /// Who it is; kept from before while it is down.
    pub identity: Option<Part<Identity>>,
    /// Sessions.
    pub activity: Option<Part<Activity>>,
    /// Lock waits.
    pub locks: Option<Part<Locks>>,
    /// Replication, both ends.
    pub replication: Option<Part<Replication>>,
    /// Settings.
    pub settings: Option<Part<Settings>>,
    /// Limits on the connections of roles and databases.
    #[serde(default)]
    pub limits: Option<Part<Vec<ConnectionLimit>>>,
    /// Counters by database.
    #[serde(default)]
    pub traffic: Option<Part<Vec<Traffic>>>,
    /// What active sessions were at in the last minute.
    #[serde(default)]
    pub waits: Option<Part<Waits>>,
    /// Statistics about statements.
    #[serde(default)]
    pub statements: Option<Part<Statements>>,
    /// What holds the horizon of vacuum back.
    #[serde(default)]
    pub horizons: Option<Part<Horizons>>,
    /// Prepared transactions that nobody has decided.
    #[serde(default)]
    pub prepared: Option<Part<Vec<Prepared>>>,
    /// What vacuum does, and how old the oldest rows are.
    #[serde(default)]
    pub vacuuming: Option<Part<Vacuuming>>,
    /// The small caches behind transactions.
    #[serde(default)]
    pub slrus: Option<Part<Vec<Slru>>>,
    /// Its databases, as far as they were looked into.
    #[serde(default)]
    pub databases: Vec<DatabaseView>,
    /// Its write-ahead log.
    #[serde(default)]
    pub wal: Option<Part<Wal>>,
    /// What it thinks of its own files.
    #[serde(default)]
    pub files: Option<Part<Files>>,
    /// What our login may do.
    #[serde(default)]
    pub login: Option<Part<LoginView>>,
    /// The certificate that it shows.
    #[serde(default)]
    pub certificate: Option<Part<Certificate>>,
    /// What watching it costs.
    #[serde(default)]
    pub cost: Option<OwnCost>,
    /// What was read on its host; absent when the config enrols none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostView>,
}

impl ServerView {
    /// A server of which nothing was read.
    #[must_use]
    pub fn unread(name: &str, address: &str, endpoint: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            endpoint: endpoint.to_owned(),
            ..Self::default()
        }
    }

    /// Role by its own word, when it has been read.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.identity.as_ref().map(|i| i.value.role)
    }

    /// Whether it answers (a full server answers us).
    #[must_use]
    pub fn answers(&self) -> bool {
        matches!(self.reach, Reach::Up | Reach::Full { .. })
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! A session for tests of this crate.

    use super::Session;
    use crate::time::Time;

    pub(crate) fn session(pid: i32) -> Session {
        Session {
            pid,
            backend_start: Time::from_millis(1000),
            xact_start: Some(Time::from_millis(2000)),
            query_start: Some(Time::from_millis(2000)),
            state_change: Some(Time::from_millis(2000)),
            state: Some("active".into()),
            user: Some("app".into()),
            database: Some("app".into()),
            application: "notes".into(),
            client: None,
            backend_type: "client backend".into(),
            wait_type: None,
            wait_event: None,
            query: None,
            has_xid: false,
            superuser: false,
            blocked_by: Vec::new(),
        }
    }
}
