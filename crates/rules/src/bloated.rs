//! What `table.bloat` and `index.bloat` share: thresholds of share and size, and what is said when there is no number.

use muster_model::Severity;
use serde_json::json;

use crate::bloat::{Estimate, estimate};
use crate::inside::of_primaries;
use crate::judge::Context;
use crate::rules::{KeyInfo, evidence, finding};
use crate::sizes::{gigabytes, human};

pub(crate) const KEYS: &[KeyInfo] = &[
    KeyInfo {
        key: "warning",
        default: "50",
        about: "per cent that is not needed",
    },
    KeyInfo {
        key: "warning_gb",
        default: "1",
        about: "GB that are not needed: both must be passed",
    },
    KeyInfo {
        key: "critical",
        default: "70",
        about: "per cent that is not needed",
    },
    KeyInfo {
        key: "critical_gb",
        default: "10",
        about: "GB that are not needed: both must be passed",
    },
];

pub(crate) fn rule(c: &mut Context<'_>, kind: &str, index: bool) {
    let limit =
        |c: &Context<'_>, share: &str, size: &str| (c.number(kind, share), gigabytes(c.number(kind, size)));
    let warning = limit(c, "warning", "warning_gb");
    let critical = limit(c, "critical", "critical_gb");
    for i in of_primaries(c, kind, "widths of rows", |d| &d.widths) {
        for r in i.value.relations.iter().filter(|r| r.index == index) {
            // What is smaller than the waste that matters needs no estimate, and lacks none.
            if r.pages * i.value.block < warning.1 {
                continue;
            }
            let name = r.full_name();
            let b = match estimate(r, i.value.block) {
                Estimate::Bloat(b) => b,
                Estimate::Withheld(why) => {
                    let size = human(r.pages * i.value.block);
                    let why = format!(
                        "bloat of {name} ({size}) in database {} is withheld: {why}",
                        i.database.name
                    );
                    c.lacks(kind, &i.server.address, why);
                    continue;
                }
            };
            let passed = |limit: (f64, u64)| b.percent >= limit.0 && b.wasted >= limit.1;
            if !passed(warning) {
                continue;
            }
            let (what, of) = if index {
                ("index", format!(" on {}", r.table))
            } else {
                ("table", String::new())
            };
            let held = c.held(&i.condition(kind, &name));
            let mut f = finding(
                kind,
                if passed(critical) {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                &i.server.address,
                i.subject(what, &name),
                c.now().minus(held),
                format!(
                    "{what} {name}{of} in database {} has {}, at least {} of them not needed ({:.0} %)",
                    i.database.name,
                    human(b.bytes),
                    human(b.wasted),
                    b.percent
                ),
            );
            f.evidence = evidence(json!({
                "database": i.database.name, what: name, "bytes": b.bytes, "wasted": b.wasted, "percent": b.percent,
                "method": "pages and rows of the last VACUUM or ANALYZE against widths of pg_stats; a lower bound",
                "confidence": b.confidence, "changed_percent": b.changed, "last_analyze": r.last_analyze,
                "read_at": i.taken_at,
            }));
            c.findings.push(f);
        }
    }
}
