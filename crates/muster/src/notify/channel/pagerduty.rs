//! PagerDuty's Events API v2, and what is compatible.
//!
//! Source: <https://developer.pagerduty.com/docs/send-alert-event>. One alarm is one alert there: raised again it stays
//! one, acknowledged and over end it. What comes up later in the same incident is another one, and rings anew.

use muster_engine::journal::{Notice, Notification};
use muster_model::{IncidentSeverity, Time};
use serde_json::{Value, json};

/// Where events go.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// A summary may have so many characters.
const SUMMARY: usize = 1024;

/// The body of the call, without the routing key.
#[must_use]
pub fn body(n: &Notification, at: Time) -> Value {
    let mut body = json!({
        "event_action": match n.notice {
            Notice::Raised => "trigger",
            Notice::Acknowledged => "acknowledge",
            Notice::Over => "resolve",
        },
        "dedup_key": format!("muster/{}", n.about.replace(' ', "/")),
    });
    if n.notice == Notice::Raised {
        body["payload"] = json!({
            "summary": n.title.chars().take(SUMMARY).collect::<String>(),
            "source": "muster",
            "severity": match n.severity {
                IncidentSeverity::P0 => "critical",
                IncidentSeverity::P1 => "error",
                IncidentSeverity::P2 => "warning",
            },
            "timestamp": at,
            "custom_details": {"level": n.level, "text": n.text, "id": n.id},
        });
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::due::trial;

    #[test]
    fn an_alarm_is_one_alert_from_its_beginning_to_its_end() {
        let now = Time::from_millis(0);
        let mut n = trial("duty", "alice", now);
        n.title = "x".repeat(2000);
        let raised = body(&n, now);
        assert_eq!(raised["event_action"], "trigger");
        assert_eq!(raised["payload"]["severity"], "warning");
        assert_eq!(raised["payload"]["summary"].as_str().map(str::len), Some(SUMMARY));
        n.notice = Notice::Over;
        let over = body(&n, now);
        assert_eq!(over["event_action"], "resolve");
        assert_eq!(over["dedup_key"], raised["dedup_key"]);
        assert!(over.get("payload").is_none());
    }
}
