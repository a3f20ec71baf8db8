//! `pool.client_limit`: a PgBouncer has nearly no place left for clients.

use std::collections::BTreeMap;

use muster_model::snapshot::Reach;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::sample::beside as sample;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::beside::{percent, poolers};
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "pool.client_limit",
    title: "A pooler is full of clients",
    about: "Clients that SHOW LISTS counts as used, against max_client_conn. At the limit new clients are refused with \
            `no more connections allowed`.",
    ignores: "Clients that wait for a server connection: pool.exhausted.",
    advice: "Find who holds the most clients (the evidence names them); idle clients are cheap here, so raise max_client_conn \
             and the limit of open files with it, or close what leaks.",
    needs: &["pooler"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "80",
            about: "per cent of max_client_conn",
        },
        KeyInfo {
            key: "critical",
            default: "90",
            about: "per cent of max_client_conn: an incident",
        },
    ],
    specimen: || vec![sample::clients(950)],
    lookalike: || vec![sample::clients(700)],
};

pub(super) fn rule(c: &mut Context<'_>) {
    let (warning, critical) = (c.number(INFO.kind, "warning"), c.number(INFO.kind, "critical"));
    let snapshot = c.snapshot;
    for pooler in &snapshot.poolers {
        let Reach::Full { reason } = &pooler.reach else {
            continue;
        };
        let held = c.held(&format!("{}|{}", INFO.kind, pooler.address));
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &pooler.address,
            Subject::new("pooler", &pooler.name),
            c.now().minus(held),
            format!(
                "{} lets no more clients in, us included: {reason}",
                pooler.address
            ),
        );
        f.incident = true;
        f.evidence = evidence(json!({"full": true, "reason": reason}));
        c.findings.push(f);
    }
    for (pooler, state) in poolers(c, INFO.kind) {
        let most = state
            .config
            .get("max_client_conn")
            .and_then(|v| v.parse::<u32>().ok());
        let (Some(most), Some(used)) = (most.filter(|m| *m > 0), state.used_clients) else {
            c.lacks(
                INFO.kind,
                &pooler.address,
                "its clients or max_client_conn were not read",
            );
            continue;
        };
        let share = percent(u64::from(used), u64::from(most));
        if share < warning {
            continue;
        }
        let severe = share >= critical;
        let mut owners: BTreeMap<String, u32> = BTreeMap::new();
        for client in &state.clients {
            *owners
                .entry(format!("{}/{}", client.user, client.application))
                .or_default() += 1;
        }
        let mut owners: Vec<(String, u32)> = owners.into_iter().collect();
        owners.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), name.clone()));
        owners.truncate(10);
        let by = owners
            .first()
            .map(|(n, k)| format!("; most by {n} ({k})"))
            .unwrap_or_default();
        let held = c.held(&format!("{}|{}", INFO.kind, pooler.address));
        let mut f = finding(
            INFO.kind,
            if severe {
                Severity::Critical
            } else {
                Severity::Warning
            },
            &pooler.address,
            Subject::new("pooler", &pooler.name),
            c.now().minus(held),
            format!(
                "{used} of {most} clients are connected to {} ({share:.0} %){by}",
                pooler.address
            ),
        );
        f.incident = severe;
        f.evidence = evidence(json!({"used": used, "max": most, "percent": share, "owners": owners}));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::Reach;

    use super::super::sample::beside::{clients, pooler};
    use super::super::sample::{judged, kinds};

    #[test]
    fn eighty_warns_and_ninety_is_an_incident() {
        let of = |used: u32| {
            let j = judged(&clients(used));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        assert_eq!(of(799), None);
        assert_eq!(of(800), Some((Severity::Warning, false)));
        assert_eq!(of(900), Some((Severity::Critical, true)));
    }

    #[test]
    fn a_pooler_that_refuses_us_is_full_and_one_that_does_not_count_is_unknown() {
        let mut s = pooler(|state| state.used_clients = None);
        assert!(judged(&s).unknown.iter().any(|u| u.kind == "pool.client_limit"));
        s.poolers[0].state = None;
        s.poolers[0].reach = Reach::Full {
            reason: "no more connections allowed".into(),
        };
        assert_eq!(kinds(&judged(&s)), ["pool.client_limit"]);
    }
}
