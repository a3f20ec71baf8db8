//! What is really so: read as superuser and at the console, by statements of its own, not by the code under test.

use muster_lab::fleet::{Fleet, User, connect};
use muster_model::{Record, Span};
use serde_json::json;
use tokio_postgres::{Client, SimpleQueryMessage};

/// Reads the truth about a fleet over connections that are opened before a fault.
pub struct Truth {
    primary: Client,
    standbys: Vec<Client>,
    console: Option<Client>,
}

const PRIMARY: &str = "SELECT \
    (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock') AS lock_waiters, \
    COALESCE((SELECT extract(epoch FROM clock_timestamp() - min(query_start)) * 1000 FROM pg_stat_activity \
              WHERE wait_event_type = 'Lock'), 0)::int8 AS lock_wait_ms, \
    (SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend' \
       AND pid <> pg_backend_pid() AND query_start < clock_timestamp() - interval '1 s') AS running, \
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::float8 * 100 \
      / (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
         - COALESCE(current_setting('reserved_connections', true), '0')::int) AS connections_percent, \
    (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming') AS streaming";

impl Truth {
    /// Opens its connections.
    ///
    /// # Errors
    /// When a server does not let it in.
    pub async fn open(fleet: &Fleet) -> Result<Self, String> {
        let login = |e: tokio_postgres::Error| format!("login for the truth: {e}");
        let config = |s: &str| {
            fleet
                .config(s, User::Postgres, "postgres")
                .map_err(|e| e.to_string())
        };
        let primary = connect(&config("a")?).await.map_err(login)?;
        let mut standbys = Vec::new();
        for s in fleet.servers.iter().skip(1) {
            standbys.push(connect(&config(&s.name)?).await.map_err(login)?);
        }
        let console = match &fleet.pooler {
            None => None,
            Some(p) => {
                let mut c = tokio_postgres::Config::new();
                c.host("127.0.0.1")
                    .port(p.port)
                    .user("muster_act")
                    .dbname("pgbouncer");
                c.password(fleet.password(User::MusterAct).map_err(|e| e.to_string())?);
                Some(connect(&c).await.map_err(login)?)
            }
        };
        Ok(Self {
            primary,
            standbys,
            console,
        })
    }

    /// What is so now.
    ///
    /// # Errors
    /// When something cannot be read.
    pub async fn read(&self) -> Result<Record, String> {
        let fail = |e: tokio_postgres::Error| format!("the truth cannot be read: {e}");
        let row = self.primary.query_one(PRIMARY, &[]).await.map_err(fail)?;
        let mut paused: i64 = 0;
        for s in &self.standbys {
            // A standby that is stopped is not paused.
            if let Ok(r) = s.query_one("SELECT pg_is_wal_replay_paused()", &[]).await {
                paused += i64::from(r.get::<_, bool>(0));
            }
        }
        let (mut waiting, mut maxwait_ms): (i64, u64) = (0, 0);
        if let Some(console) = &self.console {
            for message in console.simple_query("SHOW POOLS").await.map_err(fail)? {
                let SimpleQueryMessage::Row(r) = message else {
                    continue;
                };
                let number = |c: &str| r.get(c).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
                if r.get("database") != Some("pgbouncer") {
                    waiting += i64::try_from(number("cl_waiting")).unwrap_or(0);
                    maxwait_ms = maxwait_ms.max(number("maxwait") * 1000 + number("maxwait_us") / 1000);
                }
            }
        }
        let lock_wait = u64::try_from(row.get::<_, i64>("lock_wait_ms")).unwrap_or(0);
        let value = json!({
            "waiting": waiting,
            "maxwait": Span::from_millis(maxwait_ms).to_string(),
            "lock_waiters": row.get::<_, i64>("lock_waiters"),
            "lock_wait": Span::from_millis(lock_wait).to_string(),
            "running": row.get::<_, i64>("running"),
            "connections_percent": row.get::<_, f64>("connections_percent"),
            "streaming": row.get::<_, i64>("streaming"),
            "paused": paused,
        });
        Ok(value.as_object().cloned().unwrap_or_default())
    }

    /// Whether a condition holds now.
    ///
    /// # Errors
    /// When it cannot be said.
    pub async fn holds(&self, condition: &str) -> Result<bool, String> {
        let now = self.read().await?;
        muster_runbooks::eval(condition, &now, Some(&super::truth_signature())).map_err(|e| e.to_string())
    }

    /// A connection for the oracle.
    #[must_use]
    pub fn primary(&self) -> &Client {
        &self.primary
    }
}
