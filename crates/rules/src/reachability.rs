//! Which kind speaks for a target that we cannot reach: a server that is down, or one that answers others, or us with a no.
//!
//! `server.down`: nothing answers (TCP), nothing answers in time (query), or its name does not resolve and nobody else is
//! seen to use it. `access.unreachable`: it answers and does not let us in (TLS, login), or only its name does not resolve
//! while others use it. `access.database_missing`: it lets us in, and our database is not there. Exactly one of them.

use muster_model::Snapshot;
use muster_model::snapshot::{Reach, Rung, ServerView};

/// The kind that speaks for it, and why it is known to live; `None` while it can be reached.
pub(crate) fn kind(snapshot: &Snapshot, server: &ServerView) -> Option<(&'static str, String)> {
    let Reach::Down { rung, .. } = &server.reach else {
        return None;
    };
    Some(match rung {
        Rung::Tcp | Rung::Query => ("server.down", String::new()),
        Rung::Dns => match used_by(snapshot, server) {
            Some(who) => ("access.unreachable", who),
            None => ("server.down", String::new()),
        },
        Rung::Tls | Rung::Auth => ("access.unreachable", "it answers at its port".to_owned()),
        Rung::Database => ("access.database_missing", "it lets us in".to_owned()),
    })
}

/// Who else is seen to use it right now.
fn used_by(snapshot: &Snapshot, server: &ServerView) -> Option<String> {
    let others = || {
        snapshot
            .servers
            .iter()
            .filter(|s| s.address != server.address && s.answers())
    };
    for other in others() {
        let Some(replication) = &other.replication else {
            continue;
        };
        let receives = replication.value.receiver.as_ref().is_some_and(|r| {
            let from = r.sender_host.as_deref().zip(r.sender_port);
            r.status.as_deref() == Some("streaming")
                && from.is_some_and(|(host, port)| format!("{host}:{port}") == server.endpoint)
        });
        if receives {
            return Some(format!("{} streams from it", other.address));
        }
        let sends = replication
            .value
            .senders
            .iter()
            .any(|s| s.application == server.name && s.state.as_deref() == Some("streaming"));
        if sends {
            return Some(format!("{} streams to it", other.address));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use muster_model::Time;

    use super::*;
    use crate::sample::replicated;

    fn down(rung: Rung, used: bool) -> Option<&'static str> {
        let mut s = replicated(if used { "idle" } else { "broken" });
        if !used && let Some(r) = &mut s.servers[0].replication {
            r.value.senders.clear();
        }
        s.servers[1].reach = Reach::Down {
            rung,
            reason: "no".into(),
            misses: 3,
            since: Time::from_millis(0),
        };
        kind(&s, &s.servers[1]).map(|(k, _)| k)
    }

    #[test]
    fn each_rung_has_one_kind() {
        for used in [true, false] {
            assert_eq!(down(Rung::Tcp, used), Some("server.down"));
            assert_eq!(down(Rung::Query, used), Some("server.down"));
            assert_eq!(down(Rung::Tls, used), Some("access.unreachable"));
            assert_eq!(down(Rung::Auth, used), Some("access.unreachable"));
            assert_eq!(down(Rung::Database, used), Some("access.database_missing"));
        }
        assert_eq!(down(Rung::Dns, true), Some("access.unreachable"));
        assert_eq!(down(Rung::Dns, false), Some("server.down"));
        let s = replicated("idle");
        assert_eq!(kind(&s, &s.servers[0]), None);
    }
}
