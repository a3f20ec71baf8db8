//! What the rules about statements share: the window with everything that must be there before it is judged, and how a
//! statement is called in a sentence.

use muster_model::Subject;
use muster_model::snapshot::{ServerView, Statement, StatementWindow};
use serde_json::{Value, json};

use crate::judge::Context;

/// Longest text in a sentence.
const IN_A_SENTENCE: usize = 80;
/// What reads or writes whole tables by design, and what others wait for: its slowness is no user's wait.
const MAINTENANCE: [&str; 16] = [
    "alter",
    "analyze",
    "checkpoint",
    "close",
    "cluster",
    "copy",
    "create",
    "declare",
    "drop",
    "fetch",
    "grant",
    "listen",
    "reindex",
    "refresh",
    "truncate",
    "vacuum",
];

/// The window of a server's statements; `None` when the rule has to be silent, and then it is noted when it lacks it.
pub(crate) fn window<'s>(
    c: &mut Context<'_>,
    kind: &str,
    server: &'s ServerView,
) -> Option<&'s StatementWindow> {
    let read = c.part(kind, server, &server.statements, "statistics about statements")?;
    if read.off.is_some() {
        c.lacks(
            kind,
            &server.address,
            "statements are not counted: query.statistics_off says why",
        );
        return None;
    }
    if read.hidden > 0 {
        let why = format!(
            "{} statements of other users are hidden from this role",
            read.hidden
        );
        c.lacks(kind, &server.address, why);
        return None;
    }
    // After a start means are those of cold caches; at the first look there is no difference yet.
    if c.warming(server) {
        return None;
    }
    read.window.as_ref()
}

/// Whether it is maintenance or a dump; a statement whose text is not known is none.
pub(crate) fn maintenance(text: Option<&str>) -> bool {
    let first = text.and_then(|t| {
        t.split(|c: char| !c.is_ascii_alphabetic())
            .find(|w| !w.is_empty())
    });
    first.is_some_and(|w| MAINTENANCE.contains(&w.to_ascii_lowercase().as_str()))
}

/// Its text for a sentence, or its id while the text is not known.
pub(crate) fn called(s: &Statement) -> String {
    let Some(text) = &s.text else {
        return format!("the statement with queryid {}", s.queryid);
    };
    if text.chars().count() <= IN_A_SENTENCE {
        return format!("`{text}`");
    }
    let start: String = text.chars().take(IN_A_SENTENCE).collect();
    format!("`{}…`", start.trim_end())
}

/// What a finding about it is about: the same on every server and after every upgrade, as far as the text is known.
pub(crate) fn subject(s: &Statement) -> Subject {
    let id = s.fingerprint.as_deref().unwrap_or(&s.queryid);
    Subject::new("statement", format!("{}/{}/{id}", s.database, s.user))
}

/// For the evidence.
pub(crate) fn as_json(s: &Statement) -> Value {
    json!({
        "queryid": s.queryid, "fingerprint": s.fingerprint, "text": s.text, "database": s.database, "user": s.user,
        "calls": s.work.calls, "mean_ms": s.work.mean_ms(), "ms": s.work.ms, "rows_per_call": s.work.rows_per_call(),
        "blocks_per_call": s.work.blocks_per_call(), "temp_blocks": s.work.temp_blocks, "io_ms": s.work.io_ms,
        "usual": s.usual,
    })
}

/// A part in per cent.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part * 100.0 / whole } else { 0.0 }
}

/// A duration in milliseconds, for people.
pub(crate) fn ms(value: f64) -> String {
    if value >= 1000.0 {
        format!("{:.1} s", value / 1000.0)
    } else if value >= 10.0 {
        format!("{value:.0} ms")
    } else {
        format!("{value:.1} ms")
    }
}

/// A count as a number to calculate with.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn f(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_maintenance_and_an_unknown_text_is_not() {
        assert!(maintenance(Some("COPY public.notes TO stdout")));
        assert!(maintenance(Some(" vacuum (analyze) t")));
        assert!(!maintenance(Some("select * from copy")) && !maintenance(None));
    }

    #[test]
    fn a_long_text_is_cut_in_a_sentence() {
        let s = Statement {
            text: Some("select a ".repeat(40)),
            ..Statement::default()
        };
        assert!(called(&s).chars().count() < 90 && called(&s).ends_with("…`"));
        assert_eq!(
            (ms(0.25), ms(250.4), ms(2500.0)),
            ("0.2 ms".into(), "250 ms".into(), "2.5 s".into())
        );
    }
}
