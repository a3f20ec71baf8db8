//! One session with a server: prepared statements, a deadline that closes the socket, a meter.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_model::Time;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use crate::certificate;
use crate::config::{Limits, Login};
use crate::error::{ReachError, Trouble};
use crate::login::{self, Ready};
use crate::meter::Meter;
use crate::tls;

/// What a login may see and do, read when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capability {
    /// `server_version_num`.
    pub version_num: u32,
    /// User of the session.
    pub user: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether it sees the sessions and settings of others (`pg_monitor`).
    pub monitor: bool,
    /// Whether it may signal the sessions of others (`pg_signal_backend`).
    pub signal: bool,
    /// Whether it may use reserved slots (PostgreSQL 16 and later).
    pub reserved: bool,
    /// Whether it may ask what the server thinks of its files (`pg_file_settings`, `pg_hba_file_rules`).
    pub files: bool,
    /// `system_identifier`, when it may be read.
    pub system_identifier: Option<String>,
}

const SETUP_READ: &str = include_str!("sql/setup_read.sql");
const SETUP_ACT: &str = include_str!("sql/setup_act.sql");
const CAPABILITY: &str = include_str!("sql/capability.sql");
const PLAIN_CAPABILITY: &str = include_str!("sql/plain_capability.sql");
const SYSTEM_IDENTIFIER: &str = include_str!("sql/system_identifier.sql");

/// A session that is no longer used has so long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Whether a session may change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reads; the transaction is read-only, which protects against little: the role must not be able to act.
    Observe,
    /// Acts.
    Act,
}

pub(crate) struct Live {
    pub(crate) client: Client,
    task: Running,
    statements: Mutex<HashMap<&'static str, Statement>>,
    pub(crate) capability: Capability,
    given_up: AtomicBool,
    shown: tls::Shown,
}

/// The task of a connection. Dropped together with its client it says goodbye to the server and ends: a connection that
/// just breaks off is counted there as one that a client lost.
pub(crate) struct Running {
    task: JoinHandle<()>,
    _owner: oneshot::Sender<()>,
}

impl Running {
    /// Ends it at once, without a word: the server does not answer.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}

/// A session; cheap to clone.
#[derive(Clone)]
pub struct PgSession {
    pub(crate) live: Arc<Live>,
    target: String,
    limits: Limits,
    meter: Arc<Meter>,
}

impl PgSession {
    /// Connects, sets the limits on the server's side, reads what the login may do.
    ///
    /// # Errors
    /// With the rung of the ladder that failed.
    pub async fn connect(
        target: &str,
        login: &Login,
        purpose: Purpose,
        limits: &Limits,
        meter: Arc<Meter>,
    ) -> Result<Self, ReachError> {
        let name = if purpose == Purpose::Observe {
            "muster/observe"
        } else {
            "muster/act"
        };
        let ready = login::ready(target, login, name, limits.connect)?;
        Self::with(target, &ready, purpose, limits, meter).await
    }

    /// An observing session in another database than the login names.
    ///
    /// # Errors
    /// With the rung of the ladder that failed.
    pub(crate) async fn inside(
        target: &str,
        login: &Login,
        database: &str,
        limits: &Limits,
        meter: Arc<Meter>,
    ) -> Result<Self, ReachError> {
        let mut ready = login::ready(target, login, "muster/observe", limits.connect)?;
        ready.config.dbname(database);
        Self::with(target, &ready, Purpose::Observe, limits, meter).await
    }

    async fn with(
        target: &str,
        ready: &Ready,
        purpose: Purpose,
        limits: &Limits,
        meter: Arc<Meter>,
    ) -> Result<Self, ReachError> {
        let (client, task, shown) = open(target, ready, limits, &meter).await?;
        let mut session = Self {
            live: Arc::new(Live {
                client,
                task,
                statements: Mutex::new(HashMap::new()),
                capability: Capability::default(),
                given_up: AtomicBool::new(false),
                shown,
            }),
            target: target.to_owned(),
            limits: limits.clone(),
            meter,
        };
        let setup = if purpose == Purpose::Observe {
            SETUP_READ
        } else {
            SETUP_ACT
        };
        let setup = setup
            .replace("{statement}", &limits.statement.as_millis().to_string())
            .replace("{lock}", &limits.lock.as_millis().to_string())
            .replace("{idle}", &limits.idle_in_transaction.as_millis().to_string());
        session.simple(&setup).await?;
        let rows = match session.query(CAPABILITY, &[]).await {
            // A function was taken from everybody: what the login may do is not known, so it may nothing, but it is there.
            Err(e) if e.trouble == Trouble::Privilege && !session.is_closed() => {
                let rows = session.query(PLAIN_CAPABILITY, &[]).await?;
                if let Some(live) = Arc::get_mut(&mut session.live) {
                    live.capability = rows.first().map(read_plain).unwrap_or_default();
                }
                return Ok(session);
            }
            rows => rows?,
        };
        if let Some(row) = rows.first() {
            session.meter.served_by(row.get("pid"));
        }
        let mut capability = rows.first().map(read_capability).unwrap_or_default();
        // A statement of its own: a CASE does not keep the server from checking the privilege.
        if rows.first().is_some_and(|r| r.get("control")) {
            let rows = session.query(SYSTEM_IDENTIFIER, &[]).await?;
            capability.system_identifier = rows.first().and_then(|r| r.get("system_identifier"));
        }
        if let Some(live) = Arc::get_mut(&mut session.live) {
            live.capability = capability;
        }
        Ok(session)
    }

    /// What the login may do.
    #[must_use]
    pub fn capability(&self) -> &Capability {
        &self.live.capability
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn encrypted(&self) -> bool {
        self.live.shown.get().is_some()
    }

    /// The last moment at which the certificate is valid that the server showed when this session began.
    #[must_use]
    pub fn certificate_expires(&self) -> Option<Time> {
        self.live.shown.get().and_then(|der| certificate::not_after(der))
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // An aborted task ends a moment later: until then the driver does not know that it is closed.
        self.live.given_up.load(Ordering::Relaxed) || self.live.client.is_closed()
    }

    /// Rows of a statement.
    ///
    /// # Errors
    /// When the server refuses, or gives no answer within the deadline; then the socket is closed.
    pub async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ReachError> {
        self.query_within(sql, params, self.limits.deadline()).await
    }

    /// The same with a deadline of its own, for statements that wait by design.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_within(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Duration,
    ) -> Result<Vec<Row>, ReachError> {
        let began = Instant::now();
        let work = async {
            let known = self.live.statements.lock().await.get(sql).cloned();
            let statement = match known {
                Some(s) => s,
                None => {
                    let s = self.live.client.prepare(sql).await?;
                    self.live.statements.lock().await.insert(sql, s.clone());
                    s
                }
            };
            self.live.client.query(&statement, params).await
        };
        let answer = self.within(deadline, work).await;
        self.metered(began, answer)
    }

    /// Rows of a statement that was made from a static one for the names of users' objects, which no parameter can carry. Every
    /// name in it went through [`quoted`]. It is not kept prepared.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_made(&self, sql: &str) -> Result<Vec<Row>, ReachError> {
        let began = Instant::now();
        let work = self.live.client.query(sql, &[]);
        let answer = self.within(self.limits.deadline(), work).await;
        self.metered(began, answer)
    }

    async fn simple(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, ReachError> {
        self.simple_within(sql, self.limits.deadline()).await
    }

    /// For [`crate::trial`] alone: the simple protocol takes more than one statement.
    pub(crate) async fn simple_within(
        &self,
        sql: &str,
        deadline: Duration,
    ) -> Result<Vec<SimpleQueryMessage>, ReachError> {
        let began = Instant::now();
        let answer = self.within(deadline, self.live.client.simple_query(sql)).await;
        self.metered(began, answer)
    }

    /// What the server ended cost it as much as what it answered. One that gives no answer at all may do nothing.
    fn metered<T>(&self, began: Instant, answer: Result<Vec<T>, ReachError>) -> Result<Vec<T>, ReachError> {
        match &answer {
            Ok(rows) => self.meter.add(rows.len(), began.elapsed()),
            Err(e) if e.sqlstate.is_some() => self.meter.add_work(began.elapsed()),
            Err(_) => {}
        }
        answer
    }

    /// For [`crate::trial`] alone: exactly one statement, because the extended protocol takes no more.
    pub(crate) async fn execute_within(&self, sql: &str, deadline: Duration) -> Result<(), ReachError> {
        let began = Instant::now();
        let answer = self.within(deadline, self.live.client.execute(sql, &[])).await;
        self.metered(began, answer.map(|_| Vec::<()>::new())).map(|_| ())
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, ReachError> {
        match tokio::time::timeout(deadline, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(ReachError::from_driver(&self.target, &e)),
            Err(_) => {
                // The answer would come to nobody: close the socket so that the next use connects anew.
                self.live.given_up.store(true, Ordering::Relaxed);
                self.live.task.abort();
                let reason = format!("no answer within {} ms", deadline.as_millis());
                Err(ReachError::new(&self.target, Trouble::Timeout, reason))
            }
        }
    }
}

/// An identifier as SQL text, for [`PgSession::query_made`].
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Opens a connection and its task, for sessions and consoles alike.
pub(crate) async fn open(
    target: &str,
    ready: &Ready,
    limits: &Limits,
    meter: &Meter,
) -> Result<(Client, Running, tls::Shown), ReachError> {
    let (connector, shown) = tls::connector(target, ready)?;
    let began = Instant::now();
    let connecting = ready.config.connect(connector);
    // Login on a loaded server may take longer than the connect itself.
    let deadline = limits.connect + limits.connect;
    let (client, connection) = match tokio::time::timeout(deadline, connecting).await {
        Ok(Ok(pair)) => pair,
        Ok(Err(e)) => {
            // A refusal is an answer of the server, and cost it a process.
            if e.as_db_error().is_some() {
                meter.add_work(began.elapsed());
            }
            return Err(ReachError::from_driver(target, &e));
        }
        Err(_) => {
            let reason = format!("no connection within {} ms", deadline.as_millis());
            return Err(ReachError::new(target, Trouble::Tcp, reason));
        }
    };
    meter.add_work(began.elapsed());
    let name = target.to_owned();
    let (owner, mut dropped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            // Its client is gone too, so the connection sends the word that ends it.
            _ = &mut dropped => match tokio::time::timeout(GOODBYE, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            },
        };
        if let Err(e) = ended {
            tracing::debug!(target_address = %name, error = %e, "session ended");
        }
    });
    let running = Running { task, _owner: owner };
    Ok((client, running, shown))
}

fn read_plain(row: &Row) -> Capability {
    Capability {
        version_num: row
            .get::<_, Option<String>>("version_num")
            .and_then(|v| v.parse().ok())
            .unwrap_or_default(),
        user: row.get("user_name"),
        ..Capability::default()
    }
}

fn read_capability(row: &Row) -> Capability {
    Capability {
        version_num: row.get::<_, i32>("version_num").unsigned_abs(),
        user: row.get("user_name"),
        superuser: row.get("superuser"),
        monitor: row.get("monitor"),
        signal: row.get("signal"),
        reserved: row.get("reserved"),
        files: row.get("files"),
        system_identifier: None,
    }
}
