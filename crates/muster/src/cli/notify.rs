//! Messages to people, and saying that one has it.

use clap::Subcommand;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::exit::Failure;
use super::print::{self, field};
use super::session::Session;

/// What about messages.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// List the messages: what was sent, what waits, what was not taken
    List,
    /// Send a test through a channel and see whether it is taken; exit 1 when one is not
    Test {
        /// Channel of the config; without it all
        channel: Option<String>,
    },
}

/// `muster notify …`.
///
/// # Errors
/// When there is no such channel, or the journal cannot be read.
pub async fn notify(s: &Session, command: &NotifyCommand, as_json: bool) -> Result<u8, Failure> {
    match command {
        NotifyCommand::List => {
            let answer = s.call("GET", "/api/v1/notifications", json!({})).await?;
            if as_json {
                print::json(&answer);
                return Ok(0);
            }
            let row = |q: &Value| {
                let n = &q["notification"];
                let said = match q["sending"].as_str() {
                    Some("sent") => "sent".to_owned(),
                    Some("given_up") => format!("given up: {}", field(q, "why")),
                    _ if field(q, "why").is_empty() => "waits".to_owned(),
                    _ => format!("waits: {}", field(q, "why")),
                };
                vec![
                    field(q, "at"),
                    field(n, "level"),
                    field(n, "channel"),
                    field(n, "title"),
                    said,
                ]
            };
            let rows: Vec<Vec<String>> = answer.as_array().into_iter().flatten().map(row).collect();
            if rows.is_empty() {
                print::line("Nobody was told anything yet.");
                if s.config.notify.channels.is_empty() {
                    print::note("the config names no channel: docs/guides/notifications.md");
                }
            } else {
                print::table(&["at", "level", "channel", "message", ""], rows);
            }
            Ok(0)
        }
        NotifyCommand::Test { channel } => {
            let answer = s
                .call("POST", "/api/v1/notifications/test", json!({"channel": channel}))
                .await?;
            let all = answer.as_array().cloned().unwrap_or_default();
            let failed = all.iter().any(|c| c["taken"] != true);
            if as_json {
                print::json(&answer);
            } else {
                for c in &all {
                    let (name, kind) = (field(c, "channel"), field(c, "kind"));
                    if c["taken"] == true {
                        print::line(format!("{} ({kind}) took it.", name.bold()));
                    } else {
                        print::line(format!("{} ({kind}): {}.", name.bold(), field(c, "why").red()));
                    }
                }
            }
            Ok(u8::from(failed))
        }
    }
}

/// `muster ack`.
///
/// # Errors
/// When there is no such incident and no such run.
pub async fn ack(s: &Session, id: &str, why: &str, as_json: bool) -> Result<u8, Failure> {
    let answer = s
        .call("POST", "/api/v1/ack", json!({"id": id, "why": why}))
        .await?;
    if as_json {
        print::json(&answer);
    } else {
        print::line(format!(
            "You have {}: nobody further is called about it.",
            field(&answer, "acknowledged").bold()
        ));
    }
    Ok(0)
}
