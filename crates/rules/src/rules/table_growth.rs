//! `table.growth`: a table grows much faster than it did.

use muster_model::Severity;
use muster_model::snapshot::{Table, TableGrowth};
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::of_primaries;
use crate::judge::Context;
use crate::sizes::{gigabytes, human, number};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "table.growth",
    title: "A table grows unusually",
    about: "In the last hour a table grew by at least 1 GB and three times as fast as in the hours before it that Muster watched (one to \
            six). Sizes are the planner's page counts, grown by the rows that came since.",
    ignores: "Tables below 64 MB, the first two hours of watching, tables that were never analysed. A load that comes every night looks \
              unusual every night: six hours are all that is compared.",
    advice: "See who writes to it (pg_stat_statements by rows) and whether the disk allows it to go on.",
    needs: &["tables"],
    keys: &[
        KeyInfo {
            key: "times",
            default: "3",
            about: "times its own earlier rate",
        },
        KeyInfo {
            key: "least_gb",
            default: "1",
            about: "GB in the hour from which it matters",
        },
    ],
    specimen: || vec![growing(2048, 100)],
    lookalike: || vec![growing(2048, 1000), growing(900, 1)],
};

/// A table that grew by so many MB in the last hour, and by so many an hour in the four before.
fn growing(recent: u64, hourly: u64) -> muster_model::Snapshot {
    let hour = muster_model::Span::from_mins(60);
    let mut t = picture::table("events", 100_000_000, 0);
    t.growth = Some(TableGrowth {
        recent: recent << 20,
        recent_for: hour,
        before: (4 * hourly) << 20,
        before_for: muster_model::Span::from_mins(240),
    });
    picture::with_tables(vec![t])
}

pub(super) fn rule(c: &mut Context<'_>) {
    let (times, least) = (
        c.number(INFO.kind, "times"),
        gigabytes(c.number(INFO.kind, "least_gb")),
    );
    for i in of_primaries(c, INFO.kind, "tables", |d| &d.tables) {
        for t in &i.value.tables {
            let Some(g) = t.growth.filter(|g| g.recent >= least) else {
                continue;
            };
            let (now, before) = rates(g);
            if now < before * times {
                continue;
            }
            let name = t.full_name();
            let onset = c.onset(&i.condition(INFO.kind, &name), g.recent_for);
            let mut f = finding(
                INFO.kind,
                Severity::Warning,
                &i.server.address,
                i.subject("table", &name),
                onset,
                format!(
                    "{name} in database {} grew by {} in the last {}, by {} in the {} before; it has {}",
                    i.database.name,
                    human(g.recent),
                    g.recent_for.human(),
                    human(g.before),
                    g.before_for.human(),
                    human(t.bytes(i.value.block))
                ),
            );
            f.evidence = evidence(seen(t, g, &i.database.name));
            c.findings.push(f);
        }
    }
}

fn seen(t: &Table, g: TableGrowth, database: &str) -> serde_json::Value {
    json!({
        "database": database, "table": t.full_name(), "recent_bytes": g.recent, "recent_ms": g.recent_for.millis(),
        "before_bytes": g.before, "before_ms": g.before_for.millis(),
        "inserted": t.inserted, "updated": t.updated, "deleted": t.deleted,
        "method": "pages by the planner, grown by the rows that came since",
    })
}

/// Bytes a second, in the last hour and before.
fn rates(g: TableGrowth) -> (f64, f64) {
    let a_second = |bytes: u64, over: muster_model::Span| number(bytes) / over.secs_f64().max(1.0);
    (a_second(g.recent, g.recent_for), a_second(g.before, g.before_for))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged};
    use super::*;

    #[test]
    fn both_the_rate_and_the_floor_must_be_passed() {
        let found = |recent, hourly| {
            let j = judged(&growing(recent, hourly));
            j.findings.iter().any(|f| f.kind == INFO.kind)
        };
        assert!(found(3000, 1000) && !found(2999, 1000));
        assert!(found(1024, 0) && !found(1023, 0));
        let unread = inside::spoiled(|d| d.tables = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
    }
}
