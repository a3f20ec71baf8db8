//! The promised JSON shapes: what the program prints fits the schema that is in the repository.

use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Panics where a value does not fit `schema/NAME.json`.
pub(crate) fn fits(name: &str, value: &Value) {
    let text = std::fs::read_to_string(root().join(format!("schema/{name}.json"))).expect("schema");
    let schema: Value = serde_json::from_str(&text).expect("json");
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("a schema");
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?} in {value:#}");
}

/// The keys of a value with the kinds of what they hold: a golden text that values cannot change.
pub(crate) fn skeleton(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
        Value::Array(all) => format!("[{}]", all.first().map(skeleton).unwrap_or_default()),
        Value::Object(map) => {
            let mut keys: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", skeleton(v))).collect();
            keys.sort();
            format!("{{{}}}", keys.join(", "))
        }
    }
}

#[test]
fn the_check_itself_finds_what_is_missing_too_much_or_wrong() {
    let good = serde_json::json!([{"drill": "d", "fault": "f", "runbook": "r", "pg_major": 15, "repeat": 1,
        "detected_in_s": 0.1, "acted_in_s": null, "verified_in_s": 1.0, "harm": [], "acked_writes": 1, "lost_writes": 0,
        "safe_pass": true, "controls": {"repairs": true, "persists_without": true, "quiet_when_healthy": true,
        "declines_lookalike": true}}]);
    fits("drill", &good);
    for (key, value) in [
        ("safe_pass", Value::Null),
        ("more", Value::Null),
        ("pg_major", "15".into()),
    ] {
        let mut bad = good.clone();
        bad[0][key] = value;
        assert!(std::panic::catch_unwind(|| fits("drill", &bad)).is_err(), "{key}");
    }
}

#[test]
fn every_runbook_fits_its_schema_and_is_checked_against_what_is_there() {
    let signatures = muster_act::signatures();
    let schema = muster_runbooks::json_schema(&signatures);
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (file, text) in muster::app::BUILT_IN {
        muster_runbooks::check(file, text, &signatures).expect("checks");
        let tree = muster_runbooks::tree::parse(file, text).expect("reads");
        let wrong: Vec<String> = validator
            .iter_errors(&tree.json())
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{file}: {wrong:#?}");
    }
    let files = std::fs::read_dir(root().join("runbooks")).expect("runbooks");
    let written = files
        .flatten()
        .filter(|f| f.path().extension().is_some_and(|x| x == "yaml"));
    assert_eq!(muster::app::BUILT_IN.len(), written.count());
}
