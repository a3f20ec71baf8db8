//! One PgBouncer: its console, read by SHOW. There is no way to send it anything else from here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::config::{Limits, Login, PoolerConfig};
use crate::error::{ReachError, Trouble};
use crate::login;
use crate::meter::Meter;
use crate::session::{Running, open};

/// What can be shown. SHOW HELP is left out: it ends the connection before version 1.21.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Pools.
    Pools,
    /// Clients.
    Clients,
    /// Server connections.
    Servers,
    /// Databases.
    Databases,
    /// Settings.
    Config,
    /// Version.
    Version,
    /// Counters by database.
    Stats,
    /// How many of each thing there are.
    Lists,
    /// Whether everything is active, paused or suspended (not in every version).
    State,
}

impl Show {
    fn sql(self) -> &'static str {
        match self {
            Self::Pools => "SHOW POOLS",
            Self::Clients => "SHOW CLIENTS",
            Self::Servers => "SHOW SERVERS",
            Self::Databases => "SHOW DATABASES",
            Self::Config => "SHOW CONFIG",
            Self::Version => "SHOW VERSION",
            Self::Stats => "SHOW STATS",
            Self::Lists => "SHOW LISTS",
            Self::State => "SHOW STATE",
        }
    }
}

/// A row of the console: column name to text; NULL is absent.
pub type ConsoleRow = BTreeMap<String, String>;

struct Console {
    client: Client,
    task: Running,
}

/// One PgBouncer.
pub struct Pooler {
    /// Short name.
    pub name: String,
    /// `shop/bouncer`.
    pub address: String,
    /// Its config file, where it is local.
    pub config_path: Option<PathBuf>,
    login: Login,
    limits: Limits,
    meter: Arc<Meter>,
    console: Mutex<Option<Arc<Console>>>,
}

impl Pooler {
    pub(crate) fn new(config: PoolerConfig, limits: Limits) -> Self {
        Self {
            name: config.name,
            address: config.address,
            config_path: config.config_path,
            login: config.observe,
            limits,
            meter: Arc::new(Meter::default()),
            console: Mutex::new(None),
        }
    }

    /// What reaching it cost so far.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Rows of a SHOW.
    ///
    /// # Errors
    /// With the rung that failed.
    pub async fn show(&self, what: Show) -> Result<Vec<ConsoleRow>, ReachError> {
        let console = self.console().await?;
        let began = Instant::now();
        let answer =
            tokio::time::timeout(self.limits.deadline(), console.client.simple_query(what.sql())).await;
        let messages = match answer {
            Ok(Ok(messages)) => messages,
            Ok(Err(e)) => return Err(ReachError::from_driver(&self.address, &e)),
            Err(_) => {
                console.task.abort();
                let reason = format!("no answer to {} in time", what.sql());
                return Err(ReachError::new(&self.address, Trouble::Timeout, reason));
            }
        };
        let rows: Vec<ConsoleRow> = messages
            .iter()
            .filter_map(|m| match m {
                SimpleQueryMessage::Row(row) => Some(
                    row.columns()
                        .iter()
                        .enumerate()
                        .filter_map(|(i, c)| row.get(i).map(|v| (c.name().to_owned(), v.to_owned())))
                        .collect(),
                ),
                _ => None,
            })
            .collect();
        self.meter.add(rows.len(), began.elapsed());
        Ok(rows)
    }

    async fn console(&self) -> Result<Arc<Console>, ReachError> {
        let mut slot = self.console.lock().await;
        if let Some(console) = slot.as_ref().filter(|c| !c.client.is_closed()) {
            return Ok(console.clone());
        }
        let ready = login::ready(&self.address, &self.login, "muster/observe", self.limits.connect)?;
        let (client, task, _) = open(&self.address, &ready, &self.limits, &self.meter).await?;
        let console = Arc::new(Console { client, task });
        *slot = Some(console.clone());
        Ok(console)
    }
}
