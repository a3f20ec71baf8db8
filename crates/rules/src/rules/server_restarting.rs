//! `server.restarting`: a server says that it is starting, stopping or recovering.

use muster_model::snapshot::{Reach, Role};
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "server.restarting",
    title: "A server is starting, stopping or recovering",
    about: "It answers a login with SQLSTATE 57P03: it lives and lets nobody in yet. After a crash it replays its log first; nothing \
            makes that quicker.",
    ignores: "A server that does not answer at all (server.down).",
    advice: "Wait and watch its log: PostgreSQL 15 and later says how far recovery is. Do not kill it: recovery begins anew then.",
    needs: &["identity"],
    keys: &[KeyInfo {
        key: "critical",
        default: "60s",
        about: "how long it lasts until it is an incident",
    }],
    specimen: || vec![sample::wal::starting()],
    lookalike: || vec![sample::down(3)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    let critical = c.span(INFO.kind, "critical");
    for server in &snapshot.servers {
        let Reach::Starting { reason } = &server.reach else {
            continue;
        };
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        let severe = held >= critical;
        let who = server.role().map_or("a server", |r| match r {
            Role::Primary => "the primary",
            Role::Standby => "a standby",
        });
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("server", &server.name),
            c.now().minus(held),
            format!(
                "{who}, {}, lets nobody in for {}: {reason}",
                server.address,
                held.human()
            ),
        );
        f.incident = severe;
        f.evidence = evidence(json!({"reason": reason, "held_ms": held.millis(), "role": server.role()}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot};

    use super::super::sample::wal::starting;
    use super::super::sample::{down, looks};
    use super::INFO;

    fn after(s: &Snapshot, seconds: usize) -> Option<(Severity, bool)> {
        let j = looks(std::iter::repeat_n(s.clone(), seconds + 1));
        let f = j.findings.iter().find(|f| f.kind == INFO.kind);
        f.map(|f| (f.severity, f.incident))
    }

    #[test]
    fn it_warns_at_once_and_is_an_incident_after_a_minute() {
        assert_eq!(after(&starting(), 0), Some((Severity::Warning, false)));
        assert_eq!(after(&starting(), 59), Some((Severity::Warning, false)));
        assert_eq!(after(&starting(), 60), Some((Severity::Critical, true)));
        assert_eq!(after(&down(5), 60), None);
    }
}
