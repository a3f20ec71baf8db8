//! Why a table is read without an index that is there, or why none could help. Each reason is a fact of the catalogue or the plan.

use muster_model::query::{IndexFacts, TableFacts};
use serde::Serialize;

use super::candidates::alias_of;
use super::condition::{Shape, conditions};
use super::hints::SMALL;
use super::tree::{Node, PlanTree, rows};

/// From this share of a table on, reading it from end to end is no mistake.
const MANY: f64 = 0.1;
/// So many changed rows since the last ANALYZE, as a share, make statistics stale.
const STALE: f64 = 0.2;
/// Below so many changed rows nothing is stale.
const CHANGED: u64 = 1000;

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `cast`, `low_selectivity`, …
    pub kind: &'static str,
    /// `schema.table`.
    pub table: String,
    /// Index that it is about.
    pub index: Option<String>,
    /// A sentence.
    pub text: String,
    /// What to do, where something can be done.
    pub remedy: Option<String>,
}

/// Why statistics of a table cannot be trusted; `None` when they can, as far as is known.
#[must_use]
pub fn stale(t: &TableFacts) -> Option<Reason> {
    let told = |text: String| Reason {
        kind: "stale_statistics",
        table: t.quoted(),
        index: None,
        text,
        remedy: Some(format!("ANALYZE {}; then ask again", t.quoted())),
    };
    let live = t.live.unwrap_or(0);
    let none = t.columns.iter().all(|c| c.distinct.is_none());
    if none && (live >= CHANGED || t.pages >= 10) {
        return Some(told(format!(
            "{} has no statistics: it was never analysed, so the planner guesses",
            t.quoted()
        )));
    }
    let modified = t.modified?;
    #[allow(clippy::cast_precision_loss)]
    let share = modified as f64 / t.rows.unwrap_or(0.0).max(1.0);
    (modified >= CHANGED && share >= STALE).then(|| {
        let believes = t.rows.map_or_else(|| "no".to_owned(), rows);
        told(format!(
            "{modified} rows of {} changed since its last ANALYZE, and the planner still believes in {believes} rows",
            t.quoted()
        ))
    })
}

/// The reasons, of all tables that are read from end to end with a filter.
#[must_use]
pub fn reasons(plan: &PlanTree, tables: &[TableFacts], switched_off: &[String]) -> Vec<Reason> {
    let mut out = Vec::new();
    plan.root.each(&mut |n| {
        let (Some(t), Some(filter)) = (table_of(n, tables), n.condition("Filter")) else {
            return;
        };
        if n.kind == "Seq Scan" {
            out.extend(of_scan(n, t, filter, switched_off));
        }
    });
    let mut once = Vec::new();
    for r in out {
        if !once.contains(&r) {
            once.push(r);
        }
    }
    once
}

/// The table of a node.
#[must_use]
pub fn table_of<'a>(n: &Node, tables: &'a [TableFacts]) -> Option<&'a TableFacts> {
    tables
        .iter()
        .find(|t| n.relation.as_deref() == Some(&t.name) && n.schema.as_deref() == Some(&t.schema))
}

/// Whether a cast is only a word: `varchar` is compared as `text` by the same bytes and the same index.
#[must_use]
pub fn relabelled(table: Option<&TableFacts>, column: &str, to: &str) -> bool {
    to == "text"
        && table
            .and_then(|t| t.column(column))
            .is_some_and(|c| c.type_name.starts_with("character varying"))
}

/// A shape without casts that are only words.
#[must_use]
pub fn settled(shape: Shape, t: &TableFacts, column: &str) -> Shape {
    match shape {
        Shape::Cast(to, inner) if relabelled(Some(t), column, &to) => *inner,
        other => other,
    }
}

fn of_scan(n: &Node, t: &TableFacts, filter: &str, switched_off: &[String]) -> Vec<Reason> {
    let told =
        |kind: &'static str, index: Option<&IndexFacts>, text: String, remedy: Option<String>| Reason {
            kind,
            table: t.quoted(),
            index: index.map(|i| i.name.clone()),
            text,
            remedy,
        };
    let mut out: Vec<Reason> = stale(t).into_iter().collect();
    let before = out.len();
    let alias = alias_of(n);
    let first_key = |column: &str| -> Vec<&IndexFacts> {
        let begins = |i: &&IndexFacts| {
            i.keys
                .first()
                .is_some_and(|k| k.column.as_deref() == Some(column))
        };
        t.indexes.iter().filter(begins).collect()
    };
    for c in conditions(filter) {
        if c.or {
            out.push(told(
                "or",
                None,
                format!(
                    "`{}` is an OR: one index cannot serve it, each side needs its own",
                    c.text
                ),
                Some("write it as a UNION of two SELECTs, or give each side an index".to_owned()),
            ));
        }
        for (named, shape) in c.asks.iter().filter(|(named, _)| named.alias == alias) {
            let column = named.column.as_str();
            let there = first_key(column).first().copied();
            let lies = there.map_or_else(
                || format!("no index on {column} could serve it"),
                |i| format!("index {} is on {column} itself and cannot serve it", i.name),
            );
            let shape = &settled(shape.clone(), t, column);
            match shape {
                Shape::Cast(to, _) => out.push(told(
                    "cast",
                    there,
                    format!("`{}` compares {column} as {to}: {lies}", c.text),
                    Some(format!(
                        "compare {column} with a value of its own type, {}",
                        t.column(column).map_or("that of the column", |c| &c.type_name)
                    )),
                )),
                Shape::Function(f) if !by_expression(t, &c.text, column) => out.push(told(
                    "function",
                    there,
                    format!("`{}` puts {column} through {f}: {lies}", c.text),
                    Some("compare the column itself, or index the same expression".to_owned()),
                )),
                Shape::Pattern if n.leading_wildcard.contains(&"Filter".to_owned()) => out.push(told(
                    "leading_wildcard",
                    there,
                    format!("`{}` has a pattern that begins with a wildcard: {lies}", c.text),
                    Some("a trigram index (pg_trgm, GIN) serves such patterns".to_owned()),
                )),
                Shape::Pattern => {
                    if let Some(i) = first_key(column).into_iter().find(|i| !i.keys[0].prefixes) {
                        out.push(told(
                            "collation",
                            Some(i),
                            format!(
                                "index {} keeps {column} in the order of its collation, and LIKE needs the order of bytes",
                                i.name
                            ),
                            Some(format!("an index on {column} with text_pattern_ops, or COLLATE \"C\"")),
                        ));
                    }
                }
                Shape::Equal | Shape::Range => {
                    for i in first_key(column) {
                        out.extend(of_index(n, t, i, column, shape, switched_off));
                    }
                    if there.is_none()
                        && let Some(i) = t
                            .indexes
                            .iter()
                            .find(|i| i.keys.iter().any(|k| k.column.as_deref() == Some(column)))
                    {
                        let first = i.keys.first().map_or("", |k| &k.text);
                        let asked = conditions(filter)
                            .iter()
                            .any(|c| c.asks.iter().any(|(n, _)| n.column == first));
                        if !asked {
                            out.push(told(
                                "not_first_key",
                                Some(i),
                                format!(
                                    "index {} has {column} after {first}, and the statement does not limit {first}",
                                    i.name
                                ),
                                None,
                            ));
                        }
                    }
                    if t.column(column).is_some_and(|c| !c.orders) {
                        out.push(told(
                            "no_order",
                            None,
                            format!("{column} has a type without an order: a B-tree cannot hold it"),
                            None,
                        ));
                    }
                }
                _ => {}
            }
        }
    }
    if t.rows.is_some_and(|r| r < SMALL) && before == 0 {
        out.push(told(
            "small_table",
            None,
            format!(
                "{} has about {} rows in {} pages: reading it whole is quick",
                t.quoted(),
                rows(t.rows.unwrap_or(0.0)),
                t.pages
            ),
            None,
        ));
    }
    // Without an index, too: one would not be used.
    let share = t.rows.filter(|r| *r >= SMALL).map(|r| n.all_rows() / r);
    if before == 0
        && let Some(share) = share.filter(|s| *s >= MANY)
        && !out.iter().any(|r| r.kind == "low_selectivity")
    {
        out.push(low(t, None, share, filter));
    }
    out
}

fn low(t: &TableFacts, index: Option<&IndexFacts>, share: f64, filter: &str) -> Reason {
    Reason {
        kind: "low_selectivity",
        table: t.quoted(),
        index: index.map(|i| i.name.clone()),
        text: format!(
            "`{filter}` lets through about {:.0} % of {}: reading it whole is cheaper than {}",
            share * 100.0,
            t.quoted(),
            index.map_or_else(|| "any index".to_owned(), |i| format!("index {}", i.name))
        ),
        remedy: None,
    }
}

fn of_index(
    n: &Node,
    t: &TableFacts,
    i: &IndexFacts,
    column: &str,
    shape: &Shape,
    switched_off: &[String],
) -> Option<Reason> {
    let told = |kind: &'static str, text: String, remedy: Option<String>| {
        Some(Reason {
            kind,
            table: t.quoted(),
            index: Some(i.name.clone()),
            text,
            remedy,
        })
    };
    if !i.valid {
        return told(
            "index_invalid",
            format!(
                "index {} on {column} is invalid: its build failed or is not over",
                i.name
            ),
            Some(
                "see `index.invalid` in `muster check`; a build that failed is dropped and made again"
                    .to_owned(),
            ),
        );
    }
    if let Some(predicate) = &i.predicate {
        return told(
            "partial",
            format!(
                "index {} holds only rows with {predicate}, and the statement does not ask for that",
                i.name
            ),
            None,
        );
    }
    if i.method != "btree" && (*shape == Shape::Range || i.method != "hash") {
        return told(
            "method",
            format!(
                "index {} is of the method {}, which does not serve this comparison",
                i.name, i.method
            ),
            None,
        );
    }
    if ["enable_indexscan", "enable_bitmapscan"]
        .iter()
        .all(|s| switched_off.iter().any(|o| o == s))
    {
        return told(
            "switched_off",
            format!(
                "{} are off: index {} may not be used",
                switched_off.join(", "),
                i.name
            ),
            Some("look who set it: ALTER ROLE, ALTER DATABASE or postgresql.conf".to_owned()),
        );
    }
    if stale(t).is_some() {
        return None;
    }
    let share = t.rows.filter(|r| *r > 0.0).map(|r| n.all_rows() / r)?;
    if share >= MANY {
        return Some(low(t, Some(i), share, n.condition("Filter").unwrap_or_default()));
    }
    told(
        "dearer",
        format!(
            "the planner holds index {} for dearer than reading {} whole",
            i.name,
            t.quoted()
        ),
        Some("compare random_page_cost and effective_cache_size with the storage".to_owned()),
    )
}

/// Whether an index is on the same expression.
fn by_expression(t: &TableFacts, condition: &str, column: &str) -> bool {
    let plain = |s: &str| s.replace(['(', ')', ' ', '"'], "").to_lowercase();
    let condition = plain(condition);
    t.indexes.iter().any(|i| {
        i.keys.iter().any(|k| {
            k.column.is_none()
                && k.text.contains(column)
                && condition.contains(&plain(&k.text).replace(column, &format!("{}.{column}", t.name)))
        })
    })
}

#[cfg(test)]
mod tests {
    use muster_model::query::{ColumnFacts, IndexKey};

    use super::super::tree::tests::sample;
    use super::*;

    fn orders() -> TableFacts {
        TableFacts {
            schema: "public".into(),
            name: "orders".into(),
            rows: Some(200_000.0),
            pages: 1870,
            modified: Some(10),
            live: Some(200_000),
            columns: vec![ColumnFacts {
                name: "customer".into(),
                type_name: "integer".into(),
                orders: true,
                distinct: Some(5000.0),
                ..ColumnFacts::default()
            }],
            indexes: vec![IndexFacts {
                name: "orders_customer".into(),
                method: "btree".into(),
                valid: true,
                keys: vec![IndexKey {
                    column: Some("customer".into()),
                    text: "customer".into(),
                    prefixes: false,
                }],
                ..IndexFacts::default()
            }],
            ..TableFacts::default()
        }
    }

    fn why(change: impl Fn(&mut Node, &mut TableFacts), off: &[&str]) -> Vec<&'static str> {
        let (mut plan, mut table) = (sample(), orders());
        change(&mut plan.root.children[0].children[0], &mut table);
        let off: Vec<String> = off.iter().map(|s| (*s).to_owned()).collect();
        reasons(&plan, &[table], &off).iter().map(|r| r.kind).collect()
    }

    fn filter(n: &mut Node, text: &str) {
        n.conditions = vec![("Filter".into(), text.into())];
    }

    #[test]
    fn each_reason_is_told_and_no_other() {
        assert_eq!(why(|_, _| {}, &[]), ["dearer"]);
        assert_eq!(why(|_, t| t.indexes[0].valid = false, &[]), ["index_invalid"]);
        assert_eq!(
            why(|_, t| t.indexes[0].predicate = Some("(a)".into()), &[]),
            ["partial"]
        );
        assert_eq!(why(|n, _| n.rows = 150_000.0, &[]), ["low_selectivity"]);
        assert_eq!(
            why(
                |n, t| {
                    n.rows = 150_000.0;
                    t.indexes.clear();
                },
                &[]
            ),
            ["low_selectivity"]
        );
        assert_eq!(why(|_, t| t.modified = Some(90_000), &[]), ["stale_statistics"]);
        assert_eq!(
            why(|_, t| t.columns[0].distinct = None, &[]),
            ["stale_statistics"]
        );
        assert_eq!(
            why(|n, _| filter(n, "((o.customer)::text = ?::text)"), &[]),
            ["cast"]
        );
        assert_eq!(why(|n, _| filter(n, "(abs(o.customer) = ?)"), &[]), ["function"]);
        assert_eq!(
            why(|n, _| filter(n, "((o.customer = ?) OR (o.id = ?))"), &[]),
            ["or"]
        );
        assert_eq!(
            why(|n, _| filter(n, "(o.customer ~~ ?::text)"), &[]),
            ["collation"]
        );
        let wild = |n: &mut Node, _: &mut TableFacts| {
            filter(n, "(o.customer ~~ ?::text)");
            n.leading_wildcard = vec!["Filter".into()];
        };
        assert_eq!(why(wild, &[]), ["leading_wildcard"]);
        assert_eq!(
            why(|_, _| {}, &["enable_indexscan", "enable_bitmapscan"]),
            ["switched_off"]
        );
        assert_eq!(why(|_, t| t.rows = Some(500.0), &[]), ["dearer", "small_table"]);
        let varchar = |n: &mut Node, t: &mut TableFacts| {
            filter(n, "((o.customer)::text = ?::text)");
            t.columns[0].type_name = "character varying(20)".into();
        };
        assert_eq!(why(varchar, &[]), ["dearer"], "a cast that is only a word");
    }
}
