//! What a bundle of evidence takes from this process: the masked environment, the commands of the config, and the secrets
//! that must be nowhere in it.
//!
//! Of the environment every name is listed, and a value only where its name says that it is harmless and asked for: a secret that
//! nobody recognised is not shown by mistake.

use muster_act::Kit;
use muster_reach::redact::{Known, is_secret_name, of_url, text};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Resolved;
use crate::notify::Channel;

/// Variables whose values are shown: what the applications of the runbooks read, and what says where a program runs.
const SHOWN: [&str; 22] = [
    "P12_*",
    "FLASK_*",
    "RENDER_*",
    "MUSTER_*",
    "PGHOST",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGSSLMODE",
    "DATABASE_URL",
    "REDIS_URL",
    "ENVIRONMENT",
    "ENV",
    "NODE_ENV",
    "RAILS_ENV",
    "DJANGO_*",
    "LANG",
    "LC_*",
    "TZ",
    "PATH",
    "HOSTNAME",
    "CACHE_WARMING_ENABLED",
];
const HIDDEN: &str = "***";

/// Of a config.
#[must_use]
pub fn kit(config: &Resolved) -> Kit {
    let mut known = Known::default();
    for cluster in &config.clusters {
        known.add(cluster.reach.secrets());
    }
    for channel in config.notify.channels.values() {
        known.add(of_channel(channel));
    }
    if let Some(beat) = &config.notify.heartbeat {
        known.add([beat.url.clone()]);
    }
    let environment = environment(&config.evidence.environment, &mut known);
    Kit {
        out: config.evidence.out.clone(),
        environment,
        commands: config.evidence.commands.clone(),
        known,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn of_channel(channel: &Channel) -> Vec<SecretString> {
    match channel {
        Channel::Webhook { url, token } => std::iter::once(url.clone()).chain(token.clone()).collect(),
        Channel::Slack { url } => vec![url.clone()],
        Channel::PagerDuty { key, .. } => vec![key.clone()],
        Channel::Mail { login, .. } => login.iter().map(|(_, password)| password.clone()).collect(),
    }
}

/// The environment of this process, masked; what it hides is known from then on.
pub fn environment(also: &[String], known: &mut Known) -> String {
    let all = std::env::vars_os()
        .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()));
    masked(all.collect(), also, known)
}

fn masked(mut all: Vec<(String, String)>, also: &[String], known: &mut Known) -> String {
    all.sort();
    let mut out = String::new();
    for (name, value) in all {
        known.add(of_url(&value));
        if is_secret_name(&name) && !value.contains("://") {
            // A word such as `enabled` under a name that is only perhaps a secret's would be taken out everywhere.
            let surely = ["PASS", "PWD", "SECRET", "TOKEN", "CRED", "DSN"];
            let upper = name.to_ascii_uppercase();
            if !value.starts_with('/') && (looks_secret(&value) || surely.iter().any(|w| upper.contains(w))) {
                known.add([SecretString::from(value)]);
            }
            out.push_str(&format!("{name}={HIDDEN}\n"));
            continue;
        }
        let asked = SHOWN.iter().copied().chain(also.iter().map(String::as_str));
        let shown = asked.into_iter().any(|p| fits(p, &name)) && !looks_secret(&value);
        let value = if shown {
            text(&value.replace(['\n', '\r'], " "))
        } else {
            HIDDEN.to_owned()
        };
        out.push_str(&format!("{name}={value}\n"));
    }
    out
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == name, |start| name.starts_with(start))
}

/// Long, without a space or a path in it, of letters and digits: what a generated secret looks like.
fn looks_secret(value: &str) -> bool {
    let plain = value.len() >= 20 && !value.contains([' ', '/', ',', '.', ':']);
    plain && value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().any(|b| b.is_ascii_alphabetic())
}

/// The password for an address that has none, as libpq takes it from the environment.
#[must_use]
pub fn password_of_environment() -> Option<SecretString> {
    let password = std::env::var("PGPASSWORD").ok().map(SecretString::from);
    password.filter(|p| !p.expose_secret().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_only_where_its_name_is_known_to_be_harmless() {
        let mut known = Known::default();
        let all = [
            ("P12_ENABLE_ADVISORY_LOCKS", "1"),
            ("FLASK_LIMITER_STORAGE_URI", "redis://:gehe@im1@h:6379/0"),
            ("FLASK_SECRET_KEY", "geheim22"),
            ("DATABASE_URL", "postgres://u:geheim33@db/app"),
            ("RENDER_TRACE", "abcdefghij0123456789abcdef"),
            ("STRANGE", "geheim44"),
            ("APP_MODE", "blue"),
            ("PWD", "/srv"),
            ("AUTH_MODE", "enabled"),
            ("SIGNING_KEY", "abcdefghij0123456789"),
        ];
        let all = all.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let said = masked(all, &["APP_*".to_owned()], &mut known);
        assert_eq!(
            said,
            "APP_MODE=blue\nAUTH_MODE=***\nDATABASE_URL=postgres://u:***@db/app\nFLASK_LIMITER_STORAGE_URI=redis://:***@h:6379/0\n\
             FLASK_SECRET_KEY=***\nP12_ENABLE_ADVISORY_LOCKS=1\nPWD=***\n\
             RENDER_TRACE=***\nSIGNING_KEY=***\nSTRANGE=***\n"
        );
        assert_eq!(
            known.scrub("geheim22 geheim33 abcdefghij0123456789 enabled /srv"),
            "*** *** *** enabled /srv"
        );
    }
}
