//! What the rules about statements share: the window with everything that must be there before it is judged, and how a
//! statement is called in a sentence.

use muster_model::snapshot::{ServerView, Statement, StatementWindow};
use muster_model::{Finding, Span, Subject};
use serde_json::{Value, json};

use crate::judge::{Context, Mode};
use crate::work::first_words;

/// Shares of less time than this are noise.
const TOO_SHORT: Span = Span::from_secs(10);
/// What is seen in less time than this is told as pending by a check that looks only once.
const A_MINUTE: Span = Span::from_secs(50);
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
    let window = read.window.as_ref()?;
    (window.over >= TOO_SHORT || c.mode == Mode::Check).then_some(window)
}

/// Adds a finding about a window. A check that looks for a second has seen too little for more than a suspicion.
pub(crate) fn tell(c: &mut Context<'_>, w: &StatementWindow, mut found: Finding) {
    found.pending = c.mode == Mode::Check && w.over < A_MINUTE;
    found.incident &= !found.pending;
    c.findings.push(found);
}

/// Whether it is maintenance or a dump; a statement whose text is not known is none.
pub(crate) fn maintenance(text: Option<&str>) -> bool {
    let first = text.map(|t| first_words(t, 1)).unwrap_or_default();
    first.first().is_some_and(|w| MAINTENANCE.contains(&w.as_str()))
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
    use crate::judge::{RuleState, judge};
    use crate::sample;

    #[test]
    fn a_dump_is_maintenance_and_an_unknown_text_is_not() {
        assert!(maintenance(Some("COPY public.notes TO stdout")));
        assert!(maintenance(Some(" vacuum (analyze) t")));
        assert!(!maintenance(Some("select * from copy")) && !maintenance(None));
    }

    #[test]
    fn a_second_is_too_short_to_judge_and_a_check_says_that_it_is_pending() {
        let judged = |over: Span, mode: Mode| {
            let mut s = sample::statements::slow(500);
            if let Some(w) = s.servers[0]
                .statements
                .as_mut()
                .and_then(|p| p.value.window.as_mut())
            {
                w.over = over;
            }
            let j = judge(&RuleState::default(), &s, &crate::defaults(), mode).1;
            j.findings.first().map(|f| (f.pending, f.incident))
        };
        assert_eq!(judged(Span::from_secs(1), Mode::Watch), None);
        assert_eq!(judged(Span::from_secs(1), Mode::Check), Some((true, false)));
        assert_eq!(judged(Span::from_secs(15), Mode::Watch), Some((false, true)));
        assert_eq!(judged(Span::from_secs(60), Mode::Check), Some((false, true)));
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
