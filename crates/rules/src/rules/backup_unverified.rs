//! `backup.unverified`: no backup was restored and looked at for long.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "backup.unverified",
    title: "No backup was proved for long",
    about: "The newest backup that was restored somewhere and looked at is old, or there is none. A backup that nobody restored is a hope. No backup is read yet: while none is in the picture it is silent.",
    ignores: "A new repository: the age counts from its first backup.",
    advice: "Run a restore drill, and keep the report.",
    needs: &[],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "8d",
            about: "since the newest verified backup; weekly with a day to spare",
        },
        KeyInfo {
            key: "critical",
            default: "35d",
            about: "since the newest verified backup",
        },
    ],
    specimen: || vec![sample::backups::verified(20)],
    lookalike: || vec![sample::backups::verified(3)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.span(INFO.kind, "warning"), c.span(INFO.kind, "critical"));
    for b in &c.snapshot.backups {
        // Without any backup backup.stale speaks.
        let Some(from) = b.verified.or(b.last) else {
            continue;
        };
        let age = c.now().since(from);
        if age < warning {
            continue;
        }
        let what = if b.verified.is_some() {
            "was last restored and looked at"
        } else {
            "was never restored; its newest is of"
        };
        let summary = format!(
            "a backup of {} in {} {what} {} ago",
            b.address,
            b.name,
            age.human()
        );
        let severity = if age >= critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let mut f = finding(
            INFO.kind,
            severity,
            &b.address,
            Subject::new("repository", &b.name),
            from.plus(warning),
            summary,
        );
        f.evidence = evidence(json!({"repository": b.name, "last": b.last, "verified": b.verified}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::backups::verified;
    use super::super::sample::{judged, kinds};

    #[test]
    fn a_week_is_fine_and_a_month_is_critical() {
        assert!(!kinds(&judged(&verified(7))).contains(&"backup.unverified"));
        let said = |days| {
            judged(&verified(days))
                .findings
                .into_iter()
                .find(|f| f.kind == "backup.unverified")
        };
        assert_eq!(said(9).map(|f| f.severity), Some(muster_model::Severity::Warning));
        assert_eq!(
            said(36).map(|f| f.severity),
            Some(muster_model::Severity::Critical)
        );
    }
}
