//! `access.rejected`: many logins are refused.

use muster_model::snapshot::LogClass;
use muster_model::{Severity, Span, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::hosts::{hosted, log};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "access.rejected",
    title: "Logins are refused",
    about: "The server's log has more than 10 refused logins in the last minute (wrong password, no rule in pg_hba.conf, a role that does not \
            exist), by user and address. More than 100 are an incident: an application that cannot log in, or somebody who guesses.",
    ignores: "Slots that are taken, databases that do not exist, and refusals of before.",
    advice: "The same user from its own hosts: a password or a rule was changed. Many users from one address: close that address.",
    needs: &["log"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "10",
            about: "refused logins in a minute: more than that",
        },
        KeyInfo {
            key: "critical",
            default: "100",
            about: "refused logins in a minute: more than that",
        },
    ],
    specimen: || vec![sample::host::refused(11)],
    lookalike: || vec![sample::host::refused(10)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for (server, _) in hosted(c) {
        let Some(log) = log(c, INFO.kind, server) else {
            continue;
        };
        let many = log.count(LogClass::Authentication).minute;
        let rate = f64::from(u32::try_from(many).unwrap_or(u32::MAX));
        if rate <= warning {
            continue;
        }
        let severe = rate > critical;
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        let most = log.rejections.first().map(|r| {
            let user = r.user.as_deref().unwrap_or("an unnamed user");
            let from = r
                .client
                .as_ref()
                .map(|h| format!(" from {h}"))
                .unwrap_or_default();
            format!("; most as {user}{from} ({}, {})", r.why, r.minute)
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
            c.now().minus(held.max(Span::from_secs(1))),
            format!(
                "{many} logins were refused in the last minute{}",
                most.unwrap_or_default()
            ),
        );
        f.incident = severe;
        f.evidence = evidence(json!({
            "minute": many, "by": log.rejections.iter().take(10).collect::<Vec<_>>(),
            "users": log.rejections.iter().filter_map(|r| r.user.as_ref()).collect::<std::collections::BTreeSet<_>>().len(),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;

    use super::super::sample::host::{hosted, refused};
    use super::super::sample::{judged, kinds};

    #[test]
    fn more_than_ten_a_minute_warn_and_more_than_a_hundred_are_an_incident() {
        assert_eq!(kinds(&judged(&refused(10))), [""; 0]);
        let j = judged(&refused(11));
        assert_eq!(
            (j.findings[0].severity, j.findings[0].incident),
            (Severity::Warning, false)
        );
        assert!(
            j.findings[0]
                .summary
                .ends_with("most as app from 10.0.0.7 (password, 11)")
        );
        assert_eq!(judged(&refused(100)).findings[0].severity, Severity::Warning);
        let j = judged(&refused(101));
        assert_eq!(
            (j.findings[0].severity, j.findings[0].incident),
            (Severity::Critical, true)
        );
        let j = judged(&hosted(|h| h.log = None));
        assert!(j.unknown.iter().any(|u| u.kind == "access.rejected"));
    }
}
