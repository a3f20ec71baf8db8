//! The JSON Schemas of the shapes that tests and other programs rely on: `check`, `incident list`, `drill`.

use serde_json::{Value, json};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

fn text() -> Value {
    json!({"type": "string"})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn maybe_time() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

/// `muster check --json`.
#[must_use]
pub fn check() -> Value {
    json!({
        "$schema": DRAFT, "title": "muster check --json", "type": "object", "additionalProperties": false,
        "required": ["status", "taken_at", "findings", "gaps", "cost"],
        "properties": {
            "status": {"enum": ["ok", "warning", "critical", "unknown"]},
            "taken_at": time(),
            "findings": {"type": "array", "items": {"type": "object",
                "required": ["kind", "severity", "target", "subject", "summary", "since", "evidence", "remedy", "cause"],
                "properties": {
                    "kind": text(), "severity": {"enum": ["info", "warning", "critical"]}, "target": text(),
                    "subject": text(), "summary": text(), "since": time(), "evidence": {"type": "object"},
                    "remedy": {"type": ["object", "null"], "required": ["runbook"], "properties": {"runbook": text()}},
                    "cause": {"type": "boolean"}}}},
            "gaps": {"type": "array", "items": {"type": "object", "required": ["collector", "target", "reason"]}},
            "cost": {"type": "object"}
        }
    })
}

/// `muster incident list --json`.
#[must_use]
pub fn incident_list() -> Value {
    let step = json!({"type": "object", "additionalProperties": false, "required": ["id", "uses", "targets", "outcome"],
        "properties": {"id": text(), "uses": text(), "targets": {"type": "array", "items": text()}, "outcome": text()}});
    let run = json!({"type": "object", "additionalProperties": false, "required": ["id", "runbook", "outcome", "steps"],
        "properties": {"id": text(), "runbook": text(), "outcome": {"type": ["string", "null"]},
            "steps": {"type": "array", "items": step}}});
    json!({
        "$schema": DRAFT, "title": "muster incident list --json", "type": "array", "items": {
            "type": "object", "additionalProperties": false,
            "required": ["id", "state", "severity", "target", "cause", "symptoms", "opened_at", "detected_at",
                "first_action_at", "resolved_at", "runs"],
            "properties": {
                "id": text(), "state": {"enum": ["open", "mitigating", "resolved", "escalated"]},
                "severity": {"enum": ["P0", "P1", "P2"]}, "target": text(),
                "cause": {"type": "object", "required": ["kind", "subject"], "properties": {"kind": text(), "subject": text()}},
                "symptoms": {"type": "array", "items": text()}, "opened_at": time(), "detected_at": time(),
                "first_action_at": maybe_time(), "resolved_at": maybe_time(), "runs": {"type": "array", "items": run}}
        }
    })
}

/// `muster drill --json`.
#[must_use]
pub fn drill() -> Value {
    let seconds = json!({"type": ["number", "null"]});
    let yes = json!({"type": "boolean"});
    json!({
        "$schema": DRAFT, "title": "muster drill --json", "type": "array", "items": {
            "type": "object", "additionalProperties": false,
            "required": ["drill", "fault", "runbook", "pg_major", "repeat", "detected_in_s", "acted_in_s", "verified_in_s",
                "controls", "harm", "acked_writes", "lost_writes", "safe_pass"],
            "properties": {
                "drill": text(), "fault": text(), "runbook": text(), "pg_major": {"type": "integer"},
                "repeat": {"type": "integer"}, "detected_in_s": seconds, "acted_in_s": seconds, "verified_in_s": seconds,
                "controls": {"type": "object", "additionalProperties": false,
                    "required": ["repairs", "persists_without", "quiet_when_healthy", "declines_lookalike"],
                    "properties": {"repairs": yes, "persists_without": yes, "quiet_when_healthy": yes, "declines_lookalike": yes}},
                "harm": {"type": "array", "items": text()}, "acked_writes": {"type": "integer"},
                "lost_writes": {"type": "integer"}, "safe_pass": yes}
        }
    })
}
