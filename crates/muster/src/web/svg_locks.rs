//! The lock tree as a drawing: who holds on top, who waits for whom below, many waiters folded to a number.
//!
//! Knows the shape `{nodes: [{pid, label, state, age_ms, mode, waiting}], edges: [{from, to}], left_out}` of the evidence key
//! `tree` (`from` waits for `to`; so many sessions of a big tree are not in it) and draws nothing when it is not there. Colours come from classes, so the drawing
//! follows light and dark. Drawn 360 units wide, so that its text stays legible on a phone.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use muster_model::{Record, Span};
use serde_json::Value;

use super::svg_pool::{session_class, session_word};
use super::words::cut;

/// Waiters drawn one by one.
const SHOWN: usize = 12;
/// Holders drawn one by one.
const ROOTS: usize = 6;
const WIDTH: usize = 360;
/// Height of a session that blocks others, and of one that only waits.
const TALL: usize = 34;
const LOW: usize = 20;
const GAP: usize = 5;
const INDENT: usize = 18;
const DEEPEST: usize = 6;

struct Node {
    pid: i64,
    label: String,
    state: String,
    age_ms: u64,
    mode: Option<String>,
    waiting: bool,
}

struct Row<'a> {
    node: &'a Node,
    depth: usize,
    parent: Option<usize>,
    /// Where it stands.
    y: usize,
    /// Whether it gets two lines.
    tall: bool,
}

impl Row<'_> {
    fn height(&self) -> usize {
        if self.tall { TALL } else { LOW }
    }
}

/// The drawing; `key` makes its ids unique on the page.
pub(super) fn draw(evidence: &Record, key: &str) -> Option<Markup> {
    let tree = evidence.get("tree")?;
    let nodes: BTreeMap<i64, Node> = tree
        .get("nodes")?
        .as_array()?
        .iter()
        .filter_map(node)
        .map(|n| (n.pid, n))
        .collect();
    let edges: BTreeSet<(i64, i64)> = tree.get("edges")?.as_array()?.iter().filter_map(edge).collect();
    if nodes.is_empty() {
        return None;
    }
    let left_out = tree.get("left_out").and_then(Value::as_u64).unwrap_or(0);
    let left_out = usize::try_from(left_out).unwrap_or(usize::MAX);
    let waiting = nodes.values().filter(|n| n.waiting).count();
    let waiters = waiting.saturating_add(left_out);
    let rows = arrange(&nodes, &edges);
    let shown = rows.iter().filter(|r| r.node.waiting).count();
    let (holders, drawn_holders) = (nodes.len() - waiting, rows.len() - shown);
    let mut folds = Vec::new();
    if holders > drawn_holders {
        folds.push(format!("… and {} more that hold", holders - drawn_holders));
    }
    if waiters > shown {
        folds.push(format!("… and {} more", waiters - shown));
    }
    let bottom = rows.last().map_or(0, |r| r.y + r.height() + GAP);
    let height = bottom + folds.len() * 20 + 2;
    Some(html! {
        svg.drawing viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
            aria-labelledby={ "d-" (key) "-t d-" (key) "-d" } {
            title id={ "d-" (key) "-t" } { "Lock tree" }
            desc id={ "d-" (key) "-d" } { (describe(&rows, holders, waiters)) }
            @for (i, row) in rows.iter().enumerate() {
                @if let Some(parent) = row.parent { (elbow(&rows, parent, i)) }
            }
            @for row in &rows { (draw_row(row)) }
            @for (i, fold) in folds.iter().enumerate() {
                text.fold x=(INDENT + 8) y=(bottom + 14 + i * 20) { (fold) }
            }
        }
    })
}

fn node(v: &Value) -> Option<Node> {
    let text = |key: &str| v.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Node {
        pid: v.get("pid")?.as_i64()?,
        label: text("label").unwrap_or_default(),
        state: text("state").unwrap_or_default(),
        age_ms: v.get("age_ms").and_then(Value::as_u64).unwrap_or(0),
        mode: text("mode"),
        waiting: v.get("waiting").and_then(Value::as_bool).unwrap_or(false),
    })
}

fn edge(v: &Value) -> Option<(i64, i64)> {
    Some((v.get("from")?.as_i64()?, v.get("to")?.as_i64()?))
}

/// A forest: every waiter hangs under the nearest to the root of those that block it; rings get a root of their own.
fn arrange<'a>(nodes: &'a BTreeMap<i64, Node>, edges: &BTreeSet<(i64, i64)>) -> Vec<Row<'a>> {
    let mut below: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (from, to) in edges {
        if nodes.contains_key(from) && nodes.contains_key(to) && from != to {
            below.entry(*to).or_default().push(*from);
        }
    }
    // Those who wait longest first, as they stand in the queue.
    let order = |pids: &mut Vec<i64>| pids.sort_by_key(|p| (std::cmp::Reverse(nodes[p].age_ms), *p));
    let mut roots: Vec<i64> = nodes.values().filter(|n| !n.waiting).map(|n| n.pid).collect();
    order(&mut roots);
    roots.sort_by_key(|p| std::cmp::Reverse(below.get(p).map_or(0, Vec::len)));
    let mut adopted: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut seen: BTreeSet<i64> = BTreeSet::new();
    let mut tops = roots.clone();
    let mut front = roots;
    seen.extend(&front);
    loop {
        while !front.is_empty() {
            let mut next = Vec::new();
            for pid in &front {
                let mut children: Vec<i64> = below
                    .get(pid)
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|c| seen.insert(*c))
                    .collect();
                order(&mut children);
                next.extend(&children);
                adopted.insert(*pid, children);
            }
            front = next;
        }
        let Some(lost) = nodes.keys().find(|p| !seen.contains(p)) else {
            break;
        };
        seen.insert(*lost);
        tops.push(*lost);
        front = vec![*lost];
    }
    let mut rows: Vec<Row<'a>> = Vec::new();
    let (mut shown, mut holders, mut bottom) = (0, 0, 1);
    let mut stack: Vec<(i64, usize, Option<usize>)> = tops.into_iter().rev().map(|p| (p, 0, None)).collect();
    while let Some((pid, depth, parent)) = stack.pop() {
        let node = &nodes[&pid];
        let (used, most) = if node.waiting {
            (&mut shown, SHOWN)
        } else {
            (&mut holders, ROOTS)
        };
        if *used >= most {
            continue;
        }
        *used += 1;
        let here = rows.len();
        rows.push(Row {
            node,
            depth: depth.min(DEEPEST),
            parent,
            y: bottom,
            tall: !node.waiting || adopted.get(&pid).is_some_and(|c| !c.is_empty()),
        });
        bottom += rows[here].height() + GAP;
        let children = adopted.get(&pid).into_iter().flatten().rev();
        stack.extend(children.map(|c| (*c, depth + 1, Some(here))));
    }
    rows
}

fn describe(rows: &[Row], holders: usize, waiters: usize) -> String {
    let first = rows.first().map_or(String::new(), |r| {
        format!(
            " On top: process {} ({}), {}.",
            r.node.pid,
            r.node.label,
            second_line(r.node)
        )
    });
    format!("{holders} hold locks, {waiters} wait for them.{first}")
}

fn second_line(n: &Node) -> String {
    let age = Span::from_millis(n.age_ms).human();
    if n.waiting {
        n.mode
            .as_ref()
            .map_or_else(|| format!("waits {age}"), |m| format!("waits {age} for {m}"))
    } else {
        format!("{} {age}", session_word(&n.state))
    }
}

fn elbow(rows: &[Row], parent: usize, child: usize) -> Markup {
    let from = (
        rows[parent].depth * INDENT + 9,
        rows[parent].y + rows[parent].height(),
    );
    let to = (
        rows[child].depth * INDENT,
        rows[child].y + rows[child].height() / 2,
    );
    // Past the deepest indent child and parent start alike; then the line would run backwards.
    if to.0 < from.0 {
        return html! {};
    }
    html! { path.wire d={ "M" (from.0) " " (from.1) " V" (to.1) " H" (to.0) } {} }
}

fn draw_row(row: &Row) -> Markup {
    let (x, y) = (row.depth * INDENT + 1, row.y);
    let width = WIDTH - x - 1;
    let n = row.node;
    let name = if n.pid == 0 {
        n.label.clone()
    } else {
        format!("{} · {}", n.pid, n.label)
    };
    let doing = second_line(n);
    let class = if n.waiting {
        "st-waits"
    } else {
        session_class(&n.state)
    };
    // On one line the mode is short, because its tail says nothing: `29s AccessShare`.
    let brief = format!(
        "{} {}",
        Span::from_millis(n.age_ms).human(),
        n.mode.as_deref().map_or("", |m| m.trim_end_matches("Lock"))
    );
    let room = (width - 26).saturating_sub(brief.chars().count() * 6);
    html! {
        g class={ "node " (class) } {
            title { (name) ": " (doing) }
            rect.box x=(x) y=(y) width=(width) height=(row.height()) rx="4" {}
            rect.edge x=(x) y=(y) width="5" height=(row.height()) rx="2" {}
            @if row.tall {
                text.name x=(x + 13) y=(y + 14) { (cut(&name, (width - 20) / 8)) }
                text.small x=(x + 13) y=(y + 28) { (cut(&doing, (width - 20) / 6)) }
            } @else {
                text.name x=(x + 13) y=(y + 14) { (cut(&name, room / 8)) }
                text.small.end x=(x + width - 7) y=(y + 14) { (brief.trim_end()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample;
    use super::*;

    fn record(v: &Value) -> Record {
        v.as_object().expect("an object").clone()
    }

    #[test]
    fn waiters_fold_at_twelve() {
        let html = draw(&sample::tree(150), "k").expect("drawn").into_string();
        assert!(html.contains("… and 138 more<"), "{html}");
        assert_eq!(html.matches("st-waits").count(), 12);
        let html = draw(&sample::tree(12), "k").expect("drawn").into_string();
        assert!(!html.contains("… and"));
        let mut part = sample::tree(150);
        part["tree"]["left_out"] = json!(300);
        let html = draw(&part, "k").expect("drawn").into_string();
        assert!(html.contains("… and 438 more<"), "{html}");
    }

    #[test]
    fn a_ring_ends_and_every_session_is_drawn_once() {
        let ring = json!({"tree": {
            "nodes": [{"pid": 1, "waiting": true}, {"pid": 2, "waiting": true}, {"pid": 3, "waiting": true}],
            "edges": [{"from": 1, "to": 2}, {"from": 2, "to": 1}, {"from": 3, "to": 9}],
        }});
        let html = draw(&record(&ring), "k").expect("drawn").into_string();
        assert_eq!(html.matches("class=\"node").count(), 3);
    }

    #[test]
    fn nothing_is_drawn_without_a_tree() {
        for v in [
            json!({}),
            json!({"tree": 1}),
            json!({"tree": {"nodes": [], "edges": []}}),
        ] {
            assert!(draw(&record(&v), "k").is_none(), "{v}");
        }
    }

    #[test]
    fn a_session_that_cannot_be_seen_looks_unknown() {
        let v = json!({"tree": {"nodes": [{"pid": 5, "label": "not seen", "state": "", "waiting": false}], "edges": []}});
        let html = draw(&record(&v), "k").expect("drawn").into_string();
        assert!(html.contains("st-unknown") && !html.contains("st-active"));
    }

    #[test]
    fn labels_are_escaped() {
        let v = json!({"tree": {"nodes": [{"pid": 5, "label": "<b>&\"", "state": "<i>", "waiting": false}], "edges": []}});
        let html = draw(&record(&v), "k").expect("drawn").into_string();
        assert!(!html.contains("<b>") && !html.contains("<i>") && html.contains("&lt;b&gt;&amp;"));
    }
}
