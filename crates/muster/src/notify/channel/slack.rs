//! Slack's incoming webhooks, and what is compatible (Mattermost, Rocket.Chat).
//!
//! Source: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>; `&`, `<` and `>` are escaped:
//! <https://docs.slack.dev/messaging/formatting-message-text>.

use muster_engine::journal::{Notice, Notification};
use serde_json::{Value, json};

/// The body of the call.
#[must_use]
pub fn body(n: &Notification) -> Value {
    let sign = match n.notice {
        Notice::Raised => "",
        Notice::Acknowledged => ":eyes: ",
        Notice::Over => ":white_check_mark: ",
    };
    json!({"text": format!("{sign}*{}*\n{}", escaped(&n.title).replace('*', "∗"), escaped(&n.text))})
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::due::trial;

    #[test]
    fn nothing_in_a_message_is_taken_for_a_link_or_a_mention() {
        let mut n = trial("chat", "alice", muster_model::Time::from_millis(0));
        n.title = "<!channel> a & b *bold*".to_owned();
        let text = body(&n)["text"].as_str().unwrap_or_default().to_owned();
        assert!(
            text.starts_with("*&lt;!channel&gt; a &amp; b ∗bold∗*\n"),
            "{text}"
        );
    }
}
