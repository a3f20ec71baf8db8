//! The JSON Schema of `muster.yaml`.

use serde_json::{Value, json};

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let span = json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"});
    let decision = json!({"enum": ["auto", "approve", "two_person", "never"]});
    let text = json!({"type": "string"});
    let thresholds = json!({"type": "object", "additionalProperties": {"type": "object",
        "additionalProperties": {"type": ["string", "number"]}}});
    let object = |required: Value, properties: Value| json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties});
    let list = |item: Value| json!({"type": "array", "items": item});
    let server = object(
        json!(["name", "url"]),
        json!({"name": text, "url": text, "act": text, "password_file": text, "act_password_file": text,
            "password_env": text, "act_password_env": text, "password_credential": text, "act_password_credential": text, "passfile": text,
            "host": object(json!([]), json!({"local": {"type": "boolean"}, "data_dir": text, "log": text, "ssh": text, "docker": text, "service": text}))}),
    );
    let pooler = object(
        json!(["name", "url"]),
        json!({"name": text, "url": text, "password_file": text, "password_env": text, "password_credential": text, "passfile": text,
            "config": text}),
    );
    let cache = object(
        json!(["name", "url"]),
        json!({"name": text, "url": text, "password_file": text, "password_env": text, "password_credential": text}),
    );
    let app = object(
        json!(["name"]),
        json!({"name": text, "health": text, "token_file": text, "token_env": text, "token_credential": text,
            "log": {"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                "properties": {"unit": text, "file": text, "container": text}}}),
    );
    let cluster = object(
        json!(["servers"]),
        json!({"servers": list(server), "poolers": list(pooler), "caches": list(cache), "apps": list(app),
            "autopilot": {"enum": ["observe", "propose", "act"]},
            "protect": object(json!([]), json!({"users": texts, "applications": texts, "databases": texts})),
            "drill": {"type": "boolean"}, "environment": text, "thresholds": thresholds}),
    );
    let policy = object(
        json!([]),
        json!({"reversible": decision, "disruptive": decision, "irreversible": {"enum": ["two_person", "never"]},
            "require_proof": {"type": "boolean"}, "approvers": texts, "solo": {"type": "boolean"},
            "runbooks": {"type": "object", "additionalProperties": decision}}),
    );
    let time = json!({"type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}$"});
    let window = object(
        json!(["from", "to"]),
        json!({"days": list(json!({"enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]})), "from": time, "to": time, "zone": text,
            "clusters": texts, "risk": {"enum": ["reversible", "disruptive", "irreversible"]},
            "incidents": {"enum": ["exempt", "wait"]}}),
    );
    let schedule = object(
        json!(["cron", "runbook"]),
        json!({"cron": text, "zone": text, "jitter": span, "runbook": text, "target": text,
            "params": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}}),
    );
    let channel = object(
        json!(["kind"]),
        json!({"kind": {"enum": ["webhook", "slack", "pagerduty", "mail"]}, "url": text, "url_file": text, "url_env": text, "url_credential": text,
            "token_file": text, "token_env": text, "token_credential": text, "key_file": text, "key_env": text, "key_credential": text,
            "server": text, "user": text, "password_file": text, "password_env": text, "password_credential": text, "from": text, "to": texts}),
    );
    let level = json!({"anyOf": [texts, object(json!(["to"]), json!({"to": texts, "after": span}))]});
    let notify = object(
        json!([]),
        json!({"channels": {"type": "object", "additionalProperties": channel},
            "levels": object(json!([]), json!({"L1": level, "L2": level, "L3": level, "L4": level, "vendor": level})),
            "repeat": span, "page": text,
            "heartbeat": object(json!([]), json!({"url": text, "url_file": text, "url_env": text, "url_credential": text, "every": span}))}),
    );
    let command = object(
        json!(["name", "run"]),
        json!({"name": text, "run": {"type": "array", "minItems": 1, "items": {"type": "string"}}, "timeout": span, "bytes": {"type": "integer"}}),
    );
    let trigger = object(json!(["runbook"]), json!({"runbook": text, "label": text}));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "muster.yaml",
        "type": "object",
        "additionalProperties": false,
        "required": ["clusters"],
        "properties": {
            "state_dir": text, "listen": text, "web": object(json!([]), json!({"open": list(json!({"enum": ["detailed"]}))})), "plan_valid": span, "lease_ttl": span, "runbooks": texts, "policy": policy,
            "thresholds": thresholds, "journal": object(json!([]), json!({"export_head": texts})), "windows": {"type": "object", "additionalProperties": window},
            "schedules": {"type": "object", "additionalProperties": schedule},
            "triggers": {"type": "object", "additionalProperties": trigger},
            "notify": notify,
            "evidence": object(json!([]), json!({"out": text, "environment": texts, "commands": list(command)})),
            "collect": object(json!([]), json!({"activity": span, "replication": span, "tables": span, "settings": span})),
            "clusters": {"type": "object", "minProperties": 1, "additionalProperties": cluster}
        }
    })
}
