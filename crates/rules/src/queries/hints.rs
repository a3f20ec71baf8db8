//! Facts about a plan that are worth a sentence: what costs most, what is read in vain, what was guessed wrong, what went to disk.

use serde::Serialize;

use super::condition::{Shape, conditions};
use super::reasons::relabelled;
use super::tree::{Node, PlanTree, rows};
use muster_model::query::TableFacts;

/// A table below so many rows is read from end to end as quickly as by an index.
pub const SMALL: f64 = 10_000.0;
/// A filter that lets through at most this share is one that an index might serve.
const FEW: f64 = 0.1;
/// A guess that is wrong by this factor.
const WRONG: f64 = 10.0;

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// `read_in_vain`, `misestimate`, …
    pub kind: &'static str,
    /// A sentence.
    pub text: String,
}

/// What costs most, as a sentence.
#[must_use]
pub fn heaviest(plan: &PlanTree) -> String {
    let mut all: Vec<&Node> = Vec::new();
    plan.root.each(&mut |n| all.push(n));
    let measured = plan.root.ms.is_some();
    let weight = |n: &Node| {
        if measured {
            n.own_ms().unwrap_or_default()
        } else {
            n.own_cost()
        }
    };
    let total: f64 = all.iter().map(|n| weight(n)).sum();
    let Some(most) = all.into_iter().max_by(|a, b| weight(a).total_cmp(&weight(b))) else {
        return String::new();
    };
    let share = if total > 0.0 {
        weight(most) * 100.0 / total
    } else {
        0.0
    };
    if measured {
        format!(
            "{} takes most: {:.2} ms, {share:.0} % of what its nodes took.",
            most.name(),
            weight(most)
        )
    } else {
        format!(
            "{} costs most: {:.0} of {total:.0} ({share:.0} %), as the planner estimates.",
            most.name(),
            weight(most)
        )
    }
}

/// The facts.
#[must_use]
pub fn hints(plan: &PlanTree, tables: &[TableFacts]) -> Vec<Hint> {
    let mut out = Vec::new();
    plan.root.each(&mut |n| {
        let table = tables
            .iter()
            .find(|t| n.relation.as_deref() == Some(&t.name) && n.schema.as_deref() == Some(&t.schema));
        out.extend(in_vain(n, table));
        out.extend(misestimate(n));
        out.extend(spill(n));
        out.extend(unservable(n, table));
        out.extend(again(n));
        if let Some(gone) = n.subplans_removed {
            out.push(Hint {
                kind: "partitions_hidden",
                text: format!("{gone} partitions are not shown: before PostgreSQL 16 a generic plan prunes by NULL. Give values with `--param`."),
            });
        }
        if n.condition("One-Time Filter") == Some("false") {
            out.push(Hint {
                kind: "never_true",
                text: "A condition can never be true: no table is read.".to_owned(),
            });
        }
        let empty = n.kind == "Limit"
            && n.actual_rows == Some(0.0)
            && n.children.first().is_some_and(|c| c.loops == Some(0.0));
        if empty {
            out.push(Hint {
                kind: "limit_zero",
                text: "LIMIT 0: what is below it was never carried out.".to_owned(),
            });
        }
    });
    out.dedup();
    out
}

fn in_vain(n: &Node, table: Option<&TableFacts>) -> Option<Hint> {
    if n.kind != "Seq Scan" || n.condition("Filter").is_none() {
        return None;
    }
    let text = if let (Some(removed), Some(came), Some(loops)) = (n.removed, n.actual_rows, n.loops) {
        let (removed, came) = (removed * loops, came * loops);
        let looked = removed + came;
        if looked < SMALL || came > looked * FEW {
            return None;
        }
        format!(
            "{} reads {} rows to keep {}: its filter takes out {:.1} %.",
            n.name(),
            rows(looked),
            rows(came),
            removed * 100.0 / looked
        )
    } else {
        let of = table?.rows.filter(|r| *r >= SMALL)?;
        if n.all_rows() > of * FEW {
            return None;
        }
        format!(
            "{} reads about {} rows to keep about {}, as the planner estimates.",
            n.name(),
            rows(of),
            rows(n.all_rows().round())
        )
    };
    Some(Hint {
        kind: "read_in_vain",
        text,
    })
}

fn misestimate(n: &Node) -> Option<Hint> {
    let came = n.actual_rows?;
    let (low, high) = (came.min(n.rows).max(1.0), came.max(n.rows));
    // Below a LIMIT less comes than was expected, because nobody asked for more.
    let cut = n.rows > came && n.loops.is_some() && n.kind != "Seq Scan" && n.removed.is_none();
    if high / low < WRONG || high < 100.0 || cut {
        return None;
    }
    Some(Hint {
        kind: "misestimate",
        text: format!(
            "{}: {} rows were expected and {} came, {:.0} times {}.",
            n.name(),
            rows(n.rows),
            rows(came),
            high / low,
            if came > n.rows { "more" } else { "fewer" }
        ),
    })
}

fn spill(n: &Node) -> Option<Hint> {
    let kb = n.disk_kb?;
    Some(Hint {
        kind: "spill",
        text: format!(
            "{} did not fit into work_mem and wrote {kb} kB to disk.",
            n.name()
        ),
    })
}

fn unservable(n: &Node, table: Option<&TableFacts>) -> Option<Hint> {
    let filter = n.condition("Filter")?;
    n.relation.as_ref()?;
    let found = conditions(filter).into_iter().find_map(|c| {
        c.asks.into_iter().find_map(|(named, shape)| match shape {
            Shape::Cast(to, _) if !relabelled(table, &named.column, &to) => {
                Some((named.column, format!("casts it to {to}")))
            }
            Shape::Function(f) => Some((named.column, format!("puts it through {f}"))),
            _ => None,
        })
    });
    found
        .map(|(column, what)| Hint {
            kind: "no_plain_index",
            text: format!("The filter on {column} {what}: an index on {column} itself cannot serve it."),
        })
        .or_else(|| {
            n.leading_wildcard.contains(&"Filter".to_owned()).then(|| Hint {
                kind: "leading_wildcard",
                text: "The filter has a pattern that begins with a wildcard: a B-tree cannot serve it."
                    .to_owned(),
            })
        })
}

fn again(n: &Node) -> Option<Hint> {
    let loops = n.loops.filter(|l| *l >= 100.0)?;
    (n.kind == "Seq Scan").then(|| Hint {
        kind: "read_again",
        text: format!("{} is carried out {} times.", n.name(), rows(loops)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::sample;
    use super::*;

    #[test]
    fn what_is_read_in_vain_is_told_with_its_numbers() {
        let plan = sample();
        let all = hints(&plan, &[]);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(
            all[0].text,
            "Seq Scan on public.orders o reads 200000 rows to keep 40: its filter takes out 100.0 %."
        );
        assert!(heaviest(&plan).starts_with("Seq Scan on public.orders o costs most: 4635 of"));
    }

    #[test]
    fn wrong_guesses_and_spills_are_told_and_small_ones_are_not() {
        let mut plan = sample();
        let scan = &mut plan.root.children[0].children[0];
        scan.actual_rows = Some(4000.0);
        scan.disk_kb = Some(64);
        let kinds: Vec<&str> = hints(&plan, &[]).iter().map(|h| h.kind).collect();
        assert_eq!(kinds, ["read_in_vain", "misestimate", "spill"]);
        let scan = &mut plan.root.children[0].children[0];
        (scan.actual_rows, scan.removed, scan.disk_kb) = (Some(50.0), Some(60.0), None);
        assert_eq!(hints(&plan, &[]), Vec::new());
    }
}
