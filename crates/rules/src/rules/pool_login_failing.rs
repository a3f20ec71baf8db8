//! `pool.login_failing`: a PgBouncer opens no connection to its server although it may and somebody waits.

use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::poolers;
use crate::judge::{Context, Mode};

/// One look may see a login that succeeds a moment later.
const MOMENT: Span = Span::from_secs(1);

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "pool.login_failing",
    title: "A pooler cannot log in to its server",
    about: "Look after look a login is under way, or clients wait beside room for more connections, and none comes: the server \
            refuses the login (password, pg_hba.conf, its slots or the role's limit are taken), does not answer, or is not there. \
            PgBouncer does not say that a login failed; it tries again every server_login_retry.",
    ignores: "A pool at its size, at max_db_connections or max_user_connections, one that is paused, and logins that succeed one \
              after the other.",
    advice: "PgBouncer's log has the server's own words. Then: auth_file or auth_query, pg_hba.conf, free slots, the role's \
             limit; is the server there at all?",
    needs: &["pooler"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "10s",
            about: "how long it must have lasted",
        },
        KeyInfo {
            key: "critical",
            default: "30s",
            about: "how long it must have lasted, with clients that wait: an incident",
        },
    ],
    specimen: || vec![sample::stuck(31, 3)],
    lookalike: || vec![sample::stuck(4, 3)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    for (pooler, state) in poolers(c, INFO.kind) {
        for stuck in &state.stuck {
            let age = c.now().since(stuck.since);
            let pending = age < warning;
            if pending && (c.mode == Mode::Watch || age < MOMENT) {
                continue;
            }
            let of = |p: &&muster_model::snapshot::Pool| p.database == stuck.database && p.user == stuck.user;
            let pool = state.pools.iter().find(of);
            let waiting = pool.map_or(0, |p| p.cl_waiting);
            let open = pool.map_or(0, |p| p.sv_active + p.sv_idle + p.sv_used + p.sv_tested);
            let server = state.databases.iter().find(|d| d.name == stuck.database);
            let endpoint = server
                .map(|d| format!("{}:{}", d.host, d.port))
                .unwrap_or_default();
            // Without a try that was seen, and without SHOW STATE, a pause of everything looks just the same.
            let or_paused = if state.paused.is_none() && !stuck.tries {
                ", or everything is paused, which this version does not show"
            } else {
                ""
            };
            let severe = age >= critical && waiting > 0;
            let mut f = finding(
                INFO.kind,
                if severe {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &pooler.address,
                Subject::new("pool", format!("{}/{}", stuck.database, stuck.user)),
                stuck.since,
                format!(
                    "{} has got no connection to {endpoint} for pool {}/{} for {}, and {waiting} clients wait: its logins \
                     fail or hang{or_paused}",
                    pooler.address,
                    stuck.database,
                    stuck.user,
                    age.human()
                ),
            );
            f.pending = pending;
            f.incident = severe;
            f.evidence = evidence(json!({
                "database": stuck.database, "user": stuck.user, "server": endpoint, "waiting": waiting, "open": open,
                "size": pool.map(|p| p.size), "logging_in": pool.map(|p| p.sv_login), "tries_seen": stuck.tries,
                "for_ms": age.millis(), "retry_s": state.config.get("server_login_retry"),
            }));
            f.ruled_out = vec![format!(
                "pool.too_small: only {open} of {} connections are open",
                pool.map_or(0, |p| p.size)
            )];
            if state.paused == Some(false) {
                f.ruled_out
                    .push("pool.paused: SHOW STATE says that nothing is".into());
            }
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::beside::{pooler, stuck};
    use super::super::sample::{judged, kinds};

    #[test]
    fn ten_seconds_warn_thirty_with_waiting_clients_are_an_incident() {
        let of = |seconds: i64, waiting: u32| {
            let j = judged(&stuck(seconds, waiting));
            let f = j.findings.iter().find(|f| f.kind == "pool.login_failing");
            f.map(|f| (f.severity, f.incident))
        };
        assert_eq!(of(9, 3), None);
        assert_eq!(of(10, 3), Some((Severity::Warning, false)));
        assert_eq!(of(30, 3), Some((Severity::Critical, true)));
        assert_eq!(of(30, 0), Some((Severity::Warning, false)));
        assert_eq!(kinds(&judged(&pooler(|_| {}))), [""; 0]);
    }

    #[test]
    fn a_pause_that_would_not_be_seen_is_not_ruled_out() {
        let mut s = stuck(31, 3);
        let said = |s: &muster_model::Snapshot| {
            let j = judged(s);
            let f = j.findings.into_iter().find(|f| f.kind == "pool.login_failing");
            f.map(|f| f.summary.contains("or everything is paused"))
        };
        assert_eq!(said(&s), Some(false));
        if let Some(state) = &mut s.poolers[0].state {
            state.value.paused = None;
            state.value.stuck[0].tries = false;
        }
        assert_eq!(said(&s), Some(true));
        s.poolers[0].state = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "pool.login_failing"));
    }
}
