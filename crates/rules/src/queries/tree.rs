//! A plan as a tree: from the server's JSON, without literals, to nodes that can be judged and shown.

use serde::Serialize;
use serde_json::Value;

/// A node of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Node {
    /// `Seq Scan`.
    pub kind: String,
    /// `Outer`, `InitPlan`.
    pub parent: String,
    /// Schema of its relation.
    pub schema: Option<String>,
    /// Its relation.
    pub relation: Option<String>,
    /// Alias of its relation.
    pub alias: Option<String>,
    /// Its index.
    pub index: Option<String>,
    /// `Inner`, `Left`.
    pub join: Option<String>,
    /// Cost until its last row.
    pub cost: f64,
    /// Rows that the planner expects, of each execution.
    pub rows: f64,
    /// Mean width of a row in bytes.
    pub width: u64,
    /// Conditions, by their name in the plan.
    pub conditions: Vec<(String, String)>,
    /// Conditions with a pattern that begins with a wildcard, by their name in the plan.
    pub leading_wildcard: Vec<String>,
    /// Keys of a sort.
    pub sort_key: Vec<String>,
    /// Rows that came, of each execution; absent when it was not carried out.
    pub actual_rows: Option<f64>,
    /// Executions.
    pub loops: Option<f64>,
    /// Milliseconds until its last row, of each execution.
    pub ms: Option<f64>,
    /// Rows that the filter took out, of each execution.
    pub removed: Option<f64>,
    /// Blocks found in shared buffers.
    pub hit: Option<u64>,
    /// Blocks read from outside of them.
    pub read: Option<u64>,
    /// Temporary blocks written.
    pub temp_written: Option<u64>,
    /// `external merge`.
    pub sort_method: Option<String>,
    /// Whether a sort or hash went to disk, and how many kB.
    pub disk_kb: Option<u64>,
    /// Parallel workers planned.
    pub workers: Option<u64>,
    /// By how many processes its rows are shared, where workers read it together.
    pub shared_by: Option<f64>,
    /// Processes that carried it out beside each other; absent for one.
    pub processes: Option<f64>,
    /// Subplans that were taken out before they ran.
    pub subplans_removed: Option<u64>,
    /// Nodes below.
    pub children: Vec<Node>,
}

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlanTree {
    /// Its root.
    pub root: Node,
    /// Milliseconds of planning, when it was carried out.
    pub planning_ms: Option<f64>,
    /// Milliseconds of execution, when it was carried out.
    pub execution_ms: Option<f64>,
}

const CONDITIONS: [&str; 9] = [
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "TID Cond",
    "Function Call",
];

impl PlanTree {
    /// From the answer of `EXPLAIN (FORMAT JSON)`; `None` when it is none.
    #[must_use]
    pub fn of(answer: &Value) -> Option<Self> {
        let first = answer.get(0)?;
        Some(Self {
            root: Node::of(first.get("Plan")?, None, None),
            planning_ms: first.get("Planning Time").and_then(Value::as_f64),
            execution_ms: first.get("Execution Time").and_then(Value::as_f64),
        })
    }

    /// Lines for people, each node one, with its conditions below it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.root.lines(0, &mut out);
        out
    }
}

impl Node {
    fn of(plan: &Value, above: Option<u64>, beside: Option<f64>) -> Self {
        let text = |key: &str| plan.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| plan.get(key).and_then(Value::as_f64);
        let whole = |key: &str| plan.get(key).and_then(Value::as_u64);
        let list = |key: &str| -> Vec<String> {
            let all = plan.get(key).and_then(Value::as_array);
            all.into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        let on_disk = text("Sort Space Type").is_some_and(|t| t == "Disk");
        let spilled =
            whole("Hash Batches").is_some_and(|n| n > 1) || whole("HashAgg Batches").is_some_and(|n| n > 1);
        let workers = whole("Workers Planned");
        #[allow(clippy::cast_precision_loss)]
        let launched = whole("Workers Launched").map(|n| n as f64 + 1.0);
        let together = plan
            .get("Parallel Aware")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let never = number("Actual Loops").is_some_and(|n| n == 0.0);
        Self {
            kind: text("Node Type").unwrap_or_default(),
            parent: text("Parent Relationship").unwrap_or_default(),
            schema: text("Schema"),
            relation: text("Relation Name"),
            alias: text("Alias"),
            index: text("Index Name"),
            join: text("Join Type"),
            cost: number("Total Cost").unwrap_or_default(),
            rows: number("Plan Rows").unwrap_or_default(),
            width: whole("Plan Width").unwrap_or_default(),
            conditions: CONDITIONS
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), text(key)?)))
                .collect(),
            leading_wildcard: list("Leading Wildcard"),
            sort_key: list("Sort Key"),
            actual_rows: number("Actual Rows").filter(|_| !never),
            loops: number("Actual Loops"),
            ms: number("Actual Total Time").filter(|_| !never),
            removed: number("Rows Removed by Filter"),
            hit: whole("Shared Hit Blocks"),
            read: whole("Shared Read Blocks"),
            temp_written: whole("Temp Written Blocks"),
            sort_method: text("Sort Method"),
            disk_kb: if on_disk {
                whole("Sort Space Used")
            } else if spilled {
                whole("Disk Usage").or_else(|| whole("Temp Written Blocks").map(|b| b * 8))
            } else {
                None
            },
            workers,
            processes: beside,
            shared_by: above.filter(|_| together).map(processes),
            subplans_removed: whole("Subplans Removed").filter(|n| *n > 0),
            children: plan
                .get("Plans")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|p| Self::of(p, workers.or(above), launched.or(beside)))
                .collect(),
        }
    }

    /// Rows that the planner expects of all processes together.
    #[must_use]
    pub fn all_rows(&self) -> f64 {
        self.rows * self.shared_by.unwrap_or(1.0)
    }

    /// A condition by its name in the plan.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&str> {
        self.conditions
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, c)| c.as_str())
    }

    /// Visits it and all below.
    pub fn each<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        for child in &self.children {
            child.each(visit);
        }
    }

    /// What it is, and of what: `Seq Scan on shop.orders o`.
    #[must_use]
    pub fn name(&self) -> String {
        let mut out = match (&self.join, self.kind.as_str()) {
            (Some(j), kind) if j != "Inner" => format!("{kind} ({j})"),
            (_, kind) => kind.to_owned(),
        };
        if let Some(index) = &self.index {
            out.push_str(&format!(" using {index}"));
        }
        if let Some(relation) = &self.relation {
            let schema = self
                .schema
                .as_deref()
                .map(|s| format!("{s}."))
                .unwrap_or_default();
            out.push_str(&format!(" on {schema}{relation}"));
            if let Some(alias) = self.alias.as_ref().filter(|a| *a != relation) {
                out.push_str(&format!(" {alias}"));
            }
        }
        out
    }

    /// What it costs without what is below it. A node above a LIMIT may cost less than what it stands on: then nothing.
    #[must_use]
    pub fn own_cost(&self) -> f64 {
        let below: f64 = self.children.iter().map(|c| c.cost).sum();
        (self.cost - below).max(0.0)
    }

    /// How long all its executions took, by the clock: those of workers run beside each other.
    #[must_use]
    pub fn all_ms(&self) -> Option<f64> {
        Some(self.ms? * (self.loops? / self.processes.unwrap_or(1.0)).max(1.0))
    }

    /// The same without what is below it.
    #[must_use]
    pub fn own_ms(&self) -> Option<f64> {
        let below: f64 = self.children.iter().filter_map(Self::all_ms).sum();
        Some((self.all_ms()? - below).max(0.0))
    }

    fn lines(&self, depth: usize, out: &mut Vec<String>) {
        let pad = "  ".repeat(depth);
        let arrow = if depth == 0 { "" } else { "→ " };
        let beside = match self.parent.as_str() {
            "InitPlan" => "once before: ",
            "SubPlan" => "for each row: ",
            _ => "",
        };
        let mut line = format!(
            "{pad}{arrow}{beside}{}  rows {} cost {:.0}",
            self.name(),
            rows(self.rows),
            self.cost
        );
        if let (Some(came), Some(loops)) = (self.actual_rows, self.loops) {
            line.push_str(&format!(" | came {}", rows(came)));
            if loops > 1.0 {
                line.push_str(&format!(" × {}", rows(loops)));
            }
            if let Some(ms) = self.all_ms() {
                line.push_str(&format!(" in {ms:.2} ms"));
            }
        } else if self.loops.is_some() {
            line.push_str(" | never carried out");
        }
        if let (Some(hit), Some(read)) = (self.hit, self.read) {
            line.push_str(&format!(" | blocks {hit} hit {read} read"));
        }
        out.push(line);
        for (name, condition) in &self.conditions {
            out.push(format!("{pad}    {name}: {condition}"));
        }
        if !self.sort_key.is_empty() {
            let method = self
                .sort_method
                .as_ref()
                .map(|m| format!(" ({m})"))
                .unwrap_or_default();
            out.push(format!("{pad}    Sort Key: {}{method}", self.sort_key.join(", ")));
        }
        if let Some(n) = self.removed.filter(|n| *n > 0.0) {
            out.push(format!("{pad}    Rows removed by the filter: {}", rows(n)));
        }
        for child in &self.children {
            child.lines(depth + 1, out);
        }
    }
}

/// As the planner divides: the leader helps the less the more workers there are.
fn processes(workers: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let workers = workers as f64;
    workers + (1.0 - 0.3 * workers).max(0.0)
}

/// A number of rows.
#[must_use]
pub fn rows(n: f64) -> String {
    if n.fract() == 0.0 || n >= 100.0 {
        format!("{n:.0}")
    } else {
        format!("{n:.2}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan as PostgreSQL 18 tells it, shortened.
    pub(crate) fn sample() -> PlanTree {
        let answer = serde_json::json!([{"Plan": {"Node Type": "Limit", "Total Cost": 4639.4, "Plan Rows": 5, "Plan Width": 38,
            "Plans": [{"Node Type": "Sort", "Parent Relationship": "Outer", "Total Cost": 4639.5, "Plan Rows": 40,
            "Sort Key": ["o.placed DESC"], "Plans": [{"Node Type": "Seq Scan", "Parent Relationship": "Outer",
            "Relation Name": "orders", "Schema": "public", "Alias": "o", "Total Cost": 4634.7, "Plan Rows": 40, "Plan Width": 38,
            "Actual Rows": 40.0, "Actual Loops": 1, "Actual Total Time": 12.5, "Rows Removed by Filter": 199960,
            "Shared Hit Blocks": 100, "Shared Read Blocks": 5, "Filter": "(o.customer = $1)"}]}]},
            "Planning Time": 0.1, "Execution Time": 13.0}]);
        PlanTree::of(&answer).expect("a plan")
    }

    #[test]
    fn what_workers_do_beside_each_other_is_not_added_up() {
        let answer = serde_json::json!([{"Plan": {"Node Type": "Gather", "Workers Planned": 1, "Workers Launched": 1,
            "Actual Rows": 40, "Actual Loops": 1, "Actual Total Time": 91.0, "Plans": [{"Node Type": "Seq Scan",
            "Parallel Aware": true, "Plan Rows": 100, "Actual Rows": 20, "Actual Loops": 2, "Actual Total Time": 90.0}]}}]);
        let plan = PlanTree::of(&answer).expect("a plan");
        let scan = &plan.root.children[0];
        assert_eq!((scan.all_ms(), plan.root.own_ms()), (Some(90.0), Some(1.0)));
        assert!(
            (scan.all_rows() - 170.0).abs() < 1e-9,
            "the leader helps with 0.7"
        );
    }

    #[test]
    fn a_plan_is_read_and_shown() {
        let plan = sample();
        let lines = plan.lines();
        assert_eq!(lines[0], "Limit  rows 5 cost 4639");
        assert_eq!(
            lines[2],
            "    Sort Key: o.placed DESC".replacen("    ", "      ", 1)
        );
        assert_eq!(
            lines[3],
            "    → Seq Scan on public.orders o  rows 40 cost 4635 | came 40 in 12.50 ms | blocks 100 hit 5 read"
        );
        assert_eq!(lines[5], "        Rows removed by the filter: 199960");
        assert_eq!(PlanTree::of(&serde_json::json!({})), None);
        assert!((plan.root.own_cost()).abs() < 1e-9);
    }
}
