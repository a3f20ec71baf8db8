//! Who is told what, and how: `notify` of the config.

use std::collections::BTreeMap;

use muster_model::Span;
use muster_runbooks::tree::{At, Tree};
use secrecy::{ExposeSecret, SecretString};

use super::Reader;
use crate::notify::{Channel, Heartbeat, LEVELS, Level, Notify, REPEAT, channel::pagerduty};

const SHORTEST_BEAT: Span = Span::from_secs(10);

impl Reader<'_> {
    /// All of it.
    pub(super) fn notify(&mut self, tree: Option<&Tree>) -> Notify {
        let mut out = Notify {
            repeat: REPEAT,
            ..Notify::default()
        };
        let Some(tree) = tree else {
            self.show("notify", "nobody is told", "default".to_owned());
            return out;
        };
        let keys = ["channels", "levels", "repeat", "heartbeat", "page"];
        if self.problems.map(tree, "notify", &keys).is_none() {
            return out;
        }
        if let Some(channels) = tree.get("channels") {
            let entries = match channels {
                Tree::Map { entries, .. } => entries.clone(),
                _ => {
                    self.problems.map(channels, "notify.channels", &[]);
                    Vec::new()
                }
            };
            for (name, at, body) in entries {
                self.name(&name, at);
                if let Some(channel) = self.channel(&name, &body) {
                    self.show(
                        &format!("notify.channels.{name}"),
                        channel.kind(),
                        self.origin(body.at()),
                    );
                    out.channels.insert(name, channel);
                }
            }
        }
        if out.channels.is_empty() && tree.get("heartbeat").is_none() && !self.problems.any_error() {
            let help = Some("give `channels`, or take `notify` out: docs/guides/notifications.md".to_owned());
            self.problems
                .error("notify", tree.at(), "`notify` names no channel", help);
        }
        out.levels = self.levels(tree, &out.channels);
        if out.levels.is_empty() && !out.channels.is_empty() && !self.problems.any_error() {
            let at = tree.get("levels").map_or(tree.at(), Tree::at);
            let help = Some("write `L1: [NAME]`, or take `levels` out: then L1 is every channel".to_owned());
            self.problems
                .error("notify", at, "no level of `notify.levels` reaches anybody", help);
        }
        let (repeat, origin) = match tree.get("repeat") {
            Some(t) => (
                self.problems.parsed(t, "notify.repeat", "a duration such as 30m"),
                self.origin(t.at()),
            ),
            None => (None, "default".to_owned()),
        };
        out.repeat = repeat.unwrap_or(REPEAT);
        if out.repeat < Span::from_mins(1) && out.repeat != Span::ZERO {
            let at = tree.get("repeat").map_or(tree.at(), Tree::at);
            let message = format!("`notify.repeat: {}` is too short", out.repeat);
            let help = Some("1m or more, or 0s for never".to_owned());
            self.problems.error("notify", at, message, help);
        }
        self.show("notify.repeat", &out.repeat.to_string(), origin);
        out.page = tree
            .get("page")
            .and_then(|t| self.problems.text(t, "notify.page"));
        out.heartbeat = tree.get("heartbeat").and_then(|t| self.heartbeat(t));
        out
    }

    fn channel(&mut self, name: &str, tree: &Tree) -> Option<Channel> {
        let at = format!("notify.channels.{name}");
        let kind = tree.get("kind").and_then(Tree::text).unwrap_or_default();
        let keys: &[&str] = match kind {
            "webhook" => &[
                "kind",
                "url",
                "url_file",
                "url_env",
                "url_credential",
                "token_file",
                "token_env",
                "token_credential",
            ],
            "slack" => &["kind", "url", "url_file", "url_env", "url_credential"],
            "pagerduty" => &["kind", "url", "key_file", "key_env", "key_credential"],
            "mail" => &[
                "kind",
                "server",
                "user",
                "password_file",
                "password_env",
                "password_credential",
                "from",
                "to",
            ],
            other => {
                let help = Some("one of: webhook, slack, pagerduty, mail".to_owned());
                let message = format!("`{at}.kind` cannot be `{other}`");
                self.problems.error("notify", tree.at(), message, help);
                return None;
            }
        };
        self.problems.map(tree, &at, keys)?;
        match kind {
            "webhook" => Some(Channel::Webhook {
                url: self.address(tree, &at)?,
                token: self.secret(tree, &at, "token")?,
            }),
            "slack" => Some(Channel::Slack {
                url: self.address(tree, &at)?,
            }),
            "pagerduty" => {
                let url = if tree.get("url").is_some() {
                    self.address(tree, &at)?
                } else {
                    SecretString::from(pagerduty::URL)
                };
                let key = self.demanded(tree, &at, "key")?;
                Some(Channel::PagerDuty { url, key })
            }
            _ => self.mail(tree, &at),
        }
    }

    fn mail(&mut self, tree: &Tree, at: &str) -> Option<Channel> {
        let wrong = "a mail server is smtps://host:465, or smtp://host:587 (STARTTLS)";
        for key in ["server", "from", "to"] {
            if tree.get(key).is_none() {
                let help = (key == "server").then(|| wrong.to_owned());
                self.problems
                    .error("missing-key", tree.at(), format!("`{at}` has no `{key}`"), help);
                return None;
            }
        }
        let place = tree.get("server").map_or(tree.at(), Tree::at);
        let text = tree.get("server").and_then(Tree::text).unwrap_or_default();
        let server = url::Url::parse(text).ok().filter(|u| {
            matches!(u.scheme(), "smtp" | "smtps") && u.host_str().is_some() && u.password().is_none()
        });
        let Some(server) = server else {
            let message = format!("`{at}.server` cannot be used");
            self.problems
                .error("notify", place, message, Some(wrong.to_owned()));
            return None;
        };
        let login = match tree.get("user") {
            Some(user) => {
                let name = self.problems.text(user, "user")?;
                Some((name, self.demanded(tree, at, "password")?))
            }
            None => {
                let places = ["password_file", "password_env", "password_credential"];
                if let Some(t) = places.iter().find_map(|p| tree.get(p)) {
                    let message = format!("`{at}` has a password and no `user`");
                    self.problems
                        .error("missing-key", t.at(), message, Some("give `user`".to_owned()));
                }
                None
            }
        };
        let from = self.problems.text(tree.get("from")?, "from")?;
        let to = self.texts(tree.get("to")?, &format!("{at}.to"));
        if to.is_empty() {
            let message = format!("`{at}.to` names nobody");
            let help = Some("write ops@example.org".to_owned());
            self.problems.error("notify", tree.at(), message, help);
        }
        for address in to.iter().chain([&from]) {
            if let Err(e) = address.parse::<lettre::message::Mailbox>() {
                let message = format!("`{address}` in `{at}` is no address of a mailbox: {e}");
                let help = Some("write ops@example.org, or `Operations <ops@example.org>`".to_owned());
                self.problems.error("notify", tree.at(), message, help);
            }
        }
        Some(Channel::Mail {
            server,
            login,
            from,
            to,
        })
    }

    /// `url`, `url_file` or `url_env`; http or https.
    fn address(&mut self, tree: &Tree, at: &str) -> Option<SecretString> {
        let url = match (self.secret(tree, at, "url")?, tree.get("url")) {
            (Some(secret), _) => Some(secret),
            (None, Some(t)) => {
                let text = self.problems.text(t, "url")?;
                Some(SecretString::from(self.expanded(&text, t.at())?))
            }
            (None, None) => None,
        };
        let place = tree.get("url").map_or(tree.at(), Tree::at);
        let Some(url) = url else {
            let help = Some("give `url`, or `url_file` where the address is a secret".to_owned());
            self.problems
                .error("missing-key", place, format!("`{at}` has no `url`"), help);
            return None;
        };
        let parsed = url::Url::parse(url.expose_secret()).ok();
        match parsed.as_ref().map(url::Url::scheme) {
            Some("https") => {}
            Some("http") => {
                let host = parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default();
                if !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
                    self.warnings
                        .push(format!("{at} sends over http: everybody on the way can read it"));
                }
            }
            _ => {
                let help = Some("it begins with https://".to_owned());
                self.problems
                    .error("notify", place, format!("the address of `{at}` is none"), help);
                return None;
            }
        }
        Some(url)
    }

    fn demanded(&mut self, tree: &Tree, at: &str, key: &str) -> Option<SecretString> {
        let secret = self.secret(tree, at, key)?;
        if secret.is_none() {
            let help = Some("a file of mode 0600 with nothing else in it".to_owned());
            self.problems.error(
                "missing-key",
                tree.at(),
                format!("`{at}` has no `{key}_file`, `{key}_env` or `{key}_credential`"),
                help,
            );
        }
        secret
    }

    /// The levels that reach somebody. Without any, the first level goes to every channel.
    fn levels(&mut self, tree: &Tree, channels: &BTreeMap<String, Channel>) -> Vec<Level> {
        let names = LEVELS.map(|(name, _)| name);
        let given = tree.get("levels");
        let Some(levels) = given else {
            return vec![Level {
                name: LEVELS[0].0,
                after: LEVELS[0].1,
                to: channels.keys().cloned().collect(),
            }];
        };
        if self.problems.map(levels, "notify.levels", &names).is_none() {
            return Vec::new();
        }
        let mut out: Vec<Level> = Vec::new();
        for (name, default) in LEVELS {
            let Some(body) = levels.get(name) else { continue };
            let at = format!("notify.levels.{name}");
            let (list, after) = if let Tree::Map { .. } = body {
                if self.problems.map(body, &at, &["to", "after"]).is_none() {
                    continue;
                }
                let after = match body.get("after") {
                    Some(t) => self.problems.parsed(t, &at, "a duration such as 5m"),
                    None => Some(default),
                };
                (body.get("to"), after)
            } else {
                (Some(body), Some(default))
            };
            let (Some(list), Some(after)) = (list, after) else {
                self.problems
                    .error("missing-key", body.at(), format!("`{at}` has no `to`"), None);
                continue;
            };
            let to = self.texts(list, &at);
            if (1..to.len()).any(|i| to[..i].contains(&to[i])) {
                let message = format!("`{at}` names a channel twice");
                self.problems.error("notify", list.at(), message, None);
            }
            for channel in to.iter().filter(|c| !channels.contains_key(*c)) {
                let known: Vec<&str> = channels.keys().map(String::as_str).collect();
                let help = muster_runbooks::problem::did_you_mean(channel, known.iter().copied())
                    .unwrap_or_else(|| format!("channels: {}", known.join(", ")));
                let message = format!("`{at}` names the channel `{channel}`, which there is not");
                self.problems.error("notify", list.at(), message, Some(help));
            }
            if out.last().is_some_and(|before| after < before.after) {
                let message = format!("`{at}` comes before the level below it");
                self.problems.error(
                    "notify",
                    body.at(),
                    message,
                    Some("its `after` must be longer".to_owned()),
                );
            }
            self.show(&format!("{at}.after"), &after.to_string(), self.origin(body.at()));
            if !to.is_empty() {
                out.push(Level { name, after, to });
            }
        }
        out
    }

    fn heartbeat(&mut self, tree: &Tree) -> Option<Heartbeat> {
        let at = "notify.heartbeat";
        self.problems.map(
            tree,
            at,
            &["url", "url_file", "url_env", "url_credential", "every"],
        )?;
        let url = self.address(tree, at)?;
        let every = match tree.get("every") {
            Some(t) => self.problems.parsed(t, at, "a duration such as 1m")?,
            None => Span::from_mins(1),
        };
        if every < SHORTEST_BEAT {
            let place = tree.get("every").map_or(At::default(), Tree::at);
            self.problems.error(
                "notify",
                place,
                format!("`{at}.every: {every}` is too short"),
                Some("10s or more".to_owned()),
            );
        }
        self.show(at, &format!("every {every}"), self.origin(tree.at()));
        Some(Heartbeat { url, every })
    }
}
