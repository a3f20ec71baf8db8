//! `replication.slot_lost`: a slot has lost the log that it was there to keep, or is about to.

use muster_model::{Severity, Subject};
use serde_json::json;

use super::{RuleInfo, evidence, finding, sample};
use crate::judge::Context;
use crate::slots;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "replication.slot_lost",
    title: "A slot has lost its WAL",
    about: "wal_status of a slot: `unreserved` is past its limit and lost at the next checkpoint, `lost` (or invalidated, for \
            whatever reason) will never serve its consumer again. Between two looks a slot may go from `reserved` to `lost`.",
    ignores: "A slot that keeps more than max_wal_size (`extended`): it is safe; temporary slots, which end with their session.",
    advice: "Unreserved: let the consumer catch up before the next checkpoint, or raise max_slot_wal_keep_size now. Lost: rebuild \
             the standby, or restart the subscription from a new copy, and drop the slot.",
    needs: &["replication"],
    keys: &[],
    specimen: || vec![sample::wal::slot(0, |s| s.wal_status = Some("lost".into()))],
    lookalike: || vec![sample::wal::slot(900, |s| s.wal_status = Some("extended".into()))],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let snapshot = c.snapshot;
    for server in &snapshot.servers {
        let Some(replication) = c.part(INFO.kind, server, &server.replication, "its slots") else {
            continue;
        };
        for slot in replication.slots.iter().filter(|s| !s.temporary) {
            let lost = slot.wal_status.as_deref() == Some("lost") || slot.invalidation.is_some();
            if !lost && slot.wal_status.as_deref() != Some("unreserved") {
                continue;
            }
            let standby = slots::standby_of(c, &slot.name);
            let held = c.held(&format!("{}|{}|{}", INFO.kind, server.address, slot.name));
            let said = match (&slot.invalidation, lost) {
                (Some(why), _) => format!(
                    "slot {} on {} can never be used again: {why}",
                    slot.name, server.address
                ),
                (None, true) => format!(
                    "slot {} on {} has lost its WAL and can never be used again",
                    slot.name, server.address
                ),
                (None, false) => format!(
                    "slot {} on {} is past its limit: the next checkpoint removes the WAL that it needs",
                    slot.name, server.address
                ),
            };
            let mut f = finding(
                INFO.kind,
                if lost {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &server.address,
                Subject::new("slot", &slot.name),
                c.now().minus(held),
                said,
            );
            f.incident = lost;
            f.evidence = evidence(json!({
                "slot": slot.name, "standby": standby, "type": slot.slot_type, "wal_status": slot.wal_status, "invalidation": slot.invalidation,
                "active": slot.active, "inactive_since": slot.inactive_since, "limit_bytes": replication.slot_limit,
                "database": slot.database, "plugin": slot.plugin,
            }));
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot};

    use super::super::sample::judged;
    use super::super::sample::wal::slot;
    use super::INFO;

    fn said(s: &Snapshot) -> Option<(Severity, bool, String)> {
        let f = judged(s).findings.into_iter().find(|f| f.kind == INFO.kind)?;
        Some((f.severity, f.incident, f.summary))
    }

    fn status(word: &str) -> Snapshot {
        slot(10, |s| s.wal_status = Some(word.into()))
    }

    #[test]
    fn unreserved_warns_lost_is_an_incident_and_extended_is_safe() {
        assert_eq!(said(&status("reserved")), None);
        assert_eq!(said(&status("extended")), None);
        assert!(matches!(
            said(&status("unreserved")),
            Some((Severity::Warning, false, _))
        ));
        assert!(matches!(
            said(&status("lost")),
            Some((Severity::Critical, true, _))
        ));
    }

    #[test]
    fn a_slot_can_be_invalid_for_other_reasons() {
        let s = slot(10, |s| s.invalidation = Some("rows_removed".into()));
        let (severity, _, summary) = said(&s).expect("found");
        assert!(
            severity == Severity::Critical && summary.ends_with("rows_removed"),
            "{summary}"
        );
        assert_eq!(
            said(&slot(10, |s| {
                s.temporary = true;
                s.wal_status = Some("lost".into());
            })),
            None
        );
    }

    #[test]
    fn slots_that_were_not_read_are_unknown() {
        let mut s = status("lost");
        s.servers[0].replication = None;
        assert!(judged(&s).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
