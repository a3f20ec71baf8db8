//! Lines of a `jsonlog`: one object each.

use serde_json::{Map, Value};

use super::entry::{Entry, grow, host, level, some};
use super::when::Zone;

/// Reads lines.
#[derive(Debug)]
pub struct Reader {
    zone: Zone,
}

impl Reader {
    /// With the zone that the server logs in.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        Self { zone }
    }

    /// The server logs in another zone from here on.
    pub fn retune(&mut self, zone: Zone) {
        self.zone = zone;
    }

    /// Takes a line; whether it is an entry.
    pub fn line(&mut self, line: &str, out: &mut Vec<Entry>) -> bool {
        let entry = serde_json::from_str::<Value>(line)
            .ok()
            .and_then(|v| self.entry(v.as_object()?));
        let known = entry.is_some();
        out.extend(entry);
        known
    }

    fn entry(&self, object: &Map<String, Value>) -> Option<Entry> {
        let get = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let mut entry = Entry::new(level(get("error_severity"))?);
        entry.at = self.zone.read(get("timestamp")).and_then(|(t, _)| t);
        entry.pid = object
            .get("pid")
            .and_then(Value::as_i64)
            .and_then(|p| p.try_into().ok());
        entry.user = some(get("user"));
        entry.database = some(get("dbname"));
        entry.client = host(get("remote_host"));
        entry.sqlstate = some(get("state_code"));
        grow(&mut entry.message, get("message"));
        let text = |key: &str| {
            let mut kept = String::new();
            grow(&mut kept, get(key));
            (!kept.is_empty()).then_some(kept)
        };
        entry.detail = text("detail");
        entry.hint = text("hint");
        entry.context = text("context");
        entry.statement = text("statement");
        Some(entry)
    }
}
