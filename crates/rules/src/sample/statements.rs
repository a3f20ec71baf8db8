//! Pictures of a server whose statements are counted.

use muster_model::snapshot::{
    DatabaseView, ScanCounters, ScannedTable, Statement, StatementWindow, Statements, StatementsOff, Usual,
    Work,
};
use muster_model::{Snapshot, Span, Time};

#[cfg(test)]
use super::session;
use super::{Before, Counted, DatabaseCounters, NOW, counting, healthy, now, part};

const MINUTE: Span = Span::from_secs(60);

/// Statistics of a quiet server.
pub(crate) fn quiet() -> Statements {
    Statements {
        database: "app".into(),
        version: "1.10".into(),
        entries: 120,
        max: Some(5000),
        text_bytes: Some(40_000),
        evictions: Some(0),
        window: Some(StatementWindow {
            over: MINUTE,
            ..StatementWindow::default()
        }),
        ..Statements::default()
    }
}

/// A statement with its calls in the minute and their mean.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn statement(text: &str, calls: u64, mean_ms: f64) -> Statement {
    Statement {
        queryid: "42".into(),
        fingerprint: Some(muster_model::fingerprint::of(text)),
        text: Some(text.into()),
        database: "app".into(),
        user: "app".into(),
        toplevel: true,
        work: Work {
            calls,
            ms: mean_ms * calls as f64,
            rows: calls,
            blocks: calls * 4,
            ..Work::default()
        },
        usual: None,
    }
}

/// The same with what is usual for it.
pub(crate) fn usually(mut s: Statement, mean_ms: f64, calls_per_second: f64) -> Statement {
    s.usual = Some(Usual {
        calls: calls_per_second * 1800.0,
        mean_ms,
        calls_per_second,
        rows_per_call: 1.0,
        blocks_per_call: 4.0,
        over: Span::from_mins(40),
    });
    s
}

/// A primary on which these were called.
pub(crate) fn called(top: Vec<Statement>) -> Snapshot {
    let mut s = healthy();
    let mut read = quiet();
    if let Some(window) = &mut read.window {
        for t in top.iter().filter(|t| t.toplevel) {
            window.total.add(&t.work);
        }
        window.called = top.len() as u64;
        window.usual = Some(Usual {
            calls: 100_000.0,
            mean_ms: 1.0,
            calls_per_second: 100.0,
            rows_per_call: 1.0,
            blocks_per_call: 4.0,
            over: Span::from_mins(40),
        });
        window.top = top;
    }
    s.servers[0].statements = part(read);
    s
}

/// Of a thousand calls so many of a statement that takes 250 ms.
pub(crate) fn slow(calls: u64) -> Snapshot {
    called(vec![
        statement("select * from orders where note like $1", calls, 250.0),
        statement("select body from notes where id = $1", 1000 - calls, 1.0),
    ])
}

/// A dump: sixty tables are copied, a second each.
pub(crate) fn dump() -> Snapshot {
    called(vec![
        statement("COPY public.notes (id, body) TO stdout", 60, 1000.0),
        statement("select body from notes where id = $1", 40, 1.0),
    ])
}

/// One that used to take 4 ms and takes so long, a thousand times a minute, among others that take a second together.
pub(crate) fn regressed(mean_ms: f64) -> Snapshot {
    called(vec![
        usually(
            statement("select * from orders where customer = $1", 1000, mean_ms),
            4.0,
            16.0,
        ),
        statement("select body from notes where id = $1", 1000, 1.0),
    ])
}

/// The same that takes ten times as long because each call returns ten times as many rows.
pub(crate) fn more_rows() -> Snapshot {
    let mut s = regressed(40.0);
    if let Some(w) = s.servers[0]
        .statements
        .as_mut()
        .and_then(|p| p.value.window.as_mut())
    {
        w.top[0].work.rows *= 10;
    }
    s
}

/// One that is called so often a minute and usually once a second, among others that are called so much more often than usual.
pub(crate) fn called_more(calls: u64, others: f64) -> Snapshot {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rest = (others * 5940.0) as u64;
    called(vec![
        usually(
            statement("select * from tags where note = $1", calls, 0.3),
            0.3,
            1.0,
        ),
        usually(
            statement("select body from notes where id = $1", rest, 1.0),
            1.0,
            99.0,
        ),
    ])
}

/// A table of a million rows that is read from end to end by a statement that returns one of them.
pub(crate) fn scanned(text: &str, scans: u64) -> Snapshot {
    let mut reader = statement(text, 100, 80.0);
    reader.work.blocks = 100 * 8000;
    let mut s = called(vec![
        reader,
        statement("select body from notes where id = $1", 1000, 1.0),
    ]);
    let after = ScanCounters {
        scans: 500 + scans,
        rows: (500 + scans) * 1_000_000,
    };
    let then = Before {
        at: Time::from_millis(NOW - 60_000),
        value: ScanCounters {
            scans: 500,
            rows: 500_000_000,
        },
    };
    let table = ScannedTable {
        schema: "public".into(),
        name: "orders".into(),
        rows: 1_000_000,
        pages: 8000,
        counted: Counted {
            at: now(),
            now: after,
            minute: Some(then.clone()),
            five_minutes: Some(then),
        },
    };
    s.servers[0].databases = vec![DatabaseView {
        scans: part(vec![table]),
        ..DatabaseView::unread("app")
    }];
    s
}

/// So many bytes of temporary files in the last minute, and the statement that wrote them.
pub(crate) fn spilled(bytes: u64) -> Snapshot {
    let before = DatabaseCounters {
        temp_bytes: 1 << 40,
        ..DatabaseCounters::default()
    };
    let mut s = counting(before, |c| c.temp_bytes += bytes);
    let mut sorter = statement("select * from orders order by note", 3, 9000.0);
    sorter.work.temp_blocks = bytes / 8192;
    s.servers[0].statements = called(vec![sorter]).servers[0].statements.take();
    s
}

/// A server whose statements are not counted.
pub(crate) fn uncounted(why: StatementsOff) -> Snapshot {
    let mut s = healthy();
    s.servers[0].statements = part(Statements {
        off: Some(why),
        ..Statements::default()
    });
    s
}

/// Statistics that are full: so many of 5,000, and so many evictions lately.
#[cfg(test)]
pub(crate) fn full(entries: u64, evictions_lately: u64) -> Snapshot {
    let mut s = healthy();
    if let Some(p) = &mut s.servers[0].statements {
        p.value.entries = entries;
        p.value.evictions = Some(evictions_lately);
        p.value.evictions_lately = evictions_lately;
    }
    s
}

/// Five statements that run since so long.
#[cfg(test)]
pub(crate) fn running(mut s: Snapshot, sessions: i32, age_ms: i64) -> Snapshot {
    if let Some(activity) = &mut s.servers[0].activity {
        activity.value.sessions = (1..=sessions)
            .map(|pid| {
                let mut one = session(pid, "active", age_ms);
                one.query = Some("select * from orders a, orders b".into());
                one
            })
            .collect();
    }
    s
}
