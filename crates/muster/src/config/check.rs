//! `muster config check`: connects with every login and says what is missing, with the exact lines.

use muster_reach::error::Trouble;
use muster_reach::{Estate, ReachError, Show};
use serde::Serialize;

use super::Resolved;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Address.
    pub target: String,
    /// What was tried.
    pub what: String,
    /// `ok`, `warning` or `failed`.
    pub state: &'static str,
    /// What was seen.
    pub detail: String,
    /// The lines to run.
    pub fix: Vec<String>,
}

/// Tries every login.
pub async fn check(resolved: &Resolved, estate: &Estate) -> Vec<Checked> {
    let mut out = Vec::new();
    out.extend(open_page(resolved.open_detailed, resolved.listen));
    for settings in &resolved.clusters {
        let Some(cluster) = estate.cluster(&settings.reach.name) else {
            continue;
        };
        for (server, config) in cluster.servers.iter().zip(&settings.reach.servers) {
            let user = user_of(&config.observe.url);
            out.push(match server.observing().await {
                Err(e) => failed(&server.address, "observe", &e, create_observer(&user)),
                Ok(session) => {
                    let c = session.capability();
                    unless_full(c, observer(&server.address, c))
                }
            });
            let Some(act) = &config.act else {
                out.push(line(
                    &server.address,
                    "act",
                    "warning",
                    "no `act` login: Muster proposes and never acts",
                    vec![],
                ));
                continue;
            };
            let user = user_of(&act.url);
            out.push(match server.acting().await {
                Err(e) => failed(&server.address, "act", &e, create_actor(&user)),
                Ok(session) => {
                    let c = session.capability();
                    let mut fix = Vec::new();
                    if !c.signal && !c.superuser {
                        fix.push(format!("GRANT pg_signal_backend TO {};", quoted(&c.user)));
                    }
                    if !c.monitor && !c.superuser {
                        fix.push(format!("GRANT pg_monitor TO {};", quoted(&c.user)));
                    }
                    let state = if fix.is_empty() { "ok" } else { "failed" };
                    let detail = format!("logged in as {}", c.user);
                    unless_full(c, line(&server.address, "act", state, &detail, fix))
                }
            });
        }
        for pooler in &cluster.poolers {
            out.push(match pooler.show(Show::Version).await {
                Ok(_) => line(&pooler.address, "console", "ok", "answers", vec![]),
                Err(e) => failed(
                    &pooler.address,
                    "console",
                    &e,
                    vec![
                        "; in pgbouncer.ini, section [pgbouncer], then RELOAD".into(),
                        "stats_users = muster".into(),
                    ],
                ),
            });
        }
        for cache in &cluster.caches {
            out.push(match cache.info().await {
                Ok(_) => line(&cache.address, "info", "ok", "answers", vec![]),
                Err(e) => failed(&cache.address, "info", &e, vec![]),
            });
        }
    }
    out
}

/// Who sees what the page's address tells without a token.
fn open_page(open: bool, listen: std::net::SocketAddr) -> Option<Checked> {
    let whom = if listen.ip().is_loopback() {
        "to everybody on this machine"
    } else {
        "to everybody who reaches this address from outside"
    };
    let detail = format!(
        "`web.open: [detailed]`: /health/detailed answers without a token, {whom}: names of servers, lag, sizes, reasons of failures"
    );
    let fix = vec!["# take `detailed` out of web.open, or keep the address to those who may know".to_owned()];
    open.then(|| line(&listen.to_string(), "web", "warning", &detail, fix))
}

fn observer(address: &str, c: &muster_reach::Capability) -> Checked {
    let mut fix = Vec::new();
    if !c.monitor && !c.superuser {
        fix.push(format!("GRANT pg_monitor TO {};", quoted(&c.user)));
    }
    if !fix.is_empty() {
        return line(
            address,
            "observe",
            "failed",
            &format!("logged in as {}, which lacks a privilege", c.user),
            fix,
        );
    }
    if c.superuser || c.signal {
        let what = if c.superuser {
            "is a superuser"
        } else {
            "may signal the sessions of others"
        };
        let detail = format!(
            "logged in as {}, which {what}; an observing role should not",
            c.user
        );
        let fix = if c.superuser {
            vec![]
        } else {
            vec![format!("REVOKE pg_signal_backend FROM {};", quoted(&c.user))]
        };
        return line(address, "observe", "warning", &detail, fix);
    }
    if !c.files && !c.superuser {
        let detail = format!(
            "logged in as {}; what the server thinks of its files (postgresql.conf, pg_hba.conf) stays unknown",
            c.user
        );
        return line(
            address,
            "observe",
            "warning",
            &detail,
            vec![files_grant(&quoted(&c.user))],
        );
    }
    line(
        address,
        "observe",
        "ok",
        &format!("logged in as {}", c.user),
        vec![],
    )
}

/// From PostgreSQL 16 on a login can get in when all other slots are taken. Without that Muster works, but a restart of it
/// at the wrong moment leaves it outside: a warning.
fn unless_full(c: &muster_reach::Capability, mut checked: Checked) -> Checked {
    if c.version_num >= 160_000 && !c.reserved && !c.superuser {
        checked.fix.push(format!(
            "GRANT pg_use_reserved_connections TO {};",
            quoted(&c.user)
        ));
        if checked.state == "ok" {
            checked.state = "warning";
            checked
                .detail
                .push_str("; it cannot log in when all slots are taken (that takes `reserved_connections` above 0 as well)");
        }
    }
    checked
}

fn failed(address: &str, what: &str, e: &ReachError, create: Vec<String>) -> Checked {
    let fix = if matches!(e.trouble, Trouble::Auth | Trouble::Login) {
        create
    } else {
        vec![]
    };
    let detail = format!("{}; {}", e.reason, e.remedy());
    line(address, what, "failed", &detail, fix)
}

fn line(target: &str, what: &str, state: &'static str, detail: &str, fix: Vec<String>) -> Checked {
    Checked {
        target: target.to_owned(),
        what: what.to_owned(),
        state,
        detail: detail.to_owned(),
        fix,
    }
}

/// The lines that make an observing role.
#[must_use]
pub fn create_observer(user: &str) -> Vec<String> {
    let user = quoted(user);
    vec![
        format!("CREATE ROLE {user} LOGIN PASSWORD '…' CONNECTION LIMIT 10;"),
        format!("GRANT pg_monitor TO {user};"),
        files_grant(&user),
    ]
}

/// What a server thinks of its own files is for superusers only, until it is granted: in the database of the login.
fn files_grant(quoted_user: &str) -> String {
    format!(
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_show_all_file_settings(), pg_catalog.pg_hba_file_rules() TO {quoted_user};"
    )
}

/// The lines that make an acting role.
#[must_use]
pub fn create_actor(user: &str) -> Vec<String> {
    let user = quoted(user);
    vec![
        format!("CREATE ROLE {user} LOGIN PASSWORD '…' CONNECTION LIMIT 5;"),
        format!("GRANT pg_monitor, pg_signal_backend TO {user};"),
    ]
}

fn quoted(user: &str) -> String {
    let plain = user.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && user
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        user.to_owned()
    } else {
        format!("\"{}\"", user.replace('"', "\"\""))
    }
}

fn user_of(url: &str) -> String {
    if let Ok(parsed) = url::Url::parse(url)
        && !parsed.username().is_empty()
    {
        return parsed.username().to_owned();
    }
    let word = url.split_whitespace().find_map(|w| w.strip_prefix("user="));
    word.unwrap_or("muster").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_route_is_a_warning_that_says_to_whom() {
        let at = |text: &str| text.parse().expect("an address");
        assert_eq!(open_page(false, at("0.0.0.0:7432")), None);
        let here = open_page(true, at("127.0.0.1:7432")).expect("a line");
        assert!(
            here.state == "warning" && here.detail.contains("on this machine"),
            "{here:?}"
        );
        let there = open_page(true, at("10.0.0.7:7432")).expect("a line");
        assert!(there.detail.contains("from outside"), "{there:?}");
    }
}
