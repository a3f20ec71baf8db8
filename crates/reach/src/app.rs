//! One application: a GET of its health route, with a deadline and a cap on what is read of the answer.
//!
//! Follows no other address than the one that was configured, goes through no proxy, and shows no address in an error:
//! there may be a secret in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use crate::config::{AppConfig, AppLogPlace};
use crate::error::{ReachError, Trouble, chain};
use crate::meter::Meter;

/// How long an answer may take, to its last byte.
const DEADLINE: Duration = Duration::from_secs(2);
/// Most that is read of an answer.
const MOST_BYTES: usize = 256 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthAnswer {
    /// HTTP status.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// Its JSON; absent when it is none, or longer than is read.
    pub json: Option<serde_json::Value>,
}

/// One application.
pub struct App {
    /// Short name.
    pub name: String,
    /// `shop/notes`.
    pub address: String,
    /// Its health route without user, password and query; absent when none is configured.
    pub endpoint: Option<String>,
    /// Its log, where the config names one.
    pub log: Option<AppLogPlace>,
    health: Option<SecretString>,
    token: Option<SecretString>,
    meter: Arc<Meter>,
    http: OnceCell<reqwest::Client>,
}

impl App {
    pub(crate) fn new(config: AppConfig) -> Self {
        Self {
            name: config.name,
            address: config.address,
            endpoint: config.health.as_deref().map(public),
            log: config.log,
            health: config.health.map(SecretString::from),
            token: config.token,
            meter: Arc::new(Meter::default()),
            http: OnceCell::new(),
        }
    }

    /// What reaching it cost so far.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// What its health route answers; `None` when none is configured.
    ///
    /// # Errors
    /// With the rung that failed. An answer is an answer, whatever its status.
    pub async fn health(&self) -> Result<Option<HealthAnswer>, ReachError> {
        let Some(url) = &self.health else { return Ok(None) };
        let http = self.http.get_or_try_init(|| async { client() }).await;
        let http = http.map_err(|e| self.error(e))?;
        let mut request = http.get(url.expose_secret());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let began = Instant::now();
        let mut answer = request.send().await.map_err(|e| self.error(e))?;
        let mut body = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(|e| self.error(e))? {
            if body.len() + more.len() > MOST_BYTES {
                body.clear();
                break;
            }
            body.extend_from_slice(&more);
        }
        let took = began.elapsed();
        self.meter.add(1, took);
        Ok(Some(HealthAnswer {
            status: answer.status().as_u16(),
            took,
            json: serde_json::from_slice(&body).ok(),
        }))
    }

    fn error(&self, e: reqwest::Error) -> ReachError {
        let e = e.without_url();
        let text = chain(&e);
        let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
        let trouble = if e.is_builder() {
            Trouble::Login
        } else if has(&[
            "dns error",
            "failed to lookup address",
            "Name or service not known",
        ]) {
            Trouble::Dns
        } else if has(&["certificate", "TLS", "tls", "HandshakeFailure"]) {
            Trouble::Tls
        } else if e.is_timeout() && !e.is_connect() {
            Trouble::Timeout
        } else if e.is_connect() {
            Trouble::Tcp
        } else {
            Trouble::Closed
        };
        let reason = if trouble == Trouble::Timeout {
            format!("no answer within {} ms", DEADLINE.as_millis())
        } else {
            text
        };
        ReachError::new(&self.address, trouble, reason)
    }
}

fn client() -> Result<reqwest::Client, reqwest::Error> {
    // The program installs it first thing; a test or another program may not have.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    reqwest::Client::builder()
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(1)
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// An address without what may be secret in it.
fn public(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else {
        return "?".to_owned();
    };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::public;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(
            public("http://u:p@127.0.0.1:8080/health/detailed?token=x"),
            "http://127.0.0.1:8080/health/detailed"
        );
        assert_eq!(public("nonsense"), "?");
    }
}
