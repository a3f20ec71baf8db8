//! `drill.overdue`: a duty of the kind drill is past its date.

use muster_model::snapshot::DutyKind;

use super::{KeyInfo, RuleInfo, sample};
use crate::duties::overdue;
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
    overdue(c, INFO.kind, DutyKind::Drill, "drill");
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
