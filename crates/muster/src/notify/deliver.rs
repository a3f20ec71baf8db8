//! Sends one message through one channel. Speaks to the network; decides only whether another try can help.

use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use muster_engine::journal::Notification;
use muster_model::Time;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Channel;
use super::channel::{mail, pagerduty, slack, webhook};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers that no other try will change: the message itself is not what the receiver takes, or there is none.
const NEVER: [u16; 5] = [400, 404, 410, 413, 422];

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// One sentence, without the address: that may be a secret.
    pub why: String,
    /// Whether it is worth trying again.
    pub again: bool,
}

/// Sends to all receivers of a config; cheap to clone.
#[derive(Clone, Debug)]
pub struct Postman {
    http: reqwest::Client,
}

impl Postman {
    /// With the certificates that the system trusts.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            // Who answers with another address is not the receiver that was configured.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
            .build();
        http.map(|http| Self { http }).map_err(told)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`Refused`] with whether another try can help.
    pub async fn send(&self, channel: &Channel, n: &Notification, at: Time) -> Result<(), Refused> {
        match channel {
            Channel::Webhook { url, token } => self.post(url, token.as_ref(), &webhook::body(n, at)).await,
            Channel::Slack { url } => self.post(url, None, &slack::body(n)).await,
            Channel::PagerDuty { url, key } => {
                let mut body = pagerduty::body(n, at);
                body["routing_key"] = key.expose_secret().into();
                self.post(url, None, &body).await
            }
            Channel::Mail {
                server,
                login,
                from,
                to,
            } => post_mail(server, login.as_ref(), n, from, to).await,
        }
    }

    /// A sign of life.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn beat(&self, url: &SecretString) -> Result<(), Refused> {
        let answer = self.http.get(url.expose_secret()).send().await;
        judged(answer.map_err(told)?.status().as_u16(), "")
    }

    /// Any JSON, to any address.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn post(
        &self,
        url: &SecretString,
        token: Option<&SecretString>,
        body: &Value,
    ) -> Result<(), Refused> {
        let mut request = self.http.post(url.expose_secret()).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await.map_err(told)?;
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        judged(status, &text)
    }
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self { why, again: true }
    }
}

fn judged(status: u16, text: &str) -> Result<(), Refused> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let said: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(120)
        .collect();
    let said = if said.is_empty() {
        said
    } else {
        format!(": {said}")
    };
    Err(Refused {
        why: format!("it answers {status}{said}"),
        again: !NEVER.contains(&status),
    })
}

/// The reason, without the address.
fn told(e: reqwest::Error) -> String {
    if e.is_timeout() {
        return format!("it does not answer within {} s", PATIENCE.as_secs());
    }
    let e = e.without_url();
    let sources = std::iter::successors(std::error::Error::source(&e), |s| s.source());
    let deepest = sources.last().map_or_else(|| e.to_string(), ToString::to_string);
    format!("it cannot be reached: {deepest}")
}

async fn post_mail(
    server: &url::Url,
    login: Option<&(String, SecretString)>,
    n: &Notification,
    from: &str,
    to: &[String],
) -> Result<(), Refused> {
    let mail = mail::mail(n, from, to).map_err(|why| Refused { why, again: false })?;
    let fail = |e: lettre::transport::smtp::Error| Refused {
        why: format!("the mail server does not take it: {e}"),
        again: !e.is_permanent(),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&with_tls(server)).map_err(fail)?;
    transport = transport.timeout(Some(PATIENCE));
    if let Some((name, password)) = login {
        transport = transport.credentials(Credentials::new(
            name.clone(),
            password.expose_secret().to_owned(),
        ));
    }
    transport.build().send(mail).await.map_err(fail)?;
    Ok(())
}

/// STARTTLS is demanded of every plain server but one on this machine.
fn with_tls(server: &url::Url) -> String {
    let here = matches!(server.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let mut url = server.clone();
    if url.scheme() == "smtp" && !here {
        url.set_query(Some("tls=required"));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_try_cannot_change_is_given_up() {
        assert_eq!(judged(202, ""), Ok(()));
        let wrong = judged(400, "invalid\n event").expect_err("refused");
        assert_eq!(
            (wrong.why.as_str(), wrong.again),
            ("it answers 400: invalid event", false)
        );
        // A wrong token may be mended in the config; too many calls end by themselves.
        for status in [401, 403, 429, 500, 503] {
            assert!(judged(status, "").is_err_and(|r| r.again), "{status}");
        }
    }

    #[test]
    fn mail_leaves_this_machine_only_encrypted() {
        let of = |text: &str| with_tls(&text.parse().expect("a url"));
        assert_eq!(
            of("smtp://mail.example.org:587"),
            "smtp://mail.example.org:587?tls=required"
        );
        assert_eq!(of("smtps://mail.example.org"), "smtps://mail.example.org");
        assert_eq!(of("smtp://127.0.0.1:2525"), "smtp://127.0.0.1:2525");
    }
}
