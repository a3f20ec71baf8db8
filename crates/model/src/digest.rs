//! Canonical JSON and its SHA-256: the one way in which Muster says that two documents are the same.
//!
//! Canonical means: object keys sorted, no white space, numbers as serde writes them. Refuses to know what it digests.

use serde::Serialize;
use serde_json::Value;
use sha2::Digest as _;

/// A SHA-256 in lower-case hexadecimal.
pub type Digest = String;

/// JSON with sorted keys and no white space.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

/// The digest of a value's canonical JSON. A value that cannot be written as JSON digests as its error text,
/// so it can never equal a valid one.
#[must_use]
pub fn digest_of<T: Serialize + ?Sized>(value: &T) -> Digest {
    let text = match serde_json::to_value(value) {
        Ok(v) => canonical_json(&v),
        Err(e) => format!("\u{0}unserialisable: {e}"),
    };
    digest_of_bytes(text.as_bytes())
}

/// The digest of bytes.
#[must_use]
pub fn digest_of_bytes(bytes: &[u8]) -> Digest {
    hex::encode(sha2::Sha256::digest(bytes))
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_value(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    proptest::proptest! {
        /// A plan is digested before it is stored and again after it was read: every number must survive the text.
        #[test]
        fn the_text_of_any_number_reads_back_as_the_same_text(x in proptest::num::f64::NORMAL) {
            let text = canonical_json(&json!({"x": x}));
            let back: Value = serde_json::from_str(&text).expect("reads");
            proptest::prop_assert_eq!(canonical_json(&back), text);
        }
    }

    #[test]
    fn key_order_does_not_matter_and_values_do() {
        assert_eq!(
            digest_of(&json!({"a":1,"b":[1,2]})),
            digest_of(&json!({"b":[1,2],"a":1}))
        );
        assert_ne!(
            digest_of(&json!({"a":1,"b":[1,2]})),
            digest_of(&json!({"a":1,"b":[2,1]}))
        );
        assert_eq!(
            canonical_json(&json!({"b":"x\"y","a":null})),
            r#"{"a":null,"b":"x\"y"}"#
        );
    }
}
