//! `query.missing_index`: a statement reads a large table from end to end for a few of its rows.

use muster_model::fingerprint::Words;
use muster_model::snapshot::{ScannedTable, ServerView, Statement, StatementWindow};
use muster_model::{Severity, fingerprint};
use serde_json::json;

use super::{KeyInfo, RATES, RuleInfo, evidence, finding, sample};
use crate::judge::{Context, Unknown};
use crate::statements::{as_json, called, f, ms, percent, subject, tell, window};

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "query.missing_index",
    title: "An index may be missing",
    about: "A statement with a condition touches most blocks of a large table at each call, returns or changes few of its \
            rows, takes a share of the time of all statements, and the table is read by about as many sequential scans as the \
            statement has calls. A heuristic of low confidence: which statement made which scan is known by the table's name in \
            its text only, and that an index would help is not proved.",
    ignores: "Statements without a condition, a join or an order: a count or a report of the whole table needs no index. Small \
              tables. Tables whose name is beyond the first 500 characters of the text, and partitions by their parent's name.",
    advice: "`muster query advise` shows what an index would cost and save; with hypopg it proves it. Build it CONCURRENTLY.",
    needs: &["statements", "scans"],
    keys: &[
        KeyInfo {
            key: "rows",
            default: "10000",
            about: "rows of the table, by estimate; tables with less are not looked at",
        },
        KeyInfo {
            key: "mean",
            default: "20ms",
            about: "mean time of a call from which it matters",
        },
        KeyInfo {
            key: "calls",
            default: "5",
            about: "calls of the statement in the window",
        },
        KeyInfo {
            key: "share",
            default: "1",
            about: "per cent of the time of all statements that it must take",
        },
        KeyInfo {
            key: "blocks",
            default: "50",
            about: "per cent of the table's pages that a call touches",
        },
        KeyInfo {
            key: "returned",
            default: "1",
            about: "per cent of the table's rows that a call returns or changes at most",
        },
    ],
    specimen: || {
        vec![sample::statements::scanned(
            "select * from orders where customer = $1",
            100,
        )]
    },
    lookalike: || vec![sample::statements::scanned("select count(*) from orders", 100)],
};

/// Blocks a call below which nothing was read from end to end, also where the table's pages are not known.
const FEW_BLOCKS: f64 = 100.0;
/// Part of the calls that must be sequential scans of the table.
const SCANS: f64 = 0.5;

struct Limits {
    rows: f64,
    mean_ms: f64,
    calls: f64,
    share: f64,
    blocks: f64,
    returned: f64,
}

pub(super) fn rule(c: &mut Context<'_>) {
    let number = |c: &Context<'_>, key: &str| c.number(INFO.kind, key);
    let limits = Limits {
        rows: number(c, "rows"),
        mean_ms: c.span(INFO.kind, "mean").secs_f64() * 1000.0,
        calls: number(c, "calls"),
        share: number(c, "share"),
        blocks: number(c, "blocks"),
        returned: number(c, "returned"),
    };
    let enough = c.number(RATES.0, "calls");
    for server in &c.snapshot.servers {
        let Some(w) = window(c, INFO.kind, server) else {
            continue;
        };
        if f(w.total.calls) < enough {
            continue;
        }
        for s in w.top.iter().filter(|s| busy(s, w, &limits)) {
            let words = fingerprint::words(s.text.as_deref().unwrap_or_default());
            if !["where", "join", "order"].iter().any(|word| words.name(word)) {
                continue;
            }
            let Some(tables) = tables(c, server, s) else {
                continue;
            };
            let of_it = tables.iter().filter(|t| explains(s, &words, t, &limits));
            let Some(table) = of_it.max_by_key(|t| scans(t).map(|s| s.1)) else {
                continue;
            };
            say(c, server, w, s, table);
        }
    }
}

/// By its numbers alone: only then is its text taken apart.
fn busy(s: &Statement, w: &StatementWindow, l: &Limits) -> bool {
    f(s.work.calls) >= l.calls
        && s.work.mean_ms() >= l.mean_ms
        && s.work.blocks_per_call() >= FEW_BLOCKS
        && percent(s.work.ms, w.total.ms) >= l.share
}

/// The large tables of its database; noted, once for each, when they were not read.
fn tables<'s>(c: &mut Context<'_>, server: &'s ServerView, s: &Statement) -> Option<&'s Vec<ScannedTable>> {
    let what = format!("scans of database {}", s.database);
    let known = |u: &Unknown| u.kind == INFO.kind && u.target == server.address && u.why.starts_with(&what);
    if c.unknown.iter().any(known) {
        return None;
    }
    let database = server.databases.iter().find(|d| d.name == s.database);
    c.part(INFO.kind, server, database.map_or(&None, |d| &d.scans), &what)
}

/// Sequential scans in the last minute, and the rows that they read.
fn scans(t: &ScannedTable) -> Option<(u64, u64)> {
    let scans = t.counted.in_a_minute(|n| n.scans)?;
    let rows = t.counted.in_a_minute(|n| n.rows)?;
    (scans.by > 0).then_some((scans.by, rows.by))
}

fn explains(s: &Statement, words: &Words, t: &ScannedTable, l: &Limits) -> bool {
    let Some((scans, rows)) = scans(t) else {
        return false;
    };
    let whole = rows / scans;
    f(t.rows) >= l.rows
        && f(scans) >= SCANS * f(s.work.calls)
        // A scan that a LIMIT ends early reads little, whatever the table's size.
        && f(whole) * 2.0 >= l.rows.min(f(t.rows))
        && s.work.blocks_per_call() * 100.0 >= l.blocks * f(t.pages)
        && s.work.rows_per_call() * 100.0 <= l.returned * f(t.rows)
        && words.name(&t.name)
}

fn say(c: &mut Context<'_>, server: &ServerView, w: &StatementWindow, s: &Statement, t: &ScannedTable) {
    let held = c.held(&format!("{}|{}|{}", INFO.kind, server.address, subject(s)));
    let share = percent(s.work.ms, w.total.ms);
    let (scanned, read) = scans(t).unwrap_or_default();
    let mut found = finding(
        INFO.kind,
        // Never more: it is not proved.
        Severity::Warning,
        &server.address,
        subject(s),
        c.now().minus(held),
        format!(
            "{} in {} reads {:.0} blocks a call for {:.0} rows, {} each, while {}.{} ({} rows) is scanned from end to end: an \
             index may be missing (low confidence)",
            called(s),
            s.database,
            s.work.blocks_per_call(),
            s.work.rows_per_call(),
            ms(s.work.mean_ms()),
            t.schema,
            t.name,
            t.rows
        ),
    );
    let mut seen = evidence(json!({
        "confidence": "low", "table": format!("{}.{}", t.schema, t.name), "rows": t.rows, "pages": t.pages,
        "sequential_scans": scanned, "rows_scanned": read, "percent_of_time": share, "within_ms": w.over.millis(),
        "method": "blocks a call against the pages of a table that its text names, and sequential scans of it",
    }));
    seen.insert("statement".to_owned(), as_json(s));
    found.evidence = seen;
    found.ruled_out = vec![format!(
        "a report of the whole table: a call returns {:.0} of {} rows, and the statement has a condition",
        s.work.rows_per_call(),
        t.rows
    )];
    tell(c, w, found);
}

#[cfg(test)]
mod tests {
    use muster_model::{Severity, Snapshot};

    use super::super::sample::{judged, kinds, statements};

    const WHERE: &str = "select * from orders where customer = $1";

    fn found(s: &Snapshot) -> bool {
        kinds(&judged(s)).contains(&"query.missing_index")
    }

    #[test]
    fn a_large_table_read_for_one_row_is_told_with_its_confidence() {
        let j = judged(&statements::scanned(WHERE, 100));
        let f = j
            .findings
            .iter()
            .find(|f| f.kind == "query.missing_index")
            .expect("found");
        assert!(f.severity == Severity::Warning && !f.incident);
        assert!(
            f.summary.contains("8000 blocks a call for 1 rows") && f.summary.contains("low confidence"),
            "{}",
            f.summary
        );
        assert_eq!(f.evidence["table"], "public.orders");
    }

    #[test]
    fn what_an_index_would_not_help_is_left_alone() {
        assert!(!found(&statements::scanned("select count(*) from orders", 100)));
        assert!(
            !found(&statements::scanned(
                "select * from order_lines where a = $1",
                100
            )),
            "another table"
        );
        assert!(!found(&statements::scanned(WHERE, 49)), "others scan it");
        for spoil in [0, 1, 2, 3, 4] {
            let mut s = statements::scanned(WHERE, 100);
            let server = &mut s.servers[0];
            let window = server.statements.as_mut().and_then(|p| p.value.window.as_mut());
            let work = &mut window.expect("a window").top[0].work;
            let table = &mut server.databases[0].scans.as_mut().expect("scans").value[0];
            match spoil {
                0 => work.rows = 100 * 10_001,
                1 => work.blocks = 100 * 3999,
                2 => work.ms = 100.0 * 19.0,
                3 => table.rows = 9_999,
                _ => table.counted.now.rows = 500_000_000 + 100 * 50,
            }
            assert!(!found(&s), "{spoil}");
        }
    }

    #[test]
    fn a_database_that_was_not_read_is_unknown() {
        for spoil in [0, 1] {
            let mut s = statements::scanned(WHERE, 100);
            match spoil {
                0 => s.servers[0].databases.clear(),
                _ => s.servers[0].databases[0].scans = None,
            }
            let j = judged(&s);
            assert!(!kinds(&j).contains(&"query.missing_index"));
            assert!(
                j.unknown.iter().any(|u| u.kind == "query.missing_index"),
                "{spoil}"
            );
        }
        let j = judged(&statements::slow(1));
        assert!(
            j.unknown.is_empty(),
            "nothing suspicious needs no table: {:?}",
            j.unknown
        );
    }
}
