//! What the engine sees of the world: a scope (which cluster, which server) and frozen identities.
//!
//! Knows only `{type, label, fingerprint, json}`. Refuses to know what a session or a server is: that is for the
//! probes and actions which wrote the JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Named values: the inputs of a step and the outputs of a probe.
pub type Record = serde_json::Map<String, Value>;

/// Where a plan works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Scope {
    /// Cluster name of the config.
    pub cluster: String,
    /// Address of the target, such as `shop/a` or `shop/bouncer`; the cluster's name when the whole cluster is meant.
    pub target: String,
    /// Stable identity of the cluster (for PostgreSQL its `system_identifier`); guards count by it.
    pub identity: String,
}

/// One exact thing, frozen when the plan was made: the same words later mean the same thing or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FrozenTarget {
    /// Nominal type, such as `session` or `server`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people: `session 4711 of app on shop/a`.
    pub label: String,
    /// Identity as text; equal fingerprints are the same thing, never merely the same name.
    pub fingerprint: String,
    /// Everything its action needs to find it again and to see whether it changed.
    pub json: Value,
}

impl FrozenTarget {
    /// As the JSON value that probes put into their outputs.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Back from a probe's output.
    ///
    /// # Errors
    /// When the value is not a frozen target.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|e| format!("not a frozen target: {e}"))
    }
}
