//! `action.overdue`: a duty of the kind action is past its date.

use muster_model::snapshot::DutyKind;

use super::{KeyInfo, RuleInfo, sample};
use crate::duties::overdue;
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
    overdue(c, INFO.kind, DutyKind::Action, "action");
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
