//! Sends one message through one channel. Speaks to the network; decides only whether another try can help.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use muster_engine::journal::Notification;
use muster_model::{Digest, Time};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Channel;
use super::channel::{mail, pagerduty, slack, webhook};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers that no other try will change: the message itself is not what the receiver takes, or there is none.
const NEVER: [u16; 5] = [400, 404, 410, 413, 422];

/// Answers of a mail server that no other try will change; a wrong password may be mended in the config.
const NO_MAILBOX: [&str; 3] = ["550", "551", "553"];

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
    /// Who took a mail that others of its receivers shall get still.
    halfway: Arc<Mutex<VecDeque<Halfway>>>,
}

/// A mail that some of its receivers have taken.
#[derive(Clone, Debug)]
struct Halfway {
    id: Digest,
    taken: Vec<Address>,
}

/// So many are remembered; of the oldest some receivers may get one twice.
const HALFWAY: usize = 64;

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
        let halfway = Arc::default();
        http.map(|http| Self { http, halfway }).map_err(told)
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
            } => self.post_mail(server, login.as_ref(), n, from, to).await,
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
        let token = token.map(ExposeSecret::expose_secret);
        judged(status, &hidden(&text, url.expose_secret(), token))
    }

    async fn post_mail(
        &self,
        server: &url::Url,
        login: Option<&(String, SecretString)>,
        n: &Notification,
        from: &str,
        to: &[String],
    ) -> Result<(), Refused> {
        let mail = mail::mail(n, from, to).map_err(|why| Refused { why, again: false })?;
        let fail = |e: &lettre::transport::smtp::Error| Refused {
            why: format!("the mail server does not take it: {e}"),
            again: !e
                .status()
                .is_some_and(|code| NO_MAILBOX.contains(&code.to_string().as_str())),
        };
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(&with_tls(server)).map_err(|e| fail(&e))?;
        transport = transport.timeout(Some(PATIENCE));
        if let Some((name, password)) = login {
            transport = transport.credentials(Credentials::new(
                name.clone(),
                password.expose_secret().to_owned(),
            ));
        }
        let transport = transport.build();
        let (envelope, bytes) = (mail.envelope(), mail.formatted());
        // To each for themselves: who left last year does not keep it from the others, and nobody gets it twice because another
        // one has to be asked again.
        let mut done = self.taken(&n.id);
        let mut refused: Option<Refused> = None;
        for receiver in envelope.to() {
            if done.contains(receiver) {
                continue;
            }
            let one = Envelope::new(envelope.from().cloned(), vec![receiver.clone()]);
            let one = one.map_err(|e| e.to_string())?;
            match transport.send_raw(&one, &bytes).await {
                Ok(_) => done.push(receiver.clone()),
                Err(e) => {
                    tracing::warn!(%receiver, error = %e, "a mail was not taken");
                    let why = fail(&e);
                    refused = Some(refused.filter(|r| r.again).unwrap_or(why));
                }
            }
        }
        match refused {
            Some(refused) if refused.again || done.is_empty() => {
                self.remember(&n.id, done);
                Err(refused)
            }
            // Who has no mailbox there is said in the log; the others have it.
            _ => {
                self.remember(&n.id, Vec::new());
                Ok(())
            }
        }
    }

    fn halfway(&self) -> std::sync::MutexGuard<'_, VecDeque<Halfway>> {
        self.halfway
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Who has taken this message already.
    fn taken(&self, id: &Digest) -> Vec<Address> {
        let known = self.halfway();
        let of = known.iter().find(|h| h.id == *id);
        of.map(|h| h.taken.clone()).unwrap_or_default()
    }

    /// Notes who has taken it; nobody, when it is not sent again.
    fn remember(&self, id: &Digest, taken: Vec<Address>) {
        let mut known = self.halfway();
        known.retain(|h| h.id != *id);
        if taken.is_empty() {
            return;
        }
        if known.len() >= HALFWAY {
            known.pop_front();
        }
        let id = id.clone();
        known.push_back(Halfway { id, taken });
    }
}

/// What a receiver says, without what it may repeat of an address or a token.
fn hidden(text: &str, url: &str, token: Option<&str>) -> String {
    let mut pieces: Vec<&str> = token.into_iter().collect();
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    pieces.push(path);
    pieces.extend(path.split(['/', '?', '&', '=']).filter(|p| p.len() >= 6));
    pieces.sort_by_key(|p| std::cmp::Reverse(p.len()));
    let mut out = text.to_owned();
    for piece in pieces.into_iter().filter(|p| p.len() >= 4) {
        out = out.replace(piece, "…");
    }
    out
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
    fn what_a_receiver_repeats_of_an_address_or_a_token_is_left_out() {
        let url = "https://chat.example.org/hooks/T0123456/s3cr3ts3cr3t?key=abcdefgh";
        let said = r#"{"path":"/hooks/T0123456/s3cr3ts3cr3t","key":"abcdefgh","token":"tok-1234"}"#;
        let told = hidden(said, url, Some("tok-1234"));
        for secret in ["T0123456", "s3cr3t", "abcdefgh", "tok-1234"] {
            assert!(!told.contains(secret), "{told}");
        }
        assert_eq!(hidden("invalid event", url, None), "invalid event");
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
