//! Signatures of probes and actions, and the closed type language of their inputs and outputs.
//!
//! `act::catalogue()` lists them, `runbooks` checks files against them, `engine` finds code by their name. Refuses
//! to contain code.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A type of the closed language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Text.
    Text,
    /// A length of time; in CEL a duration.
    Duration,
    /// A point in time; in CEL a timestamp.
    Time,
    /// A number of bytes.
    Bytes,
    /// Several of one type.
    List(Box<Type>),
    /// Named fields.
    Record(Vec<Field>),
    /// The identity of one thing (`session`, `server`, `pool`, …), frozen as `FrozenTarget`.
    Identity(String),
}

impl Type {
    /// A list of identities.
    #[must_use]
    pub fn identities(kind: &str) -> Self {
        Self::List(Box::new(Self::Identity(kind.to_owned())))
    }

    /// A list.
    #[must_use]
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// As people write it: `list<session>`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Int => "int".into(),
            Self::Float => "float".into(),
            Self::Text => "text".into(),
            Self::Duration => "duration".into(),
            Self::Time => "time".into(),
            Self::Bytes => "bytes".into(),
            Self::List(of) => format!("list<{}>", of.name()),
            Self::Record(fields) => {
                let inner: Vec<String> = fields
                    .iter()
                    .map(|f| format!("{}: {}", f.name, f.ty.name()))
                    .collect();
                format!("{{{}}}", inner.join(", "))
            }
            Self::Identity(kind) => kind.clone(),
        }
    }

    /// The JSON Schema of a value of this type.
    #[must_use]
    pub fn schema(&self) -> Value {
        match self {
            Self::Bool => json!({"type": "boolean"}),
            Self::Int | Self::Bytes => json!({"type": "integer"}),
            Self::Float => json!({"type": "number"}),
            Self::Text => json!({"type": "string"}),
            Self::Duration => json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::List(of) => json!({"type": "array", "items": of.schema()}),
            Self::Record(fields) => {
                let props: serde_json::Map<String, Value> =
                    fields.iter().map(|f| (f.name.clone(), f.ty.schema())).collect();
                json!({"type": "object", "properties": props, "additionalProperties": false})
            }
            Self::Identity(kind) => {
                json!({"type": "object", "required": ["type", "label", "fingerprint", "json"],
                "properties": {"type": {"const": kind}}})
            }
        }
    }
}

/// A named input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// What it means, with its unit.
    pub about: String,
    /// For inputs: what holds when it is not given; absent means that it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// For inputs: may be left out although there is no default.
    #[serde(default)]
    pub optional: bool,
}

impl Field {
    /// A field that must be given (or, as an output, is always there).
    #[must_use]
    pub fn new(name: &str, ty: Type, about: &str) -> Self {
        Self {
            name: name.into(),
            ty,
            about: about.into(),
            default: None,
            optional: false,
        }
    }

    /// The same with a default.
    #[must_use]
    pub fn or(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// The same, but it may be left out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// Reads or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Reads.
    Probe,
    /// Changes.
    Action,
}

/// How much harm a step can do at worst. Ordered.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Changes nothing.
    Read,
    /// Can be undone without loss.
    Reversible,
    /// Disturbs somebody's work; nothing that was acknowledged is lost.
    Disruptive,
    /// Cannot be undone.
    Irreversible,
}

impl Risk {
    /// As written in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Reversible => "reversible",
            Self::Disruptive => "disruptive",
            Self::Irreversible => "irreversible",
        }
    }
}

/// What a probe or action is called, takes and gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Signature {
    /// Versioned name, such as `pg.terminate_backend@1`.
    pub name: String,
    /// Reads or changes.
    pub kind: Kind,
    /// Worst case.
    pub risk: Risk,
    /// One paragraph for the reference.
    pub about: String,
    /// Inputs (`with:`).
    pub params: Vec<Field>,
    /// Outputs of a probe; what an action reports.
    pub outputs: Vec<Field>,
    /// Nominal type that an action works on, one at a time; `None` for probes and for actions on the scope itself.
    pub target: Option<String>,
    /// For actions: how it is undone, or why it cannot be.
    pub undo: Option<String>,
}

impl Signature {
    /// An output by name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Field> {
        self.outputs.iter().find(|f| f.name == name)
    }

    /// An input by name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&Field> {
        self.params.iter().find(|f| f.name == name)
    }
}
