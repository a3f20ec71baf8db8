//! One Redis: PING and INFO, with time-outs.

use std::collections::BTreeMap;

use redis::IntoConnectionInfo;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::config::{CacheConfig, Limits, Login};
use crate::error::{ReachError, Trouble};

/// One Redis.
pub struct Cache {
    /// Short name.
    pub name: String,
    /// `shop/cache`.
    pub address: String,
    login: Login,
    limits: Limits,
    connection: Mutex<Option<redis::aio::MultiplexedConnection>>,
}

impl Cache {
    pub(crate) fn new(config: CacheConfig, limits: Limits) -> Self {
        Self {
            name: config.name,
            address: config.address,
            login: config.login,
            limits,
            connection: Mutex::new(None),
        }
    }

    /// INFO, as key to value.
    ///
    /// # Errors
    /// With the rung that failed.
    pub async fn info(&self) -> Result<BTreeMap<String, String>, ReachError> {
        let mut slot = self.connection.lock().await;
        if slot.is_none() {
            *slot = Some(self.connect().await?);
        }
        let Some(connection) = slot.as_mut() else {
            return Ok(BTreeMap::new());
        };
        let command = redis::cmd("INFO");
        let asked =
            tokio::time::timeout(self.limits.deadline(), command.query_async::<String>(connection)).await;
        let text = match asked {
            Ok(Ok(text)) => text,
            Ok(Err(e)) => {
                *slot = None;
                return Err(self.error(&e));
            }
            Err(_) => {
                *slot = None;
                return Err(ReachError::new(
                    &self.address,
                    Trouble::Timeout,
                    "no answer to INFO in time",
                ));
            }
        };
        Ok(text
            .lines()
            .filter_map(|l| l.split_once(':'))
            .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
            .collect())
    }

    async fn connect(&self) -> Result<redis::aio::MultiplexedConnection, ReachError> {
        let mut info = self
            .login
            .url
            .as_str()
            .into_connection_info()
            .map_err(|e| ReachError::new(&self.address, Trouble::Login, e.to_string()))?;
        if let Some(password) = &self.login.password {
            let settings = info
                .redis_settings()
                .clone()
                .set_password(password.expose_secret());
            info = info.set_redis_settings(settings);
        }
        let client = redis::Client::open(info).map_err(|e| self.error(&e))?;
        match tokio::time::timeout(self.limits.connect, client.get_multiplexed_async_connection()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(e)) => Err(self.error(&e)),
            Err(_) => Err(ReachError::new(
                &self.address,
                Trouble::Tcp,
                "no connection in time",
            )),
        }
    }

    fn error(&self, e: &redis::RedisError) -> ReachError {
        let text = e.to_string();
        let trouble =
            if text.contains("NOAUTH") || text.contains("WRONGPASS") || text.contains("uthentication") {
                Trouble::Auth
            } else if text.contains("LOADING") {
                Trouble::Starting
            } else {
                Trouble::Tcp
            };
        ReachError::new(&self.address, trouble, text)
    }
}
