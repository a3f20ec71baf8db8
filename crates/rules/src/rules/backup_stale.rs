//! `backup.stale`: the newest backup is old, or there is none.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "backup.stale",
    title: "The newest backup is old",
    about: "The age of the newest whole backup of a repository, or that it has none. No backup is read yet: while none is in the picture it is silent.",
    ignores: "A backup that is running, and its verification: that is backup.unverified.",
    advice: "Look at backup.failing beside it; take a backup now and look why the schedule did not.",
    needs: &[],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "26h",
            about: "age of the newest backup",
        },
        KeyInfo {
            key: "critical",
            default: "48h",
            about: "age of the newest backup: an incident",
        },
    ],
    specimen: || vec![sample::backups::aged(50)],
    lookalike: || vec![sample::backups::aged(20)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    for b in &c.snapshot.backups {
        let age = b.last.map(|t| c.now().since(t));
        if age.is_some_and(|a| a < warning) {
            continue;
        }
        let severe = age.is_none_or(|a| a >= critical);
        let summary = match age {
            Some(age) => format!(
                "the newest backup of {} in {} is {} old",
                b.address,
                b.name,
                age.human()
            ),
            None => format!("{} has no backup in {}", b.address, b.name),
        };
        let severity = if severe {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let since = b.last.map_or(c.now(), |t| t.plus(warning));
        let mut f = finding(
            INFO.kind,
            severity,
            &b.address,
            Subject::new("repository", &b.name),
            since,
            summary,
        );
        f.incident = severe;
        f.evidence = evidence(json!({"repository": b.name, "last": b.last, "verified": b.verified}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::backups::aged;
    use super::super::sample::{judged, kinds};

    #[test]
    fn a_day_is_fine_two_are_an_incident_and_none_is_one_too() {
        assert_eq!(kinds(&judged(&aged(25))), [""; 0]);
        let old = judged(&aged(27));
        assert!(kinds(&old).contains(&"backup.stale") && !old.findings[0].incident);
        assert!(judged(&aged(48)).findings.iter().any(|f| f.incident));
        let mut none = aged(1);
        none.backups[0].last = None;
        assert!(
            judged(&none)
                .findings
                .iter()
                .any(|f| f.summary.contains("has no backup"))
        );
    }
}
