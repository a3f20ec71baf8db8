//! The JSON Schema of a runbook file, generated from the signatures: an editor completes names, inputs and values.

use muster_model::{Kind, Signature, Type};
use serde_json::{Map, Value, json};

/// The schema.
#[must_use]
pub fn json_schema(signatures: &[Signature]) -> Value {
    let probes: Vec<&Signature> = signatures.iter().filter(|s| s.kind == Kind::Probe).collect();
    let actions: Vec<&Signature> = signatures.iter().filter(|s| s.kind == Kind::Action).collect();
    let span = json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["10s", "5m", "24h"]});
    let reference = json!({"oneOf": [
        {"type": "object", "required": ["param"], "properties": {"param": {"type": "string"}}, "additionalProperties": false},
        {"type": "object", "required": ["step", "out"],
         "properties": {"step": {"type": "string"}, "out": {"type": "string"}}, "additionalProperties": false}
    ]});
    let on_fail = json!({"oneOf": [
        {"enum": ["undo", "escalate"]},
        {"type": "object", "required": ["goto"], "properties": {"goto": {"type": "string"}}, "additionalProperties": false}
    ]});
    let repeated = |condition: &str, means: &str| {
        json!({"type": "object", "required": ["probe", condition], "additionalProperties": false, "properties": {
            "probe": {"type": "string", "description": "id of an earlier probe step"},
            "with": {"type": "object"}, condition: {"type": "string", "description": means}}})
    };
    let abort = repeated("when", "CEL; when it holds the run stops");
    let mut steps: Vec<Value> = Vec::new();
    for s in probes {
        steps.push(step(
            json!({"probe": {"const": s.name, "description": s.about}, "with": inputs(s),
                "continue_if": {"type": "string", "description": "CEL; false means that there is nothing to do"},
                "expect": {"type": "string", "description": "CEL; false means that the runbook declines"},
                "declined_as": {"$ref": "#/$defs/reference"}}),
            "probe",
        ));
    }
    for s in actions {
        steps.push(step(
            json!({"action": {"const": s.name, "description": s.about}, "with": inputs(s),
                "for_each": {"$ref": "#/$defs/reference"},
                "limits": {"type": "object", "additionalProperties": false, "properties": {
                    "max_targets": {"type": "integer", "minimum": 1},
                    "max_percent": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
                    "canary": {"type": "integer", "minimum": 0}, "max_errors": {"type": "integer", "minimum": 0}}},
                "abort_if": {"type": "array", "items": abort}}),
            "action",
        ));
    }
    let check = repeated("until", "CEL; must hold");
    steps.push(step(
        json!({"verify": {"type": "object", "required": ["all"], "additionalProperties": false, "properties": {
            "all": {"type": "array", "minItems": 1, "items": check}, "hold": span, "within": span}}}),
        "verify",
    ));
    steps.push(step(json!({"approve": {"type": "string"}}), "approve"));
    steps.push(step(json!({"wait": span}), "wait"));
    steps.push(step(
        json!({"call": {"type": "string"}, "with": {"type": "object"}}),
        "call",
    ));
    steps.push(step(json!({"record": {"type": "object"}}), "record"));
    let texts = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Muster runbook, version 1",
        "type": "object",
        "additionalProperties": false,
        "required": ["schema", "id", "title", "about", "owner", "risk", "steps"],
        "properties": {
            "schema": {"const": crate::decode::SCHEMA},
            "id": {"type": "string", "pattern": "^[a-z][a-z0-9_-]*$", "description": "the file's name without .yaml"},
            "title": {"type": "string"}, "about": {"type": "string"}, "source": texts, "owner": {"type": "string"},
            "risk": {"enum": ["read", "reversible", "disruptive", "irreversible"]},
            "target": {"enum": ["cluster", "server", "pooler"]},
            "answers": texts, "settle": span, "schedule": {"type": "string"}, "duration": span, "review_every": span,
            "requires": texts,
            "params": {"type": "object", "additionalProperties": {"type": "object", "required": ["type"],
                "additionalProperties": false, "properties": {
                    "type": {"enum": ["bool", "int", "float", "text", "duration", "time", "bytes"]},
                    "default": {}, "min": {}, "max": {}, "about": {"type": "string"}}}},
            "steps": {"type": "array", "minItems": 1, "items": {"oneOf": steps}}
        },
        "$defs": {"reference": reference, "on_fail": on_fail}
    })
}

fn step(own: Value, kind: &str) -> Value {
    let mut properties = Map::new();
    properties.insert(
        "id".into(),
        json!({"type": "string", "pattern": "^[a-z][a-z0-9_-]*$"}),
    );
    properties.insert("on_fail".into(), json!({"$ref": "#/$defs/on_fail"}));
    if let Value::Object(own) = own {
        properties.extend(own);
    }
    json!({"type": "object", "required": ["id", kind], "additionalProperties": false, "properties": properties})
}

fn inputs(s: &Signature) -> Value {
    let properties: Map<String, Value> = s
        .params
        .iter()
        .map(|p| {
            let literal = if p.ty == Type::Text {
                json!({"type": ["string"]})
            } else {
                p.ty.schema()
            };
            let mut either =
                json!({"anyOf": [literal, {"$ref": "#/$defs/reference"}], "description": p.about});
            if let Some(default) = &p.default {
                either["default"] = default.clone();
            }
            (p.name.clone(), either)
        })
        .collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}
