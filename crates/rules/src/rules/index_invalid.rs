//! `index.invalid`: an index that no query may use, and nobody builds it.

use muster_model::{Severity, Span};
use serde_json::json;

use super::sample::{self, inside as picture};
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::{Context, Mode};
use crate::sizes::human;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "index.invalid",
    title: "Invalid index",
    about: "An index is marked invalid: what a CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY leaves behind that did not end. No \
            query uses it; while it is ready, every write still maintains it. CREATE INDEX … IF NOT EXISTS skips it.",
    ignores: "An index of a table on which a build runs right now, the first minutes after it, and the index of a partitioned table \
              that is not yet attached everywhere.",
    advice: "DROP INDEX CONCURRENTLY what REINDEX left (its name ends in _ccnew or _ccold); drop and build the others again, \
             CONCURRENTLY, when no old transaction is open.",
    needs: &["indexes"],
    keys: &[KeyInfo {
        key: "for",
        default: "10m",
        about: "invalid for so long without a build",
    }],
    specimen: || {
        let mut later = picture::with_indexes(vec![invalid()]);
        let first = later.clone();
        // Looked at every five seconds for ten minutes.
        (0..=120)
            .map(|i| {
                later.clone_from(&first);
                later.taken_at = later.taken_at.plus(Span::from_secs(i * 5));
                for p in later.servers[0].databases[0].indexes.iter_mut() {
                    p.taken_at = later.taken_at;
                }
                later.clone()
            })
            .collect()
    },
    lookalike: || {
        let building = muster_model::snapshot::Index {
            building: true,
            ..invalid()
        };
        sample::seconds(&picture::with_indexes(vec![building]), 8)
    },
};

fn invalid() -> muster_model::snapshot::Index {
    muster_model::snapshot::Index {
        valid: false,
        ..picture::index(7, &["1:0:0:0"])
    }
}

pub(super) fn rule(c: &mut Context<'_>) {
    let lasting = c.span(INFO.kind, "for");
    for i in of_primaries(c, INFO.kind, "indexes", |d| &d.indexes) {
        let broken: Vec<_> = i
            .value
            .indexes
            .iter()
            .filter(|x| !x.valid && !x.building)
            .collect();
        if !broken.is_empty() && i.value.hidden_builds > 0 {
            let why = format!(
                "{} invalid indexes in database {}: a build runs of which this login does not see what it builds",
                broken.len(),
                i.database.name
            );
            c.lacks(INFO.kind, &i.server.address, why);
            continue;
        }
        for x in broken {
            let held = c.held(&i.condition(INFO.kind, x.oid));
            if held < lasting && c.mode == Mode::Watch {
                continue;
            }
            let size = human(x.pages * i.value.block);
            let origin = if x.leftover() {
                "left behind by a REINDEX CONCURRENTLY"
            } else {
                "its build did not end"
            };
            let cost = match (x.unique, x.ready) {
                (true, _) => "; nothing is known to be unique by it",
                (false, true) => "; every write still pays for it",
                (false, false) => "",
            };
            let mut f = finding(
                INFO.kind,
                if x.unique {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &i.server.address,
                i.subject("index", &x.full_name()),
                c.now().minus(held),
                format!(
                    "index {} on {} in database {} is invalid ({size}): {origin}{cost}",
                    x.full_name(),
                    x.table,
                    i.database.name
                ),
            );
            f.pending = held < lasting;
            f.evidence = evidence(json!({
                "database": i.database.name, "index": x.full_name(), "table": x.table, "bytes": x.pages * i.value.block,
                "unique": x.unique, "ready": x.ready, "leftover": x.leftover(), "scans": x.scans,
            }));
            f.ruled_out = vec![
                "a build in progress: pg_stat_progress_create_index shows none on this table".to_owned(),
            ];
            c.findings.push(f);
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::Index;

    use super::super::sample::{inside, judged, kinds, watched};
    use super::*;
    use crate::judge::{RuleState, judge};

    #[test]
    fn it_is_found_after_ten_minutes_and_named_a_leftover_by_its_name() {
        let said = |x: Index, seconds: u64| {
            let mut state = RuleState::default();
            let mut last = crate::Judgement::default();
            for at in (0..=seconds).step_by(5) {
                let mut s = inside::with_indexes(vec![x.clone()]);
                s.taken_at = s.taken_at.plus(Span::from_secs(at));
                s.servers[0].databases[0] = {
                    let mut d = s.servers[0].databases[0].clone();
                    d.indexes.as_mut().expect("part").taken_at = s.taken_at;
                    d
                };
                (state, last) = judge(&state, &s, &crate::defaults(), Mode::Watch);
            }
            last.findings.into_iter().find(|f| f.kind == INFO.kind)
        };
        assert_eq!(said(invalid(), 595), None);
        let f = said(invalid(), 600).expect("found");
        assert!(f.summary.contains("every write still pays"), "{}", f.summary);
        let left = Index {
            name: "orders_pkey_ccnew".into(),
            ready: false,
            ..invalid()
        };
        let f = said(left, 600).expect("found");
        assert!(f.summary.contains("REINDEX CONCURRENTLY"), "{}", f.summary);
        assert_eq!(f.severity, Severity::Warning);
        let unique = Index {
            unique: true,
            ..invalid()
        };
        assert_eq!(said(unique, 600).expect("found").severity, Severity::Critical);
    }

    #[test]
    fn a_build_that_cannot_be_seen_makes_it_unknown_and_check_says_pending() {
        let s = inside::with_indexes(vec![invalid()]);
        assert_eq!(watched(&s, 3), Vec::<String>::new());
        let (_, j) = judge(&RuleState::default(), &s, &crate::defaults(), Mode::Check);
        assert!(j.findings.iter().any(|f| f.kind == INFO.kind && f.pending));
        let hidden = inside::spoiled(|d| {
            inside::of(&mut d.indexes).indexes = vec![invalid()];
            inside::of(&mut d.indexes).hidden_builds = 1;
        });
        let j = judged(&hidden);
        assert!(kinds(&j).is_empty() && j.unknown.iter().any(|u| u.kind == INFO.kind));
        let unread = inside::spoiled(|d| d.indexes = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
