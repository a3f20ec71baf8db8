//! Plans without literals: what leaves this module carries none, but says whether a pattern begins with a wildcard.

use muster_model::query::PlanMethod;
use muster_reach::{Brought, Depth, ReachError, Trial, redact};
use serde_json::{Map, Value};

/// Keys whose texts are names and words of the server, never of the statement.
const WORDS: [&str; 27] = [
    "Node Type",
    "Parent Relationship",
    "Strategy",
    "Partial Mode",
    "Join Type",
    "Command",
    "Operation",
    "Relation Name",
    "Schema",
    "Alias",
    "Index Name",
    "Subplan Name",
    "CTE Name",
    "Tuplestore Name",
    "Function Name",
    "Table Function Name",
    "Scan Direction",
    "Sort Method",
    "Sort Space Type",
    "Custom Plan Provider",
    "Cache Mode",
    "Sampling Method",
    "Constraint Name",
    "Trigger Name",
    "Conflict Resolution",
    "Conflict Arbiter Indexes",
    "Storage",
];

/// The plan of the prepared statement, not carried out, and how it came about.
///
/// # Errors
/// When the server refuses.
pub async fn plan(
    trial: &Trial,
    parameters: usize,
    brought: &Brought,
) -> Result<(Value, PlanMethod), ReachError> {
    let plan = trial.plan(parameters, brought).await?;
    Ok((without_literals(plan), trial.method(parameters, brought)))
}

/// Its plan with what each node took. The statement is carried out.
///
/// # Errors
/// When the server refuses, or it takes too long.
pub async fn analyzed(trial: &Trial, brought: &Brought) -> Result<Value, ReachError> {
    trial.analyze(brought, Depth::Nodes).await.map(without_literals)
}

/// Its plan with what it took as a whole. The statement is carried out.
///
/// # Errors
/// When the server refuses, or it takes too long.
pub async fn measured(trial: &Trial, brought: &Brought) -> Result<Value, ReachError> {
    trial.analyze(brought, Depth::Whole).await.map(without_literals)
}

fn without_literals(value: Value) -> Value {
    match value {
        Value::Array(all) => Value::Array(all.into_iter().map(without_literals).collect()),
        Value::Object(map) => Value::Object(node(map)),
        Value::String(text) => Value::String(redact::statement(&text)),
        other => other,
    }
}

fn node(map: Map<String, Value>) -> Map<String, Value> {
    let wild: Vec<Value> = ["Filter", "Join Filter", "Recheck Cond"]
        .iter()
        .filter(|key| map.get(**key).and_then(Value::as_str).is_some_and(begins_wild))
        .map(|key| Value::from(*key))
        .collect();
    let mut out: Map<String, Value> = map
        .into_iter()
        .map(|(key, value)| {
            let value = if WORDS.contains(&key.as_str()) {
                value
            } else {
                without_literals(value)
            };
            (key, value)
        })
        .collect();
    if !wild.is_empty() {
        out.insert("Leading Wildcard".to_owned(), Value::Array(wild));
    }
    out
}

/// Whether a condition compares with a pattern that begins with `%` or `_`.
fn begins_wild(condition: &str) -> bool {
    ["~~ '", "~~* '"].iter().any(|operator| {
        condition
            .split(operator)
            .skip(1)
            .any(|rest| rest.starts_with(['%', '_']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_leave_a_plan_and_names_stay() {
        let plan = serde_json::json!([{"Plan": {"Node Type": "Seq Scan", "Relation Name": "t 4", "Index Name": "<13>btree_t",
            "Plan Rows": 4, "Filter": "((t.code ~~ '%geheim'::text) AND (t.n = 42))", "Output": ["'geheim'::text", "t.a1"]}}]);
        let told = without_literals(plan);
        assert!(
            !told.to_string().contains("geheim") && !told.to_string().contains("42"),
            "{told}"
        );
        let node = &told[0]["Plan"];
        assert_eq!(node["Filter"], "((t.code ~~ ?::text) AND (t.n = ?))");
        assert_eq!(
            (&node["Relation Name"], &node["Index Name"], &node["Plan Rows"]),
            (&"t 4".into(), &"<13>btree_t".into(), &4.into())
        );
        assert_eq!(node["Leading Wildcard"], serde_json::json!(["Filter"]));
        assert_eq!(node["Output"][1], "t.a1");
    }
}
