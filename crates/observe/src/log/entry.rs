//! One entry of a log, whichever format it was written in.
//!
//! Knows the fields that all formats share. Its texts are as the server wrote them: they do not leave this module
//! unredacted.

use muster_model::Time;
use muster_model::snapshot::LogLevel;

/// Longest text that is kept of a field; a statement of megabytes tells nothing more.
pub(crate) const LONGEST: usize = 64 * 1024;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When, if the log says so in a way that can be read.
    pub at: Option<Time>,
    /// Its level.
    pub level: LogLevel,
    /// SQLSTATE.
    pub sqlstate: Option<String>,
    /// Process that wrote it.
    pub pid: Option<i32>,
    /// User.
    pub user: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// Client host, without its port.
    pub client: Option<String>,
    /// The message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
    /// CONTEXT.
    pub context: Option<String>,
    /// STATEMENT.
    pub statement: Option<String>,
}

impl Entry {
    /// An entry of which nothing but its level is known.
    #[must_use]
    pub fn new(level: LogLevel) -> Self {
        Self {
            at: None,
            level,
            sqlstate: None,
            pid: None,
            user: None,
            database: None,
            client: None,
            message: String::new(),
            detail: None,
            hint: None,
            context: None,
            statement: None,
        }
    }
}

/// The level that a word of the log stands for; words of other languages are none.
#[must_use]
pub fn level(word: &str) -> Option<LogLevel> {
    Some(match word {
        "LOG" => LogLevel::Log,
        "ERROR" => LogLevel::Error,
        "FATAL" => LogLevel::Fatal,
        "PANIC" => LogLevel::Panic,
        "WARNING" => LogLevel::Warning,
        "INFO" | "NOTICE" => LogLevel::Notice,
        "DEBUG" | "DEBUG1" | "DEBUG2" | "DEBUG3" | "DEBUG4" | "DEBUG5" => LogLevel::Debug,
        _ => return None,
    })
}

/// Adds text to a field without letting it grow for ever.
pub(crate) fn grow(field: &mut String, text: &str) {
    let room = LONGEST.saturating_sub(field.len());
    let mut end = room.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    field.push_str(&text[..end]);
}

/// `None` for what stands for nothing.
pub(crate) fn some(text: &str) -> Option<String> {
    (!text.is_empty() && text != "[unknown]").then(|| text.to_owned())
}

/// A client's host without its port: `10.0.0.7(51234)`, `10.0.0.7:51234`, `[local]`.
pub(crate) fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.split('(').next().unwrap_or(text);
    let bare = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => text,
    };
    some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_its_host_however_it_is_written() {
        for (text, expected) in [
            ("10.0.0.7(51234)", Some("10.0.0.7")),
            ("10.0.0.7:51234", Some("10.0.0.7")),
            ("2001:db8::1(5)", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[local]", Some("[local]")),
            ("[unknown]", None),
            ("", None),
        ] {
            assert_eq!(host(text).as_deref(), expected, "{text}");
        }
    }
}
