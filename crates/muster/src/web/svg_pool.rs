//! The pool as a drawing: waiting clients on the left, the pool's connections in the middle coloured by what their
//! session does, PostgreSQL on the right.
//!
//! Knows the evidence keys `waiting`, `maxwait_ms`, `size`, `active` and `sessions`
//! (`[{pid, state, age_ms, owner, client}]`) and draws nothing without size and sessions. A number that is absent is
//! drawn as `?`, never as zero.

use std::collections::BTreeMap;

use maud::{Markup, html};
use muster_model::{Record, Span};
use serde_json::Value;

use super::words::cut;

/// Connections drawn one by one; sessions come before free slots.
const SHOWN: usize = 14;
const DOTS: usize = 12;
const STEP: usize = 22;
const TOP: usize = 26;
const LEFT: usize = 96;
const RIGHT: usize = 306;

struct Slot {
    pid: Option<i64>,
    state: String,
    age_ms: Option<u64>,
    owner: String,
    client: String,
}

/// The class of a session state; what is not known has a look of its own.
pub(super) fn session_class(state: &str) -> &'static str {
    match state {
        "active" | "fastpath function call" => "st-active",
        "idle" => "st-idle",
        s if s.starts_with("idle in transaction") => "st-held",
        _ => "st-unknown",
    }
}

/// A session state for people.
pub(super) fn session_word(state: &str) -> &str {
    if state.is_empty() { "state unknown" } else { state }
}

fn legend_word(class: &str) -> &'static str {
    match class {
        "st-active" => "active",
        "st-idle" => "idle",
        "st-held" => "idle in transaction",
        "st-free" => "free",
        _ => "unknown",
    }
}

/// The drawing; `key` makes its ids unique on the page.
pub(super) fn draw(evidence: &Record, key: &str) -> Option<Markup> {
    let number = |name: &str| evidence.get(name).and_then(whole);
    let size = usize::try_from(number("size")?).ok()?;
    let mut slots: Vec<Slot> = evidence.get("sessions")?.as_array()?.iter().map(slot).collect();
    // Worst first, so that folding never hides what holds the pool.
    slots.sort_by_key(|s| (rank(&s.state), std::cmp::Reverse(s.age_ms), s.pid));
    let active = number("active");
    let waiting = number("waiting");
    // Connections that are in use but whose session was not seen are unknown, not free.
    let unseen = active.map_or(0, |a| {
        usize::try_from(a)
            .unwrap_or(0)
            .min(size)
            .saturating_sub(slots.len())
    });
    let free = size.saturating_sub(slots.len() + unseen);
    let mut kinds: Vec<&'static str> = slots.iter().map(|s| session_class(&s.state)).collect();
    kinds.extend(std::iter::repeat_n("st-unknown", unseen));
    kinds.extend(std::iter::repeat_n("st-free", free));
    if kinds.is_empty() {
        return None;
    }
    let drawn = kinds.len().min(SHOWN);
    let folded = fold(&kinds[drawn..]);
    let bottom = TOP + drawn * STEP + if folded.is_empty() { 0 } else { 18 };
    let middle = TOP + drawn * STEP / 2;
    let legend = tally(&kinds);
    Some(html! {
        svg.drawing viewBox={ "0 0 360 " (bottom + 8 + legend.len().div_ceil(2) * 18) } role="img"
            aria-labelledby={ "d-" (key) "-t d-" (key) "-d" } {
            title id={ "d-" (key) "-t" } { "Connection pool" }
            desc id={ "d-" (key) "-d" } { (describe(waiting, number("maxwait_ms"), active, size, &legend)) }
            text.small x="0" y="14" { "clients" }
            text.small x=(LEFT) y="14" { "pool: " (or_unknown(active)) " of " (size) " in use" }
            text.small.end x="360" y="14" { "server" }
            @for i in 0..drawn {
                @let y = TOP + i * STEP + STEP / 2 - 1;
                @if kinds[i] != "st-free" { path.wire d={ "M" (RIGHT) " " (y) " H 334" } {} }
            }
            (clients(waiting, number("maxwait_ms"), middle, drawn))
            @for (i, kind) in kinds.iter().take(drawn).enumerate() { (draw_slot(slots.get(i), kind, i)) }
            @if !folded.is_empty() {
                text.fold x=(LEFT + 4) y=(TOP + drawn * STEP + 12) { (folded) }
            }
            rect.server x="334" y=(TOP) width="25" height=(drawn * STEP - 3) rx="4" {}
            @if drawn >= 4 {
                text.server-name x="346" y=(middle) transform={ "rotate(-90 346 " (middle) ")" } { "PostgreSQL" }
            }
            @for (i, (class, n)) in legend.iter().enumerate() {
                @let (x, y) = (LEFT * (i % 2) * 2, bottom + 8 + i / 2 * 18);
                g class={ "key " (class) } {
                    rect.box x=(x + 1) y=(y) width="11" height="11" rx="2" {}
                    text.small x=(x + 18) y=(y + 10) { (n) " " (legend_word(class)) }
                }
            }
        }
    })
}

fn whole(v: &Value) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // a count or milliseconds, cut to whole ones
    v.as_u64()
        .or_else(|| v.as_f64().filter(|f| *f >= 0.0).map(|f| f as u64))
}

fn slot(v: &Value) -> Slot {
    let text = |key: &str| v.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Slot {
        pid: v.get("pid").and_then(Value::as_i64),
        state: text("state"),
        age_ms: v.get("age_ms").and_then(whole),
        owner: text("owner"),
        client: text("client"),
    }
}

fn rank(state: &str) -> u8 {
    match session_class(state) {
        "st-held" => 0,
        "st-active" => 1,
        "st-idle" => 3,
        _ => 2,
    }
}

fn or_unknown(n: Option<u64>) -> String {
    n.map_or_else(|| "?".to_owned(), |n| n.to_string())
}

/// How many of each kind, in the order in which they are drawn.
fn tally(kinds: &[&'static str]) -> Vec<(&'static str, usize)> {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for k in kinds {
        *counted.entry(k).or_default() += 1;
    }
    ["st-held", "st-active", "st-unknown", "st-idle", "st-free"]
        .into_iter()
        .filter_map(|k| counted.get(k).map(|n| (k, *n)))
        .collect()
}

fn fold(hidden: &[&'static str]) -> String {
    if hidden.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = tally(hidden)
        .iter()
        .map(|(k, n)| format!("{n} {}", legend_word(k)))
        .collect();
    format!("… and {} more: {}", hidden.len(), parts.join(", "))
}

fn describe(
    waiting: Option<u64>,
    longest: Option<u64>,
    active: Option<u64>,
    size: usize,
    kinds: &[(&'static str, usize)],
) -> String {
    let clients = waiting.map_or_else(
        || "How many clients wait is unknown.".to_owned(),
        |n| {
            format!(
                "{n} clients wait{}.",
                longest.map_or(String::new(), |ms| format!(
                    ", the longest for {}",
                    Span::from_millis(ms).human()
                ))
            )
        },
    );
    let states: Vec<String> = kinds
        .iter()
        .map(|(k, n)| format!("{n} {}", legend_word(k)))
        .collect();
    format!(
        "{clients} {} of {size} connections are in use: {}.",
        or_unknown(active),
        states.join(", ")
    )
}

fn clients(waiting: Option<u64>, longest: Option<u64>, middle: usize, drawn: usize) -> Markup {
    let dots = usize::try_from(waiting.unwrap_or(0))
        .unwrap_or(usize::MAX)
        .min(DOTS);
    let rows = dots.div_ceil(4);
    let top = middle.saturating_sub(rows * 7);
    let class = match waiting {
        None => "clients st-unknown",
        Some(0) => "clients none",
        Some(_) => "clients some",
    };
    html! {
        g class=(class) {
            text.count x="0" y=(top.saturating_sub(8).max(34)) { (or_unknown(waiting)) " waiting" }
            @for i in 0..dots {
                circle.client cx=(6 + i % 4 * 14) cy=(top.max(42) + 6 + i / 4 * 14) r="4.5" {}
            }
            @if let Some(ms) = longest.filter(|_| waiting.is_some_and(|n| n > 0)) {
                text.small x="0" y=(top.max(42) + rows * 14 + 14) { "up to " (Span::from_millis(ms).human()) }
            }
            @if waiting.is_some_and(|n| n > 0) {
                path.wire d={ "M62 " (top.max(42) + rows * 7 - 1) " H 82 M90 " (TOP) " H 86 V" (TOP + drawn * STEP - 3) " H 90" } {}
            }
        }
    }
}

fn draw_slot(slot: Option<&Slot>, kind: &str, i: usize) -> Markup {
    let y = TOP + i * STEP;
    let pid = slot.and_then(|s| s.pid).map_or(String::new(), |p| p.to_string());
    let age = slot
        .and_then(|s| s.age_ms)
        .map_or(String::new(), |ms| Span::from_millis(ms).human());
    let who = slot.map_or("", |s| if s.owner.is_empty() { &s.client } else { &s.owner });
    html! {
        g class={ "node " (kind) } {
            title {
                @match slot {
                    Some(s) => {
                        "process " (if pid.is_empty() { "?" } else { &pid }) ", " (session_word(&s.state)) " " (age)
                        @if !s.owner.is_empty() { ", " (s.owner) }
                        @if !s.client.is_empty() { ", client " (s.client) }
                    }
                    None => (legend_word(kind)),
                }
            }
            rect.box x=(LEFT) y=(y) width=(RIGHT - LEFT) height=(STEP - 3) rx="3" {}
            rect.edge x=(LEFT) y=(y) width="5" height=(STEP - 3) rx="2" {}
            @if slot.is_some() {
                text.name x=(LEFT + 11) y=(y + 13) { (pid) }
                text.small x=(LEFT + 62) y=(y + 13) { (cut(who, 15)) }
                text.small.end x=(RIGHT - 6) y=(y + 13) { (age) }
            } @else {
                text.small x=(LEFT + 11) y=(y + 13) { (legend_word(kind)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn drawn(v: &Value) -> Option<String> {
        draw(v.as_object().expect("an object"), "k").map(Markup::into_string)
    }

    fn sessions(n: usize, state: &str) -> Vec<Value> {
        (0..n)
            .map(|i| json!({"pid": 100 + i, "state": state, "age_ms": 1000, "owner": "app", "client": ""}))
            .collect()
    }

    #[test]
    fn states_have_their_own_look_and_the_rest_is_free() {
        let mut s = sessions(2, "idle in transaction (aborted)");
        s.extend(sessions(1, "active"));
        let html = drawn(&json!({"size": 5, "active": 3, "waiting": 7, "maxwait_ms": 6000, "sessions": s}))
            .expect("drawn");
        assert_eq!(html.matches("node st-held").count(), 2);
        assert_eq!(html.matches("node st-active").count(), 1);
        assert_eq!(html.matches("node st-free").count(), 2);
        assert!(html.contains("7 waiting") && html.contains("up to 6s") && html.contains("3 of 5 in use"));
        assert_eq!(html.matches("class=\"client\"").count(), 7);
    }

    #[test]
    fn a_large_pool_folds_and_tells_what_is_folded() {
        let html =
            drawn(&json!({"size": 150, "active": 100, "waiting": 400, "sessions": sessions(100, "active")}))
                .expect("drawn");
        assert!(html.contains("… and 136 more: 86 active, 50 free"), "{html}");
        assert_eq!(html.matches("class=\"client\"").count(), DOTS);
    }

    #[test]
    fn what_is_absent_is_a_question_mark_and_unseen_is_not_free() {
        let html = drawn(&json!({"size": 3, "sessions": sessions(1, "")})).expect("drawn");
        assert!(
            html.contains("? waiting") && html.contains("? of 3 in use") && html.contains("node st-unknown")
        );
        let html = drawn(&json!({"size": 3, "active": 3, "sessions": sessions(1, "idle")})).expect("drawn");
        assert_eq!(
            (
                html.matches("node st-unknown").count(),
                html.matches("node st-free").count()
            ),
            (2, 0)
        );
    }

    #[test]
    fn nothing_is_drawn_without_size_and_sessions() {
        for v in [
            json!({}),
            json!({"size": 4}),
            json!({"size": 4, "sessions": 12}),
            json!({"sessions": []}),
            json!({"size": 0, "sessions": []}),
        ] {
            assert!(drawn(&v).is_none(), "{v}");
        }
    }

    #[test]
    fn text_is_escaped() {
        let html = drawn(
            &json!({"size": 1, "sessions": [{"pid": 1, "state": "<x>", "owner": "<b>", "client": "<i>&"}]}),
        )
        .expect("drawn");
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("<x>"));
    }
}
