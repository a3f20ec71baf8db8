//! One Redis: INFO, and what it says of slow commands and of its settings, with time-outs.
//!
//! There is no way to send it anything else from here: no key is read, nothing is listed, nothing is watched. What a
//! slow command was given stays in Redis; its name leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo};
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::config::{CacheConfig, Limits, Login};
use crate::error::{ReachError, Trouble};
use crate::meter::Meter;

/// How long it is tried whether anything listens, and how long a word is waited for, once no login came about.
const KNOCK: Duration = Duration::from_millis(300);
/// Longest name of a command.
const LONGEST_NAME: usize = 32;

/// An entry of the slow log without the arguments of its command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowEntry {
    /// Its number, which only grows.
    pub id: u64,
    /// When it ran, in seconds since the epoch.
    pub at_secs: i64,
    /// For how long, in microseconds.
    pub took_us: u64,
    /// The command's name.
    pub command: String,
}

/// A row of LATENCY LATEST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyRow {
    /// Event.
    pub event: String,
    /// When it was last seen, in seconds since the epoch.
    pub at_secs: i64,
    /// Then, in milliseconds.
    pub latest_ms: u64,
    /// The longest ever, in milliseconds.
    pub longest_ms: u64,
}

type Connection = redis::aio::MultiplexedConnection;

/// One Redis.
pub struct Cache {
    /// Short name.
    pub name: String,
    /// `shop/cache`.
    pub address: String,
    login: Login,
    limits: Limits,
    meter: Arc<Meter>,
    connection: Mutex<Option<Connection>>,
}

impl Cache {
    pub(crate) fn new(config: CacheConfig, limits: Limits) -> Self {
        Self {
            name: config.name,
            address: config.address,
            login: config.login,
            limits,
            meter: Arc::new(Meter::default()),
            connection: Mutex::new(None),
        }
    }

    /// What reaching it cost so far.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The user that logs in.
    #[must_use]
    pub fn user(&self) -> String {
        let url = url::Url::parse(&self.login.url).ok();
        let user = url.map(|u| u.username().to_owned()).filter(|u| !u.is_empty());
        user.unwrap_or_else(|| "default".to_owned())
    }

    /// INFO, as key to value.
    ///
    /// # Errors
    /// With the rung that failed; [`Trouble::Privilege`] when the user may not ask.
    pub async fn info(&self) -> Result<BTreeMap<String, String>, ReachError> {
        let text: String = self.ask(&redis::cmd("INFO"), "INFO").await?;
        Ok(text
            .lines()
            .filter_map(|l| l.split_once(':'))
            .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
            .collect())
    }

    /// The newest entries of the slow log, the newest first.
    ///
    /// # Errors
    /// As [`Self::info`]; [`Trouble::Statement`] when there is no such command.
    pub async fn slow_log(&self, count: u32) -> Result<Vec<SlowEntry>, ReachError> {
        let mut command = redis::cmd("SLOWLOG");
        command.arg("GET").arg(count);
        let rows: Vec<Vec<redis::Value>> = self.ask(&command, "SLOWLOG GET").await?;
        Ok(rows.iter().filter_map(|row| slow_entry(row)).collect())
    }

    /// LATENCY LATEST.
    ///
    /// # Errors
    /// As [`Self::slow_log`].
    pub async fn latency(&self) -> Result<Vec<LatencyRow>, ReachError> {
        let mut command = redis::cmd("LATENCY");
        command.arg("LATEST");
        let rows: Vec<Vec<redis::Value>> = self.ask(&command, "LATENCY LATEST").await?;
        Ok(rows.iter().filter_map(|row| latency_row(row)).collect())
    }

    /// A setting; `None` when there is none of this name.
    ///
    /// # Errors
    /// As [`Self::slow_log`].
    pub async fn setting(&self, name: &'static str) -> Result<Option<String>, ReachError> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(name);
        let pair: Vec<String> = self.ask(&command, "CONFIG GET").await?;
        Ok(pair.into_iter().nth(1))
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd, what: &str) -> Result<T, ReachError> {
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let began = Instant::now();
        let deadline = self.limits.deadline();
        match tokio::time::timeout(deadline, command.query_async::<T>(&mut connection)).await {
            Ok(Ok(answer)) => {
                self.meter.add(1, began.elapsed());
                *slot = Some(connection);
                Ok(answer)
            }
            Ok(Err(e)) => {
                let e = self.error(&e);
                // A refusal is an answer: the connection is good.
                if matches!(
                    e.trouble,
                    Trouble::Privilege | Trouble::Statement | Trouble::Starting
                ) {
                    *slot = Some(connection);
                }
                Err(e)
            }
            Err(_) => {
                let reason = format!("no answer to {what} within {} ms", deadline.as_millis());
                Err(ReachError::new(&self.address, Trouble::Timeout, reason))
            }
        }
    }

    async fn connect(&self) -> Result<Connection, ReachError> {
        let mut info = self
            .login
            .url
            .as_str()
            .into_connection_info()
            .map_err(|e| ReachError::new(&self.address, Trouble::Login, e.to_string()))?;
        // CLIENT SETINFO would stand in the ACL log of a user that may not say it, once a connection.
        let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(password) = &self.login.password {
            settings = settings.set_password(password.expose_secret());
        }
        info = info.set_redis_settings(settings);
        let client = redis::Client::open(info.clone()).map_err(|e| self.error(&e))?;
        // Our own deadlines hold, not those of the driver.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        match tokio::time::timeout(self.limits.connect, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(e)) => {
                let mut error = self.error(&e);
                // The driver takes whatever it hears at login for a wrong password. Who is turned away at the door hears why.
                if error.trouble == Trouble::Auth
                    && let Some(word) = knock(&info).await.flatten()
                    && let Some(trouble) = turned_away(&word)
                {
                    error = ReachError::new(&self.address, trouble, word);
                }
                Err(error)
            }
            Err(_) => {
                let (trouble, reason) = if knock(&info).await.is_some() {
                    (Trouble::Timeout, "it takes the connection and does not answer")
                } else {
                    (Trouble::Tcp, "no connection in time")
                };
                Err(ReachError::new(&self.address, trouble, reason))
            }
        }
    }

    fn error(&self, e: &redis::RedisError) -> ReachError {
        let text = e.to_string();
        let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
        let trouble = if has(&["NOPERM", "no permissions"]) || e.code() == Some("NOPERM") {
            Trouble::Privilege
        } else if has(&[
            "NOAUTH",
            "WRONGPASS",
            "uthentication",
            "invalid username-password",
        ]) {
            Trouble::Auth
        } else if has(&["LOADING"]) || e.code() == Some("LOADING") {
            Trouble::Starting
        } else if has(&["max number of clients"]) {
            Trouble::Full
        } else if e.code() == Some("BUSY") {
            // A script holds everybody up: it answers nobody's question.
            Trouble::Timeout
        } else if has(&["failed to lookup address", "Name or service not known"]) {
            Trouble::Dns
        } else if e.code().is_some() {
            Trouble::Statement
        } else if e.is_connection_refusal() || !e.is_connection_dropped() {
            Trouble::Tcp
        } else {
            Trouble::Closed
        };
        ReachError::new(&self.address, trouble, text)
    }
}

/// Connects and says nothing: `None` when nothing takes the connection, else what is said to a newcomer at once, if
/// anything.
async fn knock(info: &ConnectionInfo) -> Option<Option<String>> {
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        // A unix socket is there or refuses at once; behind TLS nothing is said in the open.
        return Some(None);
    };
    let connecting = TcpStream::connect((host.as_str(), *port));
    let mut stream = tokio::time::timeout(KNOCK, connecting).await.ok()?.ok()?;
    let mut word = [0; 256];
    let heard = tokio::time::timeout(KNOCK, stream.read(&mut word)).await;
    let Ok(Ok(length @ 1..)) = heard else {
        return Some(None);
    };
    let text = String::from_utf8_lossy(&word[..length]);
    Some(Some(text.trim_start_matches('-').trim().to_owned()))
}

/// Why a newcomer is turned away before any login.
fn turned_away(word: &str) -> Option<Trouble> {
    let has = |part: &str| word.contains(part);
    if has("max number of clients") {
        Some(Trouble::Full)
    } else if has("DENIED") {
        // Protected mode: it lets in nobody from elsewhere.
        Some(Trouble::Auth)
    } else {
        None
    }
}

/// `[id, when, microseconds, [command, argument, …], …]`.
fn slow_entry(row: &[redis::Value]) -> Option<SlowEntry> {
    let [id, at, took, words, ..] = row else {
        return None;
    };
    let redis::Value::Array(words) = words else {
        return None;
    };
    Some(SlowEntry {
        id: u64::try_from(number(id)?).ok()?,
        at_secs: number(at)?,
        took_us: u64::try_from(number(took)?).ok()?,
        command: name(&text(words.first()?)?),
    })
}

/// `[event, when, latest, longest]`.
fn latency_row(row: &[redis::Value]) -> Option<LatencyRow> {
    let [event, at, latest, longest, ..] = row else {
        return None;
    };
    Some(LatencyRow {
        event: text(event)?,
        at_secs: number(at)?,
        latest_ms: u64::try_from(number(latest)?).ok()?,
        longest_ms: u64::try_from(number(longest)?).ok()?,
    })
}

fn number(value: &redis::Value) -> Option<i64> {
    match value {
        redis::Value::Int(n) => Some(*n),
        _ => None,
    }
}

fn text(value: &redis::Value) -> Option<String> {
    match value {
        redis::Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        redis::Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// The name of a command, and nothing that could be data: names are words.
fn name(word: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '|');
    if word.is_empty() || word.len() > LONGEST_NAME || !word.chars().all(good) {
        return "?".to_owned();
    }
    word.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_slow_command_leaves_without_what_it_was_given() {
        let row = [
            Value::Int(7),
            Value::Int(1_700_000_000),
            Value::Int(12_000),
            Value::Array(vec![bulk("set"), bulk("user:1:token"), bulk("secret")]),
            bulk("127.0.0.1:1"),
            bulk(""),
        ];
        let entry = slow_entry(&row).expect("reads");
        assert_eq!(
            (entry.id, entry.took_us, entry.command.as_str()),
            (7, 12_000, "SET")
        );
        assert!(!format!("{entry:?}").contains("secret"));
        assert_eq!(
            turned_away("ERR max number of clients reached"),
            Some(Trouble::Full)
        );
        assert_eq!(turned_away("anything else"), None);
        assert_eq!(name("my secret text"), "?");
        assert_eq!(slow_entry(&row[..3]), None);
    }
}
