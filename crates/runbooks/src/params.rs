//! Parameters given on the command line, read by the types that the runbook declares.

use std::collections::BTreeMap;

use muster_model::{Record, Span, Time, Type};
use serde_json::Value;

use crate::ir::{Param, Runbook};
use crate::problem::did_you_mean;

/// All parameters of a runbook, given or by default.
///
/// # Errors
/// One sentence for each that is unknown, missing, of the wrong type or out of bounds.
pub fn parse(runbook: &Runbook, given: &BTreeMap<String, String>) -> Result<Record, Vec<String>> {
    let mut out = Record::new();
    let mut problems = Vec::new();
    for name in given.keys() {
        if !runbook.params.iter().any(|p| p.name == *name) {
            let known: Vec<&str> = runbook.params.iter().map(|p| p.name.as_str()).collect();
            let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
                format!(
                    "it has: {}",
                    if known.is_empty() {
                        "none".into()
                    } else {
                        known.join(", ")
                    }
                )
            });
            problems.push(format!(
                "runbook `{}` has no parameter `{name}`; {help}",
                runbook.id
            ));
        }
    }
    for param in &runbook.params {
        match given.get(&param.name) {
            None => match &param.default {
                Some(value) => {
                    out.insert(param.name.clone(), value.clone());
                }
                None => problems.push(format!("parameter `{}` is needed: {}", param.name, param.about)),
            },
            Some(text) => match value_of(text, &param.ty).and_then(|v| bounded(param, v)) {
                Ok(value) => {
                    out.insert(param.name.clone(), value);
                }
                Err(e) => problems.push(format!("parameter `{}`: {e}", param.name)),
            },
        }
    }
    if problems.is_empty() {
        Ok(out)
    } else {
        Err(problems)
    }
}

/// A value from its text.
///
/// # Errors
/// A sentence that says what it should look like.
pub fn value_of(text: &str, ty: &Type) -> Result<Value, String> {
    let not = |shape: &str| format!("`{text}` is not {shape}");
    match ty {
        Type::Bool => text
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| not("true or false")),
        Type::Int | Type::Bytes => text
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| not("a whole number")),
        Type::Float => text
            .parse::<f64>()
            .ok()
            .filter(|f| f.is_finite())
            .map(Value::from)
            .ok_or_else(|| not("a number")),
        Type::Text => Ok(Value::String(text.to_owned())),
        Type::Duration => text.parse::<Span>().map(|s| Value::String(s.to_string())),
        Type::Time => text.parse::<Time>().map(|t| Value::String(t.to_string())),
        Type::List(of) => text
            .split(',')
            .map(|t| value_of(t.trim(), of))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        Type::Record(_) | Type::Identity(_) => {
            Err(format!("a {} cannot be given on the command line", ty.name()))
        }
    }
}

/// The value, when it is within the bounds of its parameter.
///
/// # Errors
/// A sentence that names the bound.
pub fn bounded(param: &Param, value: Value) -> Result<Value, String> {
    let size = |v: &Value| match (&param.ty, v) {
        (Type::Duration, Value::String(s)) => s.parse::<Span>().ok().map(|s| s.secs_f64()),
        (_, v) => v.as_f64(),
    };
    for (bound, low) in [(&param.min, true), (&param.max, false)] {
        let (Some(bound), Some(value_size)) = (bound, size(&value)) else {
            continue;
        };
        let Some(bound_size) = size(bound) else { continue };
        if (low && value_size < bound_size) || (!low && value_size > bound_size) {
            let word = if low { "least" } else { "most" };
            return Err(format!(
                "{} is out of bounds: at {word} {}",
                plain(&value),
                plain(bound)
            ));
        }
    }
    Ok(value)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
