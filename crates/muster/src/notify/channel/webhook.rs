//! Our own JSON, for whoever writes a receiver.

use muster_engine::journal::Notification;
use muster_model::Time;
use serde_json::{Value, json};

/// The body of the call. `id` stays the same when a message comes twice.
#[must_use]
pub fn body(n: &Notification, at: Time) -> Value {
    json!({
        "format": muster_model::FORMAT,
        "id": n.id,
        "thread": n.thread,
        "notice": n.notice,
        "level": n.level,
        "severity": n.severity,
        "title": n.title,
        "text": n.text,
        "at": at,
    })
}
