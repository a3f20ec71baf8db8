//! `backup.wal_gap`: write-ahead log is missing behind the newest backup.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "backup.wal_gap",
    title: "The archive has a hole",
    about: "Segments are missing between the newest backup and now: a restore ends before the hole. No backup is read yet: while none is in the picture it is silent.",
    ignores: "Segments that are still waiting to be archived: that is wal.archive_failing.",
    advice: "Take a base backup now: nothing older than it can be restored past the hole.",
    needs: &[],
    keys: &[],
    specimen: || vec![sample::backups::holed(true)],
    lookalike: || vec![sample::backups::holed(false)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    for b in &c.snapshot.backups {
        let Some(gap) = &b.gap else { continue };
        let summary = format!(
            "write-ahead log of {} is missing in {} from {} to {}: a restore ends there",
            b.address, b.name, gap.from, gap.to
        );
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &b.address,
            Subject::new("repository", &b.name),
            gap.since,
            summary,
        );
        f.incident = true;
        f.evidence = evidence(json!({"repository": b.name, "from": gap.from, "to": gap.to, "last": b.last}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::backups::holed;
    use super::super::sample::{judged, kinds};

    #[test]
    fn a_hole_is_an_incident() {
        let j = judged(&holed(true));
        assert!(kinds(&j).contains(&"backup.wal_gap") && j.findings[0].incident);
        assert!(!kinds(&judged(&holed(false))).contains(&"backup.wal_gap"));
    }
}
