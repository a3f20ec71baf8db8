//! `drill.overdue`: a duty of the kind drill is past its date.

use muster_model::snapshot::DutyKind;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "drill.overdue",
    title: "A drill is overdue",
    about: "A drill that is to be repeated was not, 35 days after the last one (its keeper says the date). What was not practised is not known to work. No duty is kept yet: while none is in the picture it is silent.",
    ignores: "A duty whose date has not come.",
    advice: "Run the drill: `muster drill NAME`.",
    needs: &[],
    keys: &[KeyInfo {
        key: "critical",
        default: "30d",
        about: "past the date for so long",
    }],
    specimen: || vec![sample::backups::duty(DutyKind::Drill, 2)],
    lookalike: || vec![sample::backups::duty(DutyKind::Drill, -2)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let critical = c.span(INFO.kind, "critical");
    for duty in c
        .snapshot
        .duties
        .iter()
        .filter(|d| d.kind == DutyKind::Drill && d.due < c.snapshot.taken_at)
    {
        let late = c.now().since(duty.due);
        let severity = if late >= critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let owner = duty.owner.as_deref().unwrap_or("nobody");
        let summary = format!(
            "drill `{}` of {} (owner: {owner}) is overdue for {}",
            duty.name,
            duty.address,
            late.human()
        );
        let mut f = finding(
            INFO.kind,
            severity,
            &duty.address,
            Subject::new("drill", &duty.name),
            duty.due,
            summary,
        );
        f.evidence = evidence(json!({"due": duty.due, "owner": duty.owner}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::DutyKind;

    use super::super::sample::backups::duty;
    use super::super::sample::{judged, kinds};

    #[test]
    fn it_is_said_from_its_date_on_and_only_of_its_own_kind() {
        assert_eq!(kinds(&judged(&duty(DutyKind::Drill, 1))), ["drill.overdue"]);
        assert_eq!(kinds(&judged(&duty(DutyKind::Drill, -1))), [""; 0]);
        let other = if DutyKind::Drill == DutyKind::Drill {
            DutyKind::Action
        } else {
            DutyKind::Drill
        };
        assert!(!kinds(&judged(&duty(other, 1))).contains(&"drill.overdue"));
        assert_eq!(
            judged(&duty(DutyKind::Drill, 31)).findings[0].severity,
            muster_model::Severity::Critical
        );
    }
}
