//! `connections.saturated`: client sessions against the usable slots.

use std::collections::BTreeMap;

use muster_model::snapshot::Reach;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "connections.saturated",
    title: "Connection slots used up",
    about: "Client sessions against usable slots: max_connections less superuser_reserved_connections and \
            reserved_connections.",
    ignores: "Sessions that are not clients (walsenders, workers).",
    advice: "See who holds the slots; end idle sessions of the biggest owner; put a pooler in front or limit the role.",
    needs: &["activity"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "80",
            about: "per cent of the usable slots",
        },
        KeyInfo {
            key: "critical",
            default: "90",
            about: "per cent of the usable slots",
        },
    ],
    specimen: || vec![sample::busy(90, "idle", 1000)],
    lookalike: || vec![sample::busy(50, "idle", 1000)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    for server in &c.snapshot.servers {
        if !server.answers() {
            continue;
        }
        let Some(activity) = &server.activity else {
            c.lacks(INFO.kind, &server.address, "its sessions were not read");
            continue;
        };
        let a = &activity.value;
        let used = u32::try_from(a.sessions.iter().filter(|s| s.is_client()).count()).unwrap_or(u32::MAX);
        let usable = a.max_connections.saturating_sub(a.reserved).max(1);
        let percent = f64::from(used) * 100.0 / f64::from(usable);
        let full = matches!(server.reach, Reach::Full { .. });
        if !a.sees_all && !full {
            // Which sessions are clients is not told either: none would be counted.
            c.lacks(
                INFO.kind,
                &server.address,
                "what kind the sessions of others are may not be read",
            );
            continue;
        }
        if percent < warning && !full {
            continue;
        }
        let severe = percent >= critical || full;
        let mut owners: BTreeMap<String, u32> = BTreeMap::new();
        for s in a.sessions.iter().filter(|s| s.is_client()) {
            *owners.entry(s.owner()).or_default() += 1;
        }
        let mut owners: Vec<(String, u32)> = owners.into_iter().collect();
        owners.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), name.clone()));
        let said = if a.sees_all {
            format!("{used} of {usable} usable slots are taken ({percent:.0} %)")
        } else {
            format!("the server lets nobody in: all {usable} usable slots are taken; by whom may not be read")
        };
        let most = owners
            .first()
            .map(|(n, k)| format!("; most by {n} ({k})"))
            .unwrap_or_default();
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &server.address,
            Subject::new("server", &server.name),
            c.now().minus(held),
            format!("{said}{most}"),
        );
        f.incident = severe;
        owners.truncate(10);
        f.evidence = evidence(
            json!({"used": used, "usable": usable, "percent": percent, "full": full, "owners": owners}),
        );
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Reach;

    use super::super::sample::{judged, kinds, server, session, snapshot};

    #[test]
    fn eighty_warns_ninety_is_critical_and_unread_is_unknown() {
        let mut s = snapshot();
        s.servers = vec![server("a")];
        let mut fill = |n: i32| {
            let a = s.servers[0].activity.as_mut().expect("activity");
            a.value.sessions = (0..n).map(|i| session(i, "idle", 1000)).collect();
            judged(&s)
        };
        assert_eq!(kinds(&fill(77)), [""; 0], "97 slots are usable");
        assert_eq!(fill(78).findings[0].severity, muster_model::Severity::Warning);
        let j = fill(88);
        assert!(j.findings[0].incident && j.findings[0].severity == muster_model::Severity::Critical);
        let activity = &mut s.servers[0].activity.as_mut().expect("activity").value;
        activity.sees_all = false;
        for session in &mut activity.sessions {
            session.backend_type = String::new();
        }
        let blind = judged(&s);
        assert_eq!(kinds(&blind), [""; 0]);
        assert!(blind.unknown.iter().any(|u| u.kind == "connections.saturated"));
        s.servers[0].reach = Reach::Full {
            reason: "too many".into(),
        };
        let f = &judged(&s).findings[0];
        assert!(
            f.incident && f.summary.contains("by whom may not be read"),
            "{}",
            f.summary
        );
        s.servers[0].activity = None;
        assert!(
            judged(&s)
                .unknown
                .iter()
                .any(|u| u.kind == "connections.saturated")
        );
    }
}
