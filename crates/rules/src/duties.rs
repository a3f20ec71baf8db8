//! What somebody owes, past its date: shared by the two rules about duties.

use muster_model::snapshot::DutyKind;
use muster_model::{Severity, Subject};
use serde_json::json;

use crate::judge::Context;
use crate::rules::{evidence, finding};

/// Of the rule `kind`; `noun` is what people call such a duty.
pub(crate) fn overdue(c: &mut Context<'_>, kind: &'static str, of: DutyKind, noun: &str) {
    let critical = c.span(kind, "critical");
    for duty in c
        .snapshot
        .duties
        .iter()
        .filter(|d| d.kind == of && d.due < c.snapshot.taken_at)
    {
        let late = c.now().since(duty.due);
        let severity = if late >= critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let owner = duty.owner.as_deref().unwrap_or("nobody");
        let summary = format!(
            "{noun} `{}` of {} (owner: {owner}) is overdue for {}",
            duty.name,
            duty.address,
            late.human()
        );
        let mut f = finding(
            kind,
            severity,
            &duty.address,
            Subject::new(noun, &duty.name),
            duty.due,
            summary,
        );
        f.evidence = evidence(json!({"due": duty.due, "owner": duty.owner}));
        c.findings.push(f);
    }
}
