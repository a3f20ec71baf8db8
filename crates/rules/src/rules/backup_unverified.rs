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
        // Without any backup backup.stale speaks. The newest is always young where backups are made: the first one counts.
        let Some(from) = b.verified.or(b.first).or(b.last) else {
            continue;
        };
        let age = c.now().since(from);
        if age < warning {
            continue;
        }
        let what = if b.verified.is_some() {
            "was last restored and looked at"
        } else {
            "was never restored; the first is of"
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
        f.evidence =
            evidence(json!({"repository": b.name, "first": b.first, "last": b.last, "verified": b.verified}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Snapshot, Span};

    use super::super::sample::backups::verified;
    use super::super::sample::{judged, kinds};

    #[test]
    fn daily_backups_that_nobody_restores_are_found() {
        let mut s = verified(9);
        s.backups[0].verified = None;
        s.backups[0].first = Some(s.taken_at.minus(Span::from_mins(20 * 24 * 60)));
        let said = |s: &Snapshot| {
            let all = judged(s).findings;
            let own = all.into_iter().find(|f| f.kind == "backup.unverified");
            own.map(|f| f.summary)
        };
        let text = said(&s).expect("found");
        assert!(
            text.contains("was never restored; the first is of 20d ago"),
            "{text}"
        );
        s.backups[0].first = Some(s.taken_at.minus(Span::from_mins(24 * 60)));
        assert_eq!(said(&s), None, "a new repository");
    }

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
