//! Which indexes might help a plan: columns that are compared first, then a range or the order that is asked for.
//!
//! Only B-trees on columns. That one would be used is never said here: that is the planner's word.

use std::collections::BTreeSet;

use muster_model::query::{IndexFacts, TableFacts, ident};
use serde::Serialize;

use super::condition::{Shape, column, conditions};
use super::hints::SMALL;
use super::reasons::{settled, table_of};
use super::tree::{Node, PlanTree};

/// Columns of an index at most.
const WIDE: usize = 3;
/// Candidates of a table at most.
const MOST: usize = 8;

/// An index that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Place of its table among the tables.
    pub table: usize,
    /// Its columns, and whether each is descending.
    pub columns: Vec<(String, bool)>,
    /// What it would serve.
    pub serves: String,
}

impl Candidate {
    /// Its columns as SQL text.
    #[must_use]
    pub fn list(&self) -> String {
        let one = |(c, down): &(String, bool)| format!("{}{}", ident(c), if *down { " DESC" } else { "" });
        self.columns.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// A name for it, no longer than the server takes.
    #[must_use]
    pub fn name(&self, t: &TableFacts) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|(c, _)| c.as_str()).collect();
        let mut name = format!("{}_{}_idx", t.name, columns.join("_"));
        while name.len() > 63 {
            name.pop();
        }
        name
    }

    /// For hypopg, or to make it.
    #[must_use]
    pub fn ddl(&self, t: &TableFacts, concurrently: bool) -> String {
        if concurrently {
            format!(
                "CREATE INDEX CONCURRENTLY {} ON {} ({})",
                ident(&self.name(t)),
                t.quoted(),
                self.list()
            )
        } else {
            format!("CREATE INDEX ON {} ({})", t.quoted(), self.list())
        }
    }
}

/// What is asked of one relation in a plan.
#[derive(Default)]
struct Asked {
    equal: Vec<String>,
    range: Vec<String>,
    join: Vec<String>,
    sort: Vec<(String, bool)>,
}

/// The alias under which a plan speaks of a node's relation.
#[must_use]
pub fn alias_of(n: &Node) -> String {
    n.alias.clone().or_else(|| n.relation.clone()).unwrap_or_default()
}

/// The candidates of a plan, without those that are there already; and those that are, with their index.
#[must_use]
pub fn candidates(plan: &PlanTree, tables: &[TableFacts]) -> (Vec<Candidate>, Vec<(Candidate, String)>) {
    let mut new: Vec<Candidate> = Vec::new();
    let mut there = Vec::new();
    plan.root.each(&mut |n| {
        let Some(t) = table_of(n, tables) else { return };
        let reads = n.kind == "Seq Scan" || n.condition("Filter").is_some();
        if !reads || t.rows.is_some_and(|r| r < SMALL) {
            return;
        }
        let asked = asked(n, t, &plan.root);
        let place = tables.iter().position(|x| x.oid == t.oid).unwrap_or(0);
        let mut of_table = 0;
        for (columns, serves) in combinations(&asked, t) {
            let candidate = Candidate {
                table: place,
                columns,
                serves,
            };
            if let Some(index) = covered(t, &candidate) {
                if !there.iter().any(|(c, _)| *c == candidate) {
                    there.push((candidate, index.name.clone()));
                }
            } else if of_table < MOST
                && !new
                    .iter()
                    .any(|c| c.table == place && c.columns == candidate.columns)
            {
                of_table += 1;
                new.push(candidate);
            }
        }
    });
    (new, there)
}

fn asked(n: &Node, t: &TableFacts, root: &Node) -> Asked {
    let alias = alias_of(n);
    let mut out = Asked::default();
    let orders = |c: &str| t.column(c).is_some_and(|c| c.orders);
    for (_, text) in &n.conditions {
        for condition in conditions(text) {
            for (named, shape) in condition.asks {
                if named.alias != alias || !orders(&named.column) {
                    continue;
                }
                match settled(shape, t, &named.column) {
                    Shape::Equal => add(&mut out.equal, named.column),
                    Shape::Range => add(&mut out.range, named.column),
                    Shape::Join(_) => add(&mut out.join, named.column),
                    _ => {}
                }
            }
        }
    }
    let mut sorts: Vec<&Node> = Vec::new();
    root.each(&mut |above| {
        for (_, text) in above
            .conditions
            .iter()
            .filter(|(k, _)| matches!(k.as_str(), "Hash Cond" | "Merge Cond" | "Join Filter"))
        {
            for condition in conditions(text) {
                for (named, shape) in condition.asks {
                    if named.alias == alias
                        && orders(&named.column)
                        && matches!(settled(shape, t, &named.column), Shape::Join(_))
                    {
                        add(&mut out.join, named.column);
                    }
                }
            }
        }
        if !above.sort_key.is_empty() {
            sorts.push(above);
        }
    });
    for sort in sorts {
        let keys: Option<Vec<(String, bool)>> =
            sort.sort_key.iter().map(|k| sort_column(k, &alias)).collect();
        if let Some(keys) = keys.filter(|k| k.iter().all(|(c, _)| orders(c))) {
            out.sort = keys;
        }
    }
    // What is distinct most narrows most.
    let distinct = |c: &str| {
        let d = t.column(c).and_then(|c| c.distinct).unwrap_or(0.0);
        if d < 0.0 { -d * t.rows.unwrap_or(1.0) } else { d }
    };
    out.equal.sort_by(|a, b| distinct(b).total_cmp(&distinct(a)));
    out.range.retain(|c| !out.equal.contains(c));
    out
}

fn add(list: &mut Vec<String>, what: String) {
    if !list.contains(&what) {
        list.push(what);
    }
}

/// `o.placed DESC`; nulls where a B-tree would not have them are left alone.
fn sort_column(key: &str, alias: &str) -> Option<(String, bool)> {
    let (name, down) = match key.strip_suffix(" DESC") {
        Some(name) => (name, true),
        None => (key, false),
    };
    let named = column(name)?;
    (named.alias == alias || named.alias.is_empty()).then_some((named.column, down))
}

fn combinations(asked: &Asked, t: &TableFacts) -> Vec<(Vec<(String, bool)>, String)> {
    let up = |of: &[String]| of.iter().map(|c| (c.clone(), false)).collect::<Vec<_>>();
    let mut out: Vec<(Vec<(String, bool)>, String)> = Vec::new();
    let mut push = |columns: Vec<(String, bool)>, serves: &str| {
        let names: BTreeSet<&String> = columns.iter().map(|(c, _)| c).collect();
        let fits = !columns.is_empty() && columns.len() <= WIDE && names.len() == columns.len();
        if fits && !out.iter().any(|(c, _)| *c == columns) {
            out.push((columns, serves.to_owned()));
        }
    };
    let (equal, join) = (&asked.equal, &asked.join);
    let two = &equal[..equal.len().min(2)];
    // One direction alone can be read backwards.
    let sort: Vec<(String, bool)> = if asked.sort.iter().all(|(_, d)| *d) {
        asked.sort.iter().map(|(c, _)| (c.clone(), false)).collect()
    } else {
        asked.sort.clone()
    };
    push(up(&equal[..equal.len().min(1)]), "the comparison");
    push(up(two), "the comparisons");
    push(up(&equal[..equal.len().min(WIDE)]), "the comparisons");
    if let Some(range) = asked.range.first() {
        let mut columns = up(two);
        columns.push((range.clone(), false));
        push(columns, "the comparisons, then the range");
    }
    if !sort.is_empty() {
        let mut columns = up(&two[..two.len().min(WIDE.saturating_sub(sort.len()))]);
        columns.extend(sort.iter().take(WIDE).cloned());
        push(columns, "the comparisons, then the order");
    }
    for j in join.iter().take(2) {
        push(vec![(j.clone(), false)], "the join");
        if let Some(e) = equal.first() {
            push(
                vec![(j.clone(), false), (e.clone(), false)],
                "the join, then the comparison",
            );
        }
    }
    for c in equal.iter().skip(1).take(2) {
        push(vec![(c.clone(), false)], "the comparison");
    }
    // A column without statistics is left in: the planner says what it is worth.
    out.retain(|(columns, _)| columns.iter().all(|(c, _)| t.column(c).is_some_and(|c| c.orders)));
    out
}

/// The valid index that holds the candidate's columns first.
fn covered<'a>(t: &'a TableFacts, candidate: &Candidate) -> Option<&'a IndexFacts> {
    let wanted: Vec<&str> = candidate.columns.iter().map(|(c, _)| c.as_str()).collect();
    t.indexes.iter().find(|i| {
        i.method == "btree"
            && i.predicate.is_none()
            && i.keys.len() >= wanted.len()
            && i.keys
                .iter()
                .zip(&wanted)
                .all(|(k, w)| k.column.as_deref() == Some(*w))
    })
}

#[cfg(test)]
mod tests {
    use muster_model::query::{ColumnFacts, IndexKey};

    use super::super::tree::tests::sample;
    use super::*;

    fn table(columns: &[(&str, f64)]) -> TableFacts {
        TableFacts {
            oid: 7,
            schema: "public".into(),
            name: "orders".into(),
            rows: Some(200_000.0),
            columns: columns
                .iter()
                .map(|(name, distinct)| ColumnFacts {
                    name: (*name).to_owned(),
                    type_name: "integer".into(),
                    orders: *name != "shape",
                    distinct: Some(*distinct),
                    ..ColumnFacts::default()
                })
                .collect(),
            ..TableFacts::default()
        }
    }

    fn lists(filter: &str, t: &TableFacts) -> (Vec<String>, Vec<String>) {
        let mut plan = sample();
        plan.root.children[0].children[0].conditions = vec![("Filter".into(), filter.into())];
        let (new, there) = candidates(&plan, std::slice::from_ref(t));
        (
            new.iter().map(Candidate::list).collect(),
            there.into_iter().map(|(_, i)| i).collect(),
        )
    }

    #[test]
    fn what_is_compared_comes_first_then_the_range_or_the_order() {
        let t = table(&[
            ("customer", 5000.0),
            ("state", 2.0),
            ("placed", -1.0),
            ("shape", 1.0),
        ]);
        let (new, _) = lists("((o.state = ?) AND (o.customer = $1))", &t);
        assert_eq!(
            new,
            ["customer", "customer, state", "customer, state, placed", "state"]
        );
        let (new, _) = lists("((o.state = ?) AND (o.placed > $1))", &t);
        assert_eq!(new, ["state", "state, placed"]);
        let (new, _) = lists("(o.shape = ?)", &t);
        assert_eq!(new, ["placed"], "what has no order is left out");
        let (new, _) = lists("((o.customer)::text = ?::text)", &t);
        assert_eq!(new, ["placed"], "a cast is served by no plain index");
    }

    #[test]
    fn what_is_there_is_not_proposed_again_and_small_tables_are_left_alone() {
        let mut t = table(&[("customer", 5000.0), ("placed", -1.0)]);
        t.indexes = vec![IndexFacts {
            name: "i".into(),
            method: "btree".into(),
            valid: true,
            keys: ["customer", "placed"]
                .map(|c| IndexKey {
                    column: Some(c.into()),
                    ..IndexKey::default()
                })
                .to_vec(),
            ..IndexFacts::default()
        }];
        let (new, there) = lists("(o.customer = $1)", &t);
        assert_eq!((new, there), (vec![], vec!["i".to_owned(), "i".to_owned()]));
        t.indexes.clear();
        t.rows = Some(100.0);
        assert_eq!(lists("(o.customer = $1)", &t).0, Vec::<String>::new());
    }

    #[test]
    fn names_are_quoted_and_short_enough() {
        let mut t = table(&[("Cust omer", 1.0)]);
        t.name = "Orders".into();
        let c = Candidate {
            table: 0,
            columns: vec![("Cust omer".into(), true)],
            serves: String::new(),
        };
        assert_eq!(
            c.ddl(&t, true),
            "CREATE INDEX CONCURRENTLY \"Orders_Cust omer_idx\" ON public.\"Orders\" (\"Cust omer\" DESC)"
        );
        t.name = "x".repeat(63);
        assert_eq!(c.name(&t).len(), 63);
    }
}
