//! `query.stale_statistics`: the planner knows a table as it was long ago.

use muster_model::snapshot::{Table, Tables};
use muster_model::{Severity, Span};
use serde_json::json;

use super::sample::inside as picture;
use super::{KeyInfo, RuleInfo, evidence, finding};
use crate::inside::{Inside, of_primaries};
use crate::judge::{Context, Mode};
use crate::sizes::number;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.stale_statistics",
    title: "Statistics of the planner are stale",
    about: "So many rows of a table changed since it was analysed that plans are made for a table that is no more. Where the server \
            analyses by itself it had its time: the table is past its own threshold (storage parameters included) since minutes and \
            nothing is at it.",
    ignores: "A table that is being analysed or vacuumed, one that is still below its own threshold for an automatic ANALYZE (up to the \
              critical share), the first minutes after a bulk load, small tables, and parents of partitions.",
    advice: "ANALYZE (SKIP_LOCKED) the table. Then find out why the server did not: autovacuum off, its workers busy, a lock that \
             cancels it again and again.",
    needs: &["tables"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "10",
            about: "per cent of the rows changed since the last ANALYZE",
        },
        KeyInfo {
            key: "critical",
            default: "50",
            about: "per cent of the rows changed since the last ANALYZE",
        },
        KeyInfo {
            key: "rows",
            default: "10000",
            about: "rows from which a table counts",
        },
        KeyInfo {
            key: "patience",
            default: "5m",
            about: "so long an automatic ANALYZE that is due may take to come",
        },
    ],
    specimen: || vec![picture::with_tables(vec![neglected()])],
    lookalike: || {
        let loaded = picture::table("orders", 100_000, 90_000);
        let at_it = Table {
            worked_on: Some("analyze".into()),
            ..neglected()
        };
        super::sample::seconds(&picture::with_tables(vec![loaded, at_it]), 8)
    },
};

/// Half of it changed, and the server leaves it alone.
fn neglected() -> Table {
    let mut t = picture::table("orders", 100_000, 60_000);
    t.options.insert("autovacuum_enabled".into(), "false".into());
    t
}

pub(super) fn rule(c: &mut Context<'_>) {
    for i in of_primaries(c, INFO.kind, "tables", |d| &d.tables) {
        if c.warming(i.server) {
            continue;
        }
        for t in &i.value.tables {
            one(c, i, t);
        }
    }
}

fn one(c: &mut Context<'_>, i: Inside<'_, Tables>, t: &Table) {
    let rows = t.rows();
    let share = number(t.modified) * 100.0 / number(rows.max(1));
    let critical = c.number(INFO.kind, "critical");
    if t.kind == "p"
        || number(rows) < c.number(INFO.kind, "rows")
        || share < c.number(INFO.kind, "warning")
        || t.worked_on.is_some()
    {
        return;
    }
    let by_itself = i.value.autovacuum && t.autovacuum();
    let due = t.analyze_due(i.value);
    let overdue = number(t.modified) > due;
    if by_itself && !overdue && share < critical {
        return;
    }
    let held = c.held(&i.condition(INFO.kind, t.oid));
    let patience = if by_itself && overdue {
        c.span(INFO.kind, "patience")
    } else {
        Span::ZERO
    };
    if held < patience && c.mode == Mode::Watch {
        return;
    }
    let name = t.full_name();
    let last = match t.last_analyze {
        Some(at) => format!("it was analysed {} ago", c.now().since(at).human()),
        None => "it was never analysed since the counters began".to_owned(),
    };
    let why = if !i.value.autovacuum {
        "autovacuum is off"
    } else if !t.autovacuum() {
        "autovacuum is switched off for it"
    } else if overdue {
        "an automatic ANALYZE is due and does not come"
    } else {
        "its own threshold for an automatic ANALYZE is higher still"
    };
    let mut f = finding(
        INFO.kind,
        if share >= critical {
            Severity::Critical
        } else {
            Severity::Warning
        },
        &i.server.address,
        i.subject("table", &name),
        c.now().minus(held),
        format!(
            "{} of {rows} rows of {name} in database {} changed since the planner looked ({share:.0} %): {last}; {why}",
            t.modified, i.database.name
        ),
    );
    f.pending = held < patience;
    f.evidence = evidence(json!({
        "database": i.database.name, "table": name, "modified": t.modified, "rows": rows, "percent": share,
        "threshold": due, "autovacuum": by_itself, "last_analyze": t.last_analyze,
    }));
    f.ruled_out = vec!["an ANALYZE or VACUUM at work: none is on this table".to_owned()];
    c.findings.push(f);
}

#[cfg(test)]
mod tests {
    use super::super::sample::{inside, judged, kinds, looks, over_time};
    use super::*;

    fn of(t: Table) -> Vec<(Severity, String)> {
        let j = judged(&inside::with_tables(vec![t]));
        let own = j.findings.into_iter().filter(|f| f.kind == INFO.kind);
        own.map(|f| (f.severity, f.summary)).collect()
    }

    #[test]
    fn ten_per_cent_warn_and_fifty_are_critical_where_nobody_analyses() {
        let with = |modified: u64| Table {
            modified,
            ..neglected()
        };
        assert!(of(with(9_999)).is_empty());
        assert_eq!(of(with(10_000))[0].0, Severity::Warning);
        assert_eq!(of(with(49_999))[0].0, Severity::Warning);
        let half = of(with(50_000));
        assert_eq!(half[0].0, Severity::Critical);
        assert!(half[0].1.contains("switched off for it"), "{half:?}");
        let small = Table {
            tuples: Some(9_999),
            live: 9_999,
            ..neglected()
        };
        assert!(of(small).is_empty());
        let never = Table {
            last_analyze: None,
            ..neglected()
        };
        assert!(of(never)[0].1.contains("never analysed"));
    }

    #[test]
    fn where_the_server_analyses_by_itself_it_gets_its_time_and_its_own_threshold() {
        let overdue = inside::table("orders", 100_000, 20_000);
        assert!(of(overdue.clone()).is_empty());
        let aged = |minutes: u64| {
            let mut s = inside::with_tables(vec![overdue.clone()]);
            s.taken_at = s.taken_at.plus(Span::from_mins(minutes));
            s.servers[0].databases[0].tables.as_mut().expect("part").taken_at = s.taken_at;
            s
        };
        let mut all = Vec::new();
        for second in 0..=300 {
            let mut s = aged(0);
            s.taken_at = s.taken_at.plus(Span::from_secs(second));
            s.servers[0].databases[0].tables.as_mut().expect("part").taken_at = s.taken_at;
            all.push(s);
        }
        let mut state = crate::RuleState::default();
        let mut said = Vec::new();
        for s in &all {
            let (next, j) = crate::judge(&state, s, &crate::defaults(), Mode::Watch);
            state = next;
            said.push(j.findings.iter().any(|f| f.kind == INFO.kind));
        }
        assert_eq!(said.iter().position(|s| *s), Some(300));
        let mut generous = inside::table("orders", 100_000, 20_000);
        generous
            .options
            .insert("autovacuum_analyze_scale_factor".into(), "0.4".into());
        let s = inside::with_tables(vec![generous]);
        assert!(kinds(&looks(over_time(vec![s; 3]))).is_empty());
    }

    #[test]
    fn unread_is_unknown_and_a_fresh_start_is_silent() {
        let unread = inside::spoiled(|d| d.tables = None);
        assert!(judged(&unread).unknown.iter().any(|u| u.kind == INFO.kind));
        let mut s = inside::with_tables(vec![neglected()]);
        let started = s.taken_at.minus(Span::from_mins(9));
        s.servers[0].identity.as_mut().expect("identity").value.started_at = started;
        assert!(kinds(&judged(&s)).is_empty());
    }
}
