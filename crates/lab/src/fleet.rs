//! A fleet as its folder tells it: `fleet.json`, secrets beside it, a marker in every data folder.

use std::collections::BTreeMap;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio_postgres::Config;

use crate::error::{LabError, at};
use crate::install::PgInstall;
use crate::process::{ProcessId, RunAs};

/// Name of the description.
pub const FILE: &str = "fleet.json";
/// Name of the marker in every data folder.
pub const MARKER: &str = "muster-lab.json";

/// One PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabServer {
    /// `a`, `b`, `c`.
    pub name: String,
    /// Loopback port.
    pub port: u16,
    /// Its postmaster, as last started.
    pub process: Option<ProcessId>,
}

/// A helper process: pooler, cache, traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Loopback port; 0 for traffic.
    pub port: u16,
    /// Its process.
    pub process: ProcessId,
}

/// A fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// Format version.
    pub format: u32,
    /// Random id; also in every marker.
    pub id: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its PostgreSQL.
    pub pg: PgInstall,
    /// User of its servers.
    pub run_as: RunAs,
    /// Identity of the cluster.
    pub system_identifier: String,
    /// Servers; the first was the primary when it was made.
    pub servers: Vec<LabServer>,
    /// PgBouncer.
    pub pooler: Option<Part>,
    /// `default_pool_size`.
    pub pool_size: u32,
    /// `max_connections`.
    pub max_connections: u32,
    /// Settings of every server beyond the usual ones.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Redis.
    pub cache: Option<Part>,
    /// Background traffic.
    pub traffic: Option<Part>,
    /// Parts that were wanted and are not installed.
    pub missing: Vec<String>,
}

/// Who logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Superuser.
    Postgres,
    /// Replication.
    Replicator,
    /// The application.
    App,
    /// Muster, observing.
    Muster,
    /// Muster, acting.
    MusterAct,
}

impl User {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Postgres,
        Self::Replicator,
        Self::App,
        Self::Muster,
        Self::MusterAct,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Replicator => "replicator",
            Self::App => "app",
            Self::Muster => "muster",
            Self::MusterAct => "muster_act",
        }
    }
}

impl Fleet {
    /// Reads the fleet of a folder.
    ///
    /// # Errors
    /// When there is none, or the folder is somebody else's.
    pub fn open(dir: &Path) -> Result<Self, LabError> {
        let path = dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let empty = std::fs::read_dir(dir).map_or(true, |mut d| d.next().is_none());
                return Err(if empty {
                    LabError::NotThere { path: dir.to_owned() }
                } else {
                    LabError::Foreign {
                        path: dir.to_owned(),
                        why: format!("it has no {FILE}"),
                    }
                });
            }
            Err(e) => return Err(at(&path)(e)),
        };
        let fleet: Self = serde_json::from_str(&text).map_err(|e| LabError::Foreign {
            path: dir.to_owned(),
            why: format!("{FILE} cannot be read: {e}"),
        })?;
        if fleet.dir != dir && fleet.dir.canonicalize().ok() != dir.canonicalize().ok() {
            let why = format!("its {FILE} speaks of {}", fleet.dir.display());
            return Err(LabError::Foreign {
                path: dir.to_owned(),
                why,
            });
        }
        Ok(fleet)
    }

    /// Writes the description, mode 0600.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        write_private(&self.dir.join(FILE), text.as_bytes())
    }

    /// Data folder of a server.
    #[must_use]
    pub fn data(&self, server: &str) -> PathBuf {
        self.dir.join(server)
    }

    /// Folder of the unix sockets.
    #[must_use]
    pub fn sockets(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Log file of a part.
    #[must_use]
    pub fn log(&self, part: &str) -> PathBuf {
        self.dir.join("log").join(format!("{part}.log"))
    }

    /// File that holds a user's password.
    #[must_use]
    pub fn password_file(&self, user: User) -> PathBuf {
        self.dir.join("secrets").join(user.name())
    }

    /// A user's password.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn password(&self, user: User) -> Result<String, LabError> {
        let path = self.password_file(user);
        std::fs::read_to_string(&path)
            .map(|t| t.trim().to_owned())
            .map_err(at(&path))
    }

    /// A server by its name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&LabServer> {
        self.servers.iter().find(|s| s.name == name)
    }

    /// A login at a server.
    ///
    /// # Errors
    /// When the server or the password is not there.
    pub fn config(&self, server: &str, user: User, database: &str) -> Result<Config, LabError> {
        let port = self
            .server(server)
            .ok_or_else(|| LabError::Fault(format!("there is no server {server}")))?
            .port;
        self.login(port, user, database)
    }

    /// The application's login through the pooler, or at the primary when there is no pooler.
    ///
    /// # Errors
    /// When the password is not there.
    pub fn app(&self) -> Result<Config, LabError> {
        match &self.pooler {
            Some(p) => self.login(p.port, User::App, "app"),
            None => self.config("a", User::App, "app"),
        }
    }

    fn login(&self, port: u16, user: User, database: &str) -> Result<Config, LabError> {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user(user.name())
            .password(self.password(user)?)
            .dbname(database)
            .connect_timeout(std::time::Duration::from_secs(5));
        Ok(config)
    }

    /// The marker of a data folder, when it is this fleet's.
    ///
    /// # Errors
    /// When it is missing or speaks of another fleet.
    pub fn marked(&self, server: &str) -> Result<(), LabError> {
        let path = self.data(server);
        let why = match std::fs::read_to_string(path.join(MARKER)) {
            Err(_) => "a data folder has no marker".to_owned(),
            Ok(text) => {
                let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                if found["fleet"].as_str() == Some(self.id.as_str()) {
                    return Ok(());
                }
                "a data folder is marked by another fleet".to_owned()
            }
        };
        Err(LabError::Foreign { path, why })
    }

    /// Marks a data folder as this fleet's.
    pub(crate) fn mark(&self, server: &str) -> Result<(), LabError> {
        let path = self.data(server).join(MARKER);
        let body = serde_json::json!({"fleet": self.id, "system_identifier": self.system_identifier});
        std::fs::write(&path, body.to_string()).map_err(at(&path))?;
        self.run_as.own(&path)
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    let temp = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temp)?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&temp, path)
    };
    write().map_err(at(path))
}

/// Connects and drives the connection in the background.
///
/// # Errors
/// What the driver says.
pub async fn connect(config: &Config) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(async move {
        // Its end shows in the client's next call.
        let _ = connection.await;
    });
    Ok(client)
}
