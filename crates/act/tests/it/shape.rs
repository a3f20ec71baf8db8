//! Whether a record has exactly the fields and types of a signature.

use muster_model::{Field, FrozenTarget, Record, Signature, Span, Type};
use serde_json::Value;

/// Outputs of a probe against its signature.
///
/// # Panics
/// When a field is missing, too many, or of another type.
pub(crate) fn exact(signature: &Signature, outputs: &Record) {
    fields(&signature.name, &signature.outputs, outputs);
}

fn fields(place: &str, wanted: &[Field], found: &Record) {
    let mut names: Vec<&str> = wanted.iter().map(|f| f.name.as_str()).collect();
    let mut keys: Vec<&str> = found.keys().map(String::as_str).collect();
    names.sort_unstable();
    keys.sort_unstable();
    assert_eq!(keys, names, "{place}");
    for field in wanted {
        value(&format!("{place}.{}", field.name), &field.ty, &found[&field.name]);
    }
}

fn value(place: &str, ty: &Type, found: &Value) {
    let fits = match ty {
        Type::Bool => found.is_boolean(),
        Type::Int => found.is_i64() || found.is_u64(),
        Type::Bytes => found.is_u64(),
        Type::Float => found.is_number(),
        Type::Text => found.is_string(),
        Type::Duration => found.as_str().is_some_and(|t| t.parse::<Span>().is_ok()),
        Type::Time => found
            .as_str()
            .is_some_and(|t| t.parse::<muster_model::Time>().is_ok()),
        Type::List(of) => {
            for (i, item) in found.as_array().into_iter().flatten().enumerate() {
                value(&format!("{place}[{i}]"), of, item);
            }
            found.is_array()
        }
        Type::Record(of) => {
            if let Some(map) = found.as_object() {
                fields(place, of, map);
            }
            found.is_object()
        }
        Type::Identity(kind) => {
            let frozen = FrozenTarget::from_value(found);
            frozen.is_ok_and(|t| t.kind == *kind && !t.fingerprint.is_empty() && !t.label.is_empty())
        }
    };
    assert!(fits, "{place}: {found} is not {}", ty.name());
}

#[test]
fn the_check_itself_finds_what_is_wrong() {
    let signature = muster_act::signatures()
        .into_iter()
        .find(|s| s.name == "pg.idle_sessions@1")
        .expect("signature");
    let good = serde_json::json!({"sessions": [], "owner": "app/x", "count": 0, "needed": 0});
    let good = good.as_object().expect("object");
    exact(&signature, good);
    let mut missing = good.clone();
    missing.remove("owner");
    let mut more = good.clone();
    more.insert("extra".into(), 1.into());
    let mut other = good.clone();
    other.insert("count".into(), "0".into());
    for bad in [missing, more, other] {
        let signature = signature.clone();
        assert!(std::panic::catch_unwind(move || exact(&signature, &bad)).is_err());
    }
}
