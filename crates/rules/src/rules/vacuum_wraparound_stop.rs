//! `vacuum.wraparound_stop`: the server refuses to give out transaction ids, or is about to.

use muster_model::snapshot::Role;
use muster_model::{Severity, Subject};
use serde_json::json;

use super::{KeyInfo, RuleInfo, evidence, finding, sample};
use crate::amount::amount;
use crate::freezing;
use crate::judge::Context;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "vacuum.wraparound_stop",
    title: "Transaction ids have run out",
    about: "The server keeps the last 3 million transaction ids (1 million on 13) and the last multixacts back and refuses \
            every statement that needs a new one: nobody can write, reading goes on. The finding says so when it refuses, and \
            when fewer than `left` are left until it does.",
    ignores: "Ages that are high and have room left: vacuum.freeze_pressure.",
    advice: "Stay in normal mode. Free what holds the horizon (prepared transactions, slots, old sessions), then VACUUM the \
             oldest tables of the named database, with INDEX_CLEANUP off and TRUNCATE off; vacuum needs no transaction id \
             for that. Then the other databases.",
    needs: &["vacuuming"],
    keys: &[KeyInfo {
        key: "left",
        default: "3000000",
        about: "so many are left until the server refuses",
    }],
    specimen: || {
        vec![sample::vacuum::aged(vec![sample::vacuum::freeze(
            "app",
            2_144_483_647,
        )])]
    },
    lookalike: || {
        vec![sample::vacuum::aged(vec![sample::vacuum::freeze(
            "app",
            2_000_000_000,
        )])]
    },
};

#[allow(clippy::cast_precision_loss)]
pub(super) fn rule(c: &mut Context<'_>) {
    let least = c.number(INFO.kind, "left");
    for server in &c.snapshot.servers {
        if server.role() == Some(Role::Standby) {
            continue;
        }
        let Some(vacuuming) = c.part(INFO.kind, server, &server.vacuuming, "the age of its databases") else {
            continue;
        };
        let Some(oldest) = freezing::oldest(server, vacuuming).filter(|o| o.left as f64 <= least) else {
            continue;
        };
        let (what, database) = (oldest.what(), &oldest.age.database);
        let horizons = server.horizons.as_ref().map(|p| &p.value);
        let eta = freezing::in_time(oldest.left, horizons).filter(|_| !oldest.multixacts && oldest.left > 0);
        let summary = if oldest.left == 0 {
            format!(
                "the server refuses every statement that needs one of its {what}: they have run out, the oldest row is in database {database}"
            )
        } else {
            let end = eta
                .map(|t| format!(", in {} at the present rate", freezing::long(t)))
                .unwrap_or_default();
            format!(
                "the server refuses to write after {} more {what}{end}: the oldest row is in database {database}",
                amount(oldest.left)
            )
        };
        let held = c.held(&format!("{}|{}", INFO.kind, server.address));
        let mut f = finding(
            INFO.kind,
            Severity::Critical,
            &server.address,
            Subject::new("server", &server.name),
            c.now().minus(held),
            summary,
        );
        f.incident = true;
        let holder = horizons.and_then(|h| h.holders.first());
        f.evidence = evidence(json!({
            "refuses": oldest.left == 0, "database": database, "what": what, "left": oldest.left, "used": oldest.used,
            "eta_ms": eta.map(muster_model::Span::millis),
            "holder": holder.map(|h| json!({"kind": h.kind, "name": h.name, "xids": h.xids})),
        }));
        c.findings.push(f);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::{FreezeAge, HolderKind, Role};
    use muster_model::{IncidentSeverity, Severity, Span};

    use super::super::sample::vacuum::{aged, freeze, holder};
    use super::super::sample::{judged, kinds};
    use crate::correlate;

    /// Where a server of 15 stops.
    const STOP: u64 = 2_144_483_647;

    #[test]
    fn three_million_before_the_end_it_is_an_incident_and_at_the_end_it_says_that_the_server_refuses() {
        let found = |xids| {
            let j = judged(&aged(vec![freeze("app", xids), freeze("postgres", 5)]));
            let f = j
                .findings
                .into_iter()
                .find(|f| f.kind == "vacuum.wraparound_stop")?;
            assert!(f.incident && f.severity == Severity::Critical);
            Some(f.summary)
        };
        assert_eq!(found(STOP - 3_000_001), None);
        assert_eq!(
            found(STOP - 3_000_000).as_deref(),
            Some(
                "the server refuses to write after 3.0 million more transaction ids, in 8h 20m at the present rate: the oldest \
                 row is in database app"
            )
        );
        assert!(
            found(STOP)
                .expect("found")
                .starts_with("the server refuses every statement")
        );
        assert!(found(STOP + 99).is_some());
    }

    #[test]
    fn multixacts_run_out_too_and_13_stops_later() {
        let mut s = aged(vec![FreezeAge {
            database: "app".into(),
            xids: 5,
            multixacts: STOP - 1000,
        }]);
        let said = |s: &muster_model::Snapshot| {
            let j = judged(s);
            let stop = j
                .findings
                .into_iter()
                .find(|f| f.kind == "vacuum.wraparound_stop");
            stop.expect("found").summary
        };
        assert!(said(&s).contains("1000 more multixacts"), "{}", said(&s));
        s.servers[0]
            .identity
            .as_mut()
            .expect("identity")
            .value
            .version_num = 130_011;
        // 13 keeps back only the last hundred multixacts: too many are left.
        assert!(!kinds(&judged(&s)).contains(&"vacuum.wraparound_stop"));
        s.servers[0].vacuuming.as_mut().expect("vacuuming").value.freeze[0].multixacts = STOP;
        assert!(said(&s).contains("3.0 million more multixacts"), "{}", said(&s));
    }

    #[test]
    fn it_is_the_headline_of_the_pressure_and_the_symptom_of_the_holder_and_always_p0() {
        let mut s = aged(vec![freeze("app", STOP)]);
        let told = correlate(&s, &judged(&s).findings);
        assert_eq!(told.roots.len(), 1, "{told:#?}");
        assert_eq!(told.roots[0].cause.kind, "vacuum.wraparound_stop");
        assert_eq!(told.roots[0].symptoms[0].kind, "vacuum.freeze_pressure");
        assert_eq!(told.roots[0].severity, IncidentSeverity::P0);
        if let Some(h) = &mut s.servers[0].horizons {
            h.value.holders = vec![holder(HolderKind::Slot, "gone", STOP, Span::from_secs(9_000_000))];
        }
        let told = correlate(&s, &judged(&s).findings);
        assert_eq!(told.roots.len(), 1, "{told:#?}");
        let root = &told.roots[0];
        assert_eq!(
            (root.cause.kind.as_str(), root.severity, root.opens),
            ("vacuum.xmin_holder", IncidentSeverity::P0, true)
        );
    }

    #[test]
    fn standbys_are_left_alone_and_what_was_not_read_is_unknown() {
        let mut s = aged(vec![freeze("app", STOP)]);
        s.servers[0].vacuuming = None;
        assert!(
            judged(&s)
                .unknown
                .iter()
                .any(|u| u.kind == "vacuum.wraparound_stop")
        );
        let mut s = aged(vec![freeze("app", STOP)]);
        s.servers[0].identity.as_mut().expect("identity").value.role = Role::Standby;
        assert_eq!(kinds(&judged(&s)), [""; 0]);
    }
}
