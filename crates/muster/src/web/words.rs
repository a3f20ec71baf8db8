//! The small words of the page: states, times, digests, counts.
//!
//! Knows one wording and one look for each. Refuses to make `unknown` look like anything else.

use maud::{Markup, html};
use muster_model::{Health, IncidentSeverity, IncidentState, RunState, Severity, Time};

/// A state as a class of the style sheet.
pub(super) const fn health_class(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warning => "warn",
        Health::Unknown => "unknown",
        Health::Critical => "crit",
    }
}

/// A state as one word.
pub(super) const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warning => "warning",
        Health::Unknown => "unknown",
        Health::Critical => "critical",
    }
}

/// A word on a coloured ground; the word carries the meaning, the colour and the mark only help.
pub(super) fn chip(class: &str, word: &str) -> Markup {
    html! { span class={ "chip " (class) } { (word) } }
}

/// A component's state.
pub(super) fn health(h: Health) -> Markup {
    chip(health_class(h), health_word(h))
}

/// Something that was not read, and why.
pub(super) fn unknown(why: &str) -> Markup {
    html! {
        span.not-known { "unknown" }
        @if !why.is_empty() { span.muted { " · " (why) } }
    }
}

/// How bad a finding is.
pub(super) fn severity(s: Severity) -> Markup {
    match s {
        Severity::Info => chip("info", "info"),
        Severity::Warning => chip("warn", "warning"),
        Severity::Critical => chip("crit", "critical"),
    }
}

/// How bad an incident is.
pub(super) fn incident_severity(s: IncidentSeverity) -> Markup {
    match s {
        IncidentSeverity::P0 => chip("crit solid", "P0"),
        IncidentSeverity::P1 => chip("crit", "P1"),
        IncidentSeverity::P2 => chip("warn", "P2"),
    }
}

/// Where an incident stands.
pub(super) fn incident_state(s: IncidentState) -> Markup {
    match s {
        IncidentState::Open => chip("info", "open"),
        IncidentState::Mitigating => chip("busy", "being repaired"),
        IncidentState::Resolved => chip("ok", "over"),
        IncidentState::Escalated => chip("crit", "a person was called"),
    }
}

/// Where a run stands.
pub(super) fn run_state(s: &RunState) -> Markup {
    match s {
        RunState::WaitingApproval => chip("busy", "waits for approval"),
        RunState::Waiting { what } => chip("busy", &format!("waits for {what}")),
        RunState::Ready => chip("busy", "ready"),
        RunState::Running => chip("busy", "at work"),
        RunState::Parked => chip("warn", "parked"),
        RunState::Ended => chip("info", "ended"),
    }
}

/// A point in time. The script adds how long ago that is, so that the text itself stays the same from pass to pass.
pub(super) fn ago(t: Time, today: Time) -> Markup {
    html! { time datetime=(t) title=(t) data-ago { (clock(t, today)) } }
}

/// A point in time without its age.
pub(super) fn at(t: Time, today: Time) -> Markup {
    html! { time datetime=(t) title=(t) { (clock(t, today)) } }
}

/// A point in time ahead; the script adds how long it takes until then.
pub(super) fn until(t: Time, today: Time) -> Markup {
    html! { time datetime=(t) title=(t) data-until { (clock(t, today)) } }
}

/// The clock alone within the same day, with the date otherwise.
fn clock(t: Time, today: Time) -> String {
    let (text, now) = (t.to_string(), today.to_string());
    if text.get(..10) == now.get(..10) {
        t.clock()
    } else {
        format!("{} {}", text.get(..10).unwrap_or_default(), t.clock())
    }
}

/// The beginning of a digest, all of it on hovering.
pub(super) fn digest(d: &str) -> Markup {
    html! { code.digest title=(d) { (d.chars().take(12).collect::<String>()) } }
}

/// `1 session`, `3 sessions`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {many}")
    }
}

/// A name and its value in a list of facts.
pub(super) fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Text in which `words between backticks` are names of things.
pub(super) fn prose(text: &str) -> Markup {
    let whole = text.matches('`').count().is_multiple_of(2);
    html! {
        @if whole {
            @for (i, piece) in text.split('`').enumerate() {
                @if i % 2 == 1 { code { (piece) } } @else { (piece) }
            }
        } @else { (text) }
    }
}

/// The first letter large: summaries of rules begin small because tables quote them.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Cut for a drawing; the whole text stands in the tooltip.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_shown_only_when_it_is_another_day() {
        let t: Time = "2026-11-20T03:04:05Z".parse().expect("a time");
        let next: Time = "2026-11-21T03:04:05Z".parse().expect("a time");
        assert_eq!(clock(t, t), "03:04:05");
        assert_eq!(clock(t, next), "2026-11-20 03:04:05");
    }

    #[test]
    fn backticks_become_code_only_in_pairs_and_stay_escaped() {
        assert_eq!(prose("a `b<` c").into_string(), "a <code>b&lt;</code> c");
        assert_eq!(prose("it`s").into_string(), "it`s");
    }

    #[test]
    fn cutting_counts_letters_not_bytes() {
        assert_eq!(cut("äöüß", 4), "äöüß");
        assert_eq!(cut("äöüßa", 4), "äöü…");
    }
}
