//! `access.unreachable`: a server or pooler lives and does not let us in; the rung that fails is named.

use muster_model::snapshot::{Reach, Rung, ServerView};
use muster_model::{Severity, Subject, Time};
use serde_json::json;

use super::{MISSES, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Mode};
use crate::reachability;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "access.unreachable",
    title: "A target lives and does not let us in",
    about: "TLS or the login fails at a target that answers, or the name of a server does not resolve while others use it. The server \
            does its work; it is Muster that is blind to it. Three misses in a row and 1 s make a finding.",
    ignores: "A server at which nothing answers (server.down), one without our database (access.database_missing), a pooler at which \
              nothing answers (pool.down), and a single missed look.",
    advice: "TLS: `sslmode` and `sslrootcert` of the config against the certificate. Login: password, pg_hba.conf, the role's \
             CONNECTION LIMIT. DNS: the resolver of the machine that Muster runs on.",
    needs: &["identity", "pooler"],
    keys: MISSES,
    specimen: || vec![sample::wal::refused(Rung::Auth, 3)],
    lookalike: || vec![sample::wal::refused(Rung::Tcp, 3)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        if let Some((kind, lives)) = reachability::kind(snapshot, server)
            && kind == INFO.kind
        {
            refused(c, INFO.kind, "server", &server.address, &server.reach, &lives);
        }
    }
    for pooler in &snapshot.poolers {
        if let Reach::Down {
            rung: Rung::Tls | Rung::Auth | Rung::Database,
            ..
        } = &pooler.reach
        {
            let lives = "it answers at its port";
            refused(c, INFO.kind, "pooler", &pooler.address, &pooler.reach, lives);
        }
    }
}

/// Says that a target lets us not in, once it is sure. Shared with `access.database_missing`.
pub(super) fn refused(
    c: &mut Context<'_>,
    kind: &str,
    what: &str,
    address: &str,
    reach: &Reach,
    lives: &str,
) {
    let Reach::Down {
        rung,
        reason,
        misses,
        since,
    } = reach
    else {
        return;
    };
    let sure = f64::from(*misses) >= c.number(kind, "misses") && c.now().since(*since) >= c.span(kind, "for");
    if !sure && c.mode == Mode::Watch {
        c.lacks(kind, address, format!("missed {misses} times: {reason}"));
        return;
    }
    let word = format!("{rung:?}").to_lowercase();
    let name = address.rsplit('/').next().unwrap_or(address);
    let mut f = finding(
        kind,
        Severity::Critical,
        address,
        Subject::new(what, name),
        Time::from_micros(since.micros()),
        format!("{address} lives ({lives}), but we do not get in: {word} fails: {reason}"),
    );
    f.pending = !sure;
    f.incident = sure;
    f.evidence = evidence(json!({"rung": rung, "reason": reason, "misses": misses, "lives": lives}));
    f.ruled_out = vec![format!("server.down: {lives}")];
    c.findings.push(f);
}

/// The endpoint of a server as a pooler names it.
pub(super) fn serves(server: &ServerView, host: &str, port: u16) -> bool {
    server.endpoint == format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use muster_model::Health;
    use muster_model::snapshot::{Reach, Rung};

    use super::super::sample::wal::{pair, refused};
    use super::super::sample::{judged, kinds, pooled};

    #[test]
    fn each_rung_is_one_finding_and_never_two() {
        for (rung, kind) in [
            (Rung::Dns, "server.down"),
            (Rung::Tcp, "server.down"),
            (Rung::Tls, "access.unreachable"),
            (Rung::Auth, "access.unreachable"),
            (Rung::Database, "access.database_missing"),
            (Rung::Query, "server.down"),
        ] {
            let j = judged(&refused(rung, 3));
            assert_eq!(kinds(&j), [kind], "{rung:?}");
            assert!(j.findings[0].incident, "{rung:?}");
            let j = judged(&refused(rung, 2));
            assert_eq!((kinds(&j), j.health[0].1), (vec![], Health::Unknown), "{rung:?}");
            assert_eq!(j.unknown.len(), 1, "{rung:?}: {:?}", j.unknown);
        }
    }

    #[test]
    fn a_standby_that_we_cannot_ask_is_not_broken() {
        let mut s = pair();
        s.servers[1].reach = refused(Rung::Auth, 5).servers[0].reach.clone();
        let found: Vec<String> = super::super::sample::watched(&s, 5);
        assert_eq!(found, ["access.unreachable"]);
        s.servers[1].reach = refused(Rung::Tcp, 5).servers[0].reach.clone();
        let found: Vec<String> = super::super::sample::watched(&s, 5);
        assert!(
            found.contains(&"server.down".to_owned()) && found.contains(&"replication.broken".to_owned())
        );
    }

    #[test]
    fn a_name_that_only_we_cannot_resolve_is_not_a_dead_server() {
        let mut s = pair();
        s.servers[1].reach = refused(Rung::Dns, 5).servers[0].reach.clone();
        let j = judged(&s);
        assert_eq!(kinds(&j), ["access.unreachable"]);
        assert!(
            j.findings[0].summary.contains("shop/a streams to it"),
            "{}",
            j.findings[0].summary
        );
    }

    #[test]
    fn a_pooler_that_refuses_us_is_named() {
        let mut s = pooled(0, 0, "idle", 10);
        s.poolers[0].state = None;
        s.poolers[0].reach = refused(Rung::Auth, 3).servers[0].reach.clone();
        let j = judged(&s);
        assert!(
            j.findings
                .iter()
                .any(|f| f.kind == "access.unreachable" && f.target == "shop/bouncer"),
            "{j:?}"
        );
        s.poolers[0].reach = Reach::Up;
        assert!(!kinds(&judged(&s)).contains(&"access.unreachable"));
    }
}
