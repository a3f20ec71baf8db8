//! `connections.role_limit`: a role or a database has used up the connections that it is allowed.

use muster_model::snapshot::{Activity, ConnectionLimit, LimitOf, Session};
use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::percent;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "connections.role_limit",
    title: "The connection limit of a role or database is reached",
    about: "Sessions of a role against its CONNECTION LIMIT, and of a database against its own. At the limit new logins fail with \
            `too many connections for role` (53300) while the server has free slots.",
    ignores: "Superusers, who are exempt, and limits below `least`: one that lets a job run once is meant to be reached.",
    advice: "Find why the role needs more (a leak, more instances, a pool that grew), then raise the limit: ALTER ROLE … \
             CONNECTION LIMIT n.",
    needs: &["limits", "activity"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "80",
            about: "per cent of the limit",
        },
        KeyInfo {
            key: "critical",
            default: "100",
            about: "per cent of the limit: an incident",
        },
        KeyInfo {
            key: "least",
            default: "3",
            about: "connections: smaller limits are left alone",
        },
    ],
    specimen: || vec![sample::role_limit(20, 20)],
    lookalike: || vec![sample::role_limit(1, 1)],
};

/// Sessions that count against a limit: the server counts clients and senders of the log, not its own workers.
fn counts(limit: &ConnectionLimit, s: &Session) -> bool {
    let whose = match limit.of {
        LimitOf::Role => &s.user,
        LimitOf::Database => &s.database,
    };
    whose.as_deref() == Some(limit.name.as_str())
        && matches!(s.backend_type.as_str(), "client backend" | "walsender")
}

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(limits) = c.part(INFO.kind, server, &server.limits, "limits of its roles") else {
            continue;
        };
        if limits.is_empty() {
            continue;
        }
        let Some(activity) = c.part(INFO.kind, server, &server.activity, "its sessions") else {
            continue;
        };
        if !activity.sees_all {
            c.lacks(
                INFO.kind,
                &server.address,
                "what kind the sessions of others are may not be read",
            );
            continue;
        }
        for limit in limits {
            judge(c, &server.address, limit, activity);
        }
    }
}

fn judge(c: &mut Context<'_>, address: &str, limit: &ConnectionLimit, activity: &Activity) {
    if f64::from(limit.most) < c.number(INFO.kind, "least") {
        return;
    }
    let sessions: Vec<&Session> = activity.sessions.iter().filter(|s| counts(limit, s)).collect();
    let used = percent(sessions.len() as u64, u64::from(limit.most));
    if used < c.number(INFO.kind, "warning") {
        return;
    }
    let severe = used >= c.number(INFO.kind, "critical");
    let word = match limit.of {
        LimitOf::Role => "role",
        LimitOf::Database => "database",
    };
    let held = c.held(&format!("{}|{address}|{word}|{}", INFO.kind, limit.name));
    let then = if severe { ": new logins are refused" } else { "" };
    let mut f = finding(
        INFO.kind,
        if severe {
            Severity::Critical
        } else {
            Severity::Warning
        },
        address,
        Subject::new(word, &limit.name),
        c.now().minus(held),
        format!(
            "{word} {} uses {} of {} connections that it may have on {address}{then}",
            limit.name,
            sessions.len(),
            limit.most
        ),
    );
    f.incident = severe;
    let idle = sessions
        .iter()
        .filter(|s| s.state.as_deref() == Some("idle"))
        .count();
    f.evidence = evidence(json!({
        "of": word, "name": limit.name, "used": sessions.len(), "limit": limit.most, "percent": used, "idle": idle,
    }));
    c.findings.push(f);
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::LimitOf;

    use super::super::sample::beside::role_limit;
    use super::super::sample::{judged, kinds};

    #[test]
    fn eighty_warns_and_the_limit_itself_is_an_incident() {
        let of = |most: u32, used: i32| {
            let j = judged(&role_limit(most, used));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        assert_eq!(of(20, 15), None);
        assert_eq!(of(20, 16), Some((Severity::Warning, false)));
        assert_eq!(of(20, 20), Some((Severity::Critical, true)));
        assert_eq!(of(3, 3), Some((Severity::Critical, true)));
        assert_eq!(of(2, 2), None, "meant to be reached");
    }

    #[test]
    fn only_who_counts_is_counted() {
        let mut s = role_limit(20, 20);
        if let Some(activity) = &mut s.servers[0].activity {
            for session in activity.value.sessions.iter_mut().take(10) {
                session.backend_type = "parallel worker".into();
            }
        }
        assert_eq!(kinds(&judged(&s)), [""; 0]);
        let mut of_database = role_limit(20, 20);
        if let Some(limits) = &mut of_database.servers[0].limits {
            limits.value[0].of = LimitOf::Database;
        }
        assert_eq!(judged(&of_database).findings[0].subject.0, "database:app");
    }

    #[test]
    fn what_cannot_be_seen_is_unknown() {
        let unknown = |s: &muster_model::Snapshot| {
            let j = judged(s);
            j.findings.is_empty() && j.unknown.iter().any(|u| u.kind == "connections.role_limit")
        };
        let mut s = role_limit(20, 20);
        if let Some(activity) = &mut s.servers[0].activity {
            activity.value.sees_all = false;
        }
        assert!(unknown(&s));
        let mut s = role_limit(20, 20);
        s.servers[0].limits = None;
        assert!(unknown(&s));
    }
}
