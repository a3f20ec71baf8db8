//! One PostgreSQL server: its reserved sessions, and the ladder that names the rung that fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::config::{HostConfig, Limits, Login, ServerConfig};
use crate::error::{ReachError, Trouble};
use crate::login;
use crate::meter::Meter;
use crate::session::{PgSession, Purpose};

/// After a failed connect the next try waits this long, so that a dead server is not hammered and a returning one is soon seen.
const BACK_OFF: Duration = Duration::from_millis(400);
/// A server without a free slot: every try takes one of the last for a moment.
const BACK_OFF_FULL: Duration = Duration::from_secs(5);
/// A login that is refused by what is written somewhere: a try more changes nothing, and fills the server's log.
const BACK_OFF_REFUSED: Duration = Duration::from_secs(10);

/// A statement over a whole catalogue may take this long.
const CATALOG_STATEMENT: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Slot {
    session: Option<PgSession>,
    failed: Option<(Instant, ReachError)>,
}

/// One PostgreSQL server.
pub struct Server {
    /// Short name.
    pub name: String,
    /// `shop/a`.
    pub address: String,
    /// `host:port`.
    pub endpoint: String,
    /// Its host, where the config enrols one.
    pub host: Option<HostConfig>,
    observe: Login,
    act: Option<Login>,
    acting_user: Option<String>,
    limits: Limits,
    meter: Arc<Meter>,
    observing: Mutex<Slot>,
    acting: Mutex<Slot>,
}

impl Server {
    pub(crate) fn new(config: ServerConfig, limits: Limits) -> Self {
        let endpoint = login::ready(&config.address, &config.observe, "", limits.connect)
            .map(|r| login::endpoint(&r.config))
            .unwrap_or_default();
        let acting_user = config.act.as_ref().and_then(|act| {
            let ready = login::ready(&config.address, act, "", limits.connect).ok()?;
            ready.config.get_user().map(str::to_owned)
        });
        Self {
            name: config.name,
            address: config.address,
            acting_user,
            endpoint,
            host: config.host,
            observe: config.observe,
            act: config.act,
            limits,
            meter: Arc::new(Meter::default()),
            observing: Mutex::new(Slot::default()),
            acting: Mutex::new(Slot::default()),
        }
    }

    /// Whether there is a login to act with.
    #[must_use]
    pub fn can_act(&self) -> bool {
        self.act.is_some()
    }

    /// The user that acts, when there is one and its login can be read.
    #[must_use]
    pub fn acting_user(&self) -> Option<&str> {
        self.acting_user.as_deref()
    }

    /// Ends the reserved observing session: the next use logs in anew, and reads anew what it may do.
    pub async fn renew(&self) {
        self.observing.lock().await.session = None;
    }

    /// What reaching it cost so far.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The limits of its sessions.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The reserved observing session; connects when there is none.
    ///
    /// # Errors
    /// With the rung that failed.
    pub async fn observing(&self) -> Result<PgSession, ReachError> {
        self.reserved(&self.observing, &self.observe, Purpose::Observe)
            .await
    }

    /// The reserved acting session; connects when there is none.
    ///
    /// # Errors
    /// [`Trouble::NoActingLogin`] when the config has none, or with the rung that failed.
    pub async fn acting(&self) -> Result<PgSession, ReachError> {
        let Some(login) = &self.act else {
            return Err(ReachError::new(
                &self.address,
                Trouble::NoActingLogin,
                "there is no login to act with",
            ));
        };
        self.reserved(&self.acting, login, Purpose::Act).await
    }

    /// A short session in another database of the server, for what only that database can tell.
    ///
    /// # Errors
    /// With the rung that failed.
    pub async fn inside(&self, database: &str) -> Result<PgSession, ReachError> {
        let (target, meter) = (&self.address, self.meter.clone());
        PgSession::inside(target, &self.observe, database, &self.limits, meter).await
    }

    /// A short session for the catalogue of a database (`None`: the one of the login), with more time for a statement and
    /// less patience for a lock than it would need to block anybody.
    ///
    /// # Errors
    /// With the rung that failed.
    pub async fn catalog(&self, database: Option<&str>) -> Result<PgSession, ReachError> {
        let limits = Limits {
            statement: self.limits.statement.max(CATALOG_STATEMENT),
            ..self.limits.clone()
        };
        self.alone(database, &limits).await
    }

    /// A session of its own with limits of its own.
    pub(crate) async fn alone(
        &self,
        database: Option<&str>,
        limits: &Limits,
    ) -> Result<PgSession, ReachError> {
        let (target, meter) = (&self.address, self.meter.clone());
        match database {
            Some(name) => PgSession::inside(target, &self.observe, name, limits, meter).await,
            None => PgSession::connect(target, &self.observe, Purpose::Observe, limits, meter).await,
        }
    }

    /// A short session in a database for statements that may take as long as is said, and wait for no lock.
    ///
    /// # Errors
    /// With the rung that failed.
    pub async fn patient(&self, database: &str, statement: Duration) -> Result<PgSession, ReachError> {
        let limits = Limits {
            statement,
            ..self.limits.clone()
        };
        let (target, meter) = (&self.address, self.meter.clone());
        PgSession::inside(target, &self.observe, database, &limits, meter).await
    }

    async fn reserved(
        &self,
        slot: &Mutex<Slot>,
        login: &Login,
        purpose: Purpose,
    ) -> Result<PgSession, ReachError> {
        let mut slot = slot.lock().await;
        if let Some(session) = slot.session.as_ref().filter(|s| !s.is_closed()) {
            return Ok(session.clone());
        }
        slot.session = None;
        if let Some((at, e)) = &slot.failed
            && at.elapsed() < back_off(&e.trouble)
        {
            return Err(e.clone());
        }
        match PgSession::connect(&self.address, login, purpose, &self.limits, self.meter.clone()).await {
            Ok(session) => {
                slot.failed = None;
                slot.session = Some(session.clone());
                Ok(session)
            }
            Err(e) => {
                slot.failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }
}

/// How long it is not tried again.
fn back_off(trouble: &Trouble) -> Duration {
    match trouble {
        Trouble::Full => BACK_OFF_FULL,
        Trouble::Auth
        | Trouble::RoleLimit
        | Trouble::Database
        | Trouble::DatabaseLimit
        | Trouble::Privilege
        | Trouble::Login
        | Trouble::NoActingLogin => BACK_OFF_REFUSED,
        Trouble::Dns
        | Trouble::Tcp
        | Trouble::Tls
        | Trouble::Starting
        | Trouble::Timeout
        | Trouble::Closed
        | Trouble::Statement => BACK_OFF,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_returns_is_seen_soon_and_one_that_refuses_is_left_alone() {
        for trouble in [Trouble::Tcp, Trouble::Starting, Trouble::Closed, Trouble::Dns] {
            assert!(back_off(&trouble) < Duration::from_secs(1), "{trouble:?}");
        }
        for trouble in [
            Trouble::Auth,
            Trouble::RoleLimit,
            Trouble::Database,
            Trouble::Login,
        ] {
            assert_eq!(back_off(&trouble), Duration::from_secs(10), "{trouble:?}");
        }
        assert_eq!(back_off(&Trouble::Full), Duration::from_secs(5));
    }
}
