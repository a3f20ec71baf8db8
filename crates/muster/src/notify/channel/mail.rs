//! A mail: the messages of one thread hang together.

use lettre::Message;
use lettre::message::header::ContentType;
use muster_engine::journal::{Notice, Notification};

/// The mail.
///
/// # Errors
/// When an address is none.
pub fn mail(n: &Notification, from: &str, to: &[String]) -> Result<Message, String> {
    let host = from
        .rsplit_once('@')
        .map_or("muster", |(_, host)| host.trim_end_matches('>'));
    let thread = format!("<{}.thread@{host}>", n.thread);
    let address = |a: &str| {
        a.parse()
            .map_err(|e| format!("`{a}` is no address of a mailbox: {e}"))
    };
    let mut mail = Message::builder()
        .from(address(from)?)
        // One line, whatever is in the title.
        .subject(n.title.split_whitespace().collect::<Vec<_>>().join(" "))
        .message_id(Some(format!("<{}@{host}>", n.id)))
        .in_reply_to(thread.clone())
        .references(thread)
        .header(ContentType::TEXT_PLAIN);
    for receiver in to {
        mail = mail.to(address(receiver)?);
    }
    let about = match n.notice {
        Notice::Raised => format!("Level {}, severity {:?}.", n.level, n.severity),
        Notice::Acknowledged | Notice::Over => String::new(),
    };
    mail.body(format!("{}\n\n{about}\n", n.text))
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::due::trial;

    #[test]
    fn a_title_cannot_add_a_header_and_a_wrong_address_is_named() {
        let mut n = trial("mail", "alice", muster_model::Time::from_millis(0));
        n.title = "a\r\nBcc: eve@example.org".to_owned();
        let to = ["ops@example.org".to_owned()];
        let text = mail(&n, "muster@example.org", &to).expect("a mail").formatted();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.lines().any(|l| l.starts_with("Bcc:")), "{text}");
        let wrong = mail(&n, "muster@example.org", &["nobody".to_owned()]).expect_err("no address");
        assert!(wrong.contains("`nobody`"), "{wrong}");
    }
}
