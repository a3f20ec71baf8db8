//! `action.overdue`: a duty of the kind action is past its date.

use muster_model::snapshot::DutyKind;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "action.overdue",
    title: "An action item is overdue",
    about: "What was promised after an incident is not done, and its date is over. No duty is kept yet: while none is in the picture it is silent.",
    ignores: "A duty whose date has not come.",
    advice: "Do it, or agree on another date with who is waiting.",
    needs: &[],
    keys: &[KeyInfo {
        key: "critical",
        default: "30d",
        about: "past the date for so long",
    }],
    specimen: || vec![sample::backups::duty(DutyKind::Action, 2)],
    lookalike: || vec![sample::backups::duty(DutyKind::Action, -2)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let critical = c.span(INFO.kind, "critical");
    for duty in c
        .snapshot
        .duties
        .iter()
        .filter(|d| d.kind == DutyKind::Action && d.due < c.snapshot.taken_at)
    {
        let late = c.now().since(duty.due);
        let severity = if late >= critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let owner = duty.owner.as_deref().unwrap_or("nobody");
        let summary = format!(
            "action `{}` of {} (owner: {owner}) is overdue for {}",
            duty.name,
            duty.address,
            late.human()
        );
        let mut f = finding(
            INFO.kind,
            severity,
            &duty.address,
            Subject::new("action", &duty.name),
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
        assert_eq!(kinds(&judged(&duty(DutyKind::Action, 1))), ["action.overdue"]);
        assert_eq!(kinds(&judged(&duty(DutyKind::Action, -1))), [""; 0]);
        let other = if DutyKind::Action == DutyKind::Drill {
            DutyKind::Action
        } else {
            DutyKind::Drill
        };
        assert!(!kinds(&judged(&duty(other, 1))).contains(&"action.overdue"));
        assert_eq!(
            judged(&duty(DutyKind::Action, 31)).findings[0].severity,
            muster_model::Severity::Critical
        );
    }
}
