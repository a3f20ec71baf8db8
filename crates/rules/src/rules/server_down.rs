//! `server.down`: a server does not answer, three times within two seconds, by the ladder.

use muster_model::snapshot::Reach;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{MISSES, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Mode};
use crate::reachability;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.down",
    title: "A server does not answer",
    about: "The ladder DNS, TCP, TLS, login, database, query fails at the named rung. Three misses in a row and 1 s make a \
            finding; `muster check` reports the first miss as pending.",
    ignores: "One missed look; a server that says that it is starting (server.restarting); one that answers and does not let us in, \
              or whose name alone does not resolve while others use it (access.unreachable); one without our database \
              (access.database_missing).",
    advice: "Follow the rung that fails: name, port, TLS, login, database, query.",
    needs: &["identity"],
    keys: MISSES,
    specimen: || vec![sample::down(3)],
    lookalike: || vec![sample::down(1)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let misses = c.number(INFO.kind, "misses");
    let lasting = c.span(INFO.kind, "for");
    for server in &c.snapshot.servers {
        let Reach::Down {
            rung,
            reason,
            misses: seen,
            since,
        } = &server.reach
        else {
            continue;
        };
        if reachability::kind(c.snapshot, server).is_none_or(|(kind, _)| kind != INFO.kind) {
            continue;
        }
        let sure = f64::from(*seen) >= misses && c.now().since(*since) >= lasting;
        if !sure && c.mode == Mode::Watch {
            c.unknown.push(crate::judge::Unknown {
                kind: INFO.kind.to_owned(),
                target: server.address.clone(),
                why: format!("missed {seen} times: {reason}"),
            });
            continue;
        }
        let role = server.role().map_or("a server", |r| match r {
            muster_model::snapshot::Role::Primary if c.snapshot.leads(&server.address) => "the primary",
            muster_model::snapshot::Role::Primary => "the former primary",
            muster_model::snapshot::Role::Standby => "a standby",
        });
        let word = format!("{rung:?}").to_lowercase();
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &server.address,
            Subject::new("server", &server.name),
            *since,
            format!(
                "{role}, {} at {}, does not answer: {word} fails: {reason}",
                server.address, server.endpoint
            ),
        );
        f.pending = !sure;
        f.incident = sure;
        f.evidence = evidence(json!({"rung": rung, "reason": reason, "misses": seen, "role": server.role()}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Time;
    use muster_model::snapshot::Rung;

    use super::super::sample::{judged, kinds, server, snapshot};
    use super::*;

    #[test]
    fn three_misses_are_down_and_one_is_unknown() {
        let mut s = snapshot();
        s.servers = vec![server("a")];
        let down = |misses| Reach::Down {
            rung: Rung::Tcp,
            reason: "refused".into(),
            misses,
            since: Time::from_millis(998_000),
        };
        s.servers[0].reach = down(3);
        assert_eq!(kinds(&judged(&s)), ["server.down"]);
        s.servers[0].reach = down(1);
        let j = judged(&s);
        assert_eq!(kinds(&j), [""; 0]);
        assert_eq!(
            j.health[0].1,
            muster_model::Health::Unknown,
            "one miss is not healthy either"
        );
    }
}
