//! `backup.failing`: backups fail.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "backup.failing",
    title: "Backups fail",
    about: "Tries to take a backup have failed and none has worked since. No backup is read yet: while none is in the picture it is silent.",
    ignores: "A failure that a later try made good.",
    advice: "Read what the last try said; repair it before the newest good backup grows old.",
    needs: &[],
    keys: &[KeyInfo {
        key: "critical",
        default: "3",
        about: "failures in a row: an incident",
    }],
    specimen: || vec![sample::backups::failing(3)],
    lookalike: || vec![sample::backups::failing(0)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let critical = c.number(INFO.kind, "critical");
    for b in &c.snapshot.backups {
        let Some(failure) = b.failure.as_ref().filter(|f| f.times > 0) else {
            continue;
        };
        let severe = f64::from(failure.times) >= critical;
        let severity = if severe {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let summary = format!(
            "{} backups of {} to {} failed in a row: {}",
            failure.times, b.address, b.name, failure.reason
        );
        let mut f = finding(
            INFO.kind,
            severity,
            &b.address,
            Subject::new("repository", &b.name),
            failure.since,
            summary,
        );
        f.incident = severe;
        f.evidence = evidence(
            json!({"repository": b.name, "times": failure.times, "reason": failure.reason, "last": b.last}),
        );
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::backups::failing;
    use super::super::sample::judged;

    #[test]
    fn one_warns_and_three_are_an_incident() {
        let said = |times| {
            judged(&failing(times))
                .findings
                .into_iter()
                .find(|f| f.kind == "backup.failing")
        };
        assert!(said(0).is_none());
        assert_eq!(said(1).map(|f| f.incident), Some(false));
        assert_eq!(said(3).map(|f| f.incident), Some(true));
    }
}
