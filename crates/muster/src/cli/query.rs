//! `muster query …`: statements.

use clap::Subcommand;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::exit::Failure;
use super::print::{self, field};
use super::session::Session;

/// What about statements.
#[derive(Debug, Subcommand)]
pub enum QueryCommand {
    /// What took the servers' time in the last minute, the longest first
    Top {
        /// Cluster, or one of its servers
        target: Option<String>,
        /// How many of each server
        #[arg(long, default_value_t = 15)]
        limit: usize,
    },
}

/// `muster query`.
///
/// # Errors
/// When the target is not in the config.
pub async fn query(s: &Session, command: &QueryCommand, as_json: bool) -> Result<u8, Failure> {
    let QueryCommand::Top { target, limit } = command;
    let mut answer = s
        .call("POST", "/api/v1/queries", json!({"target": target}))
        .await?;
    for server in answer.as_array_mut().into_iter().flatten() {
        if let Some(rows) = server["statements"].as_array_mut() {
            rows.truncate(*limit);
        }
    }
    if as_json {
        print::json(&answer);
        return Ok(0);
    }
    for server in answer.as_array().into_iter().flatten() {
        show(server);
    }
    Ok(0)
}

fn show(server: &Value) {
    let number = |v: &Value, digits: usize| {
        v.as_f64()
            .map_or_else(|| "–".to_owned(), |n| format!("{n:.digits$}"))
    };
    if let Some(reason) = server["reason"].as_str() {
        print::line(format!("{} {reason}", field(server, "server").bold()));
        return;
    }
    print::line(format!(
        "{} {} calls in {} s, {} ms of work; Muster itself {} ms",
        field(server, "server").bold(),
        field(server, "calls"),
        number(&json!(server["over_ms"].as_f64().unwrap_or_default() / 1000.0), 0),
        number(&server["total_ms"], 0),
        number(&server["own_ms"], 0),
    ));
    let rows = server["statements"].as_array().cloned().unwrap_or_default();
    if rows.is_empty() {
        print::line("  nothing was called");
        return;
    }
    let table = rows.iter().map(|q| {
        let text = field(q, "query").split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(90).collect();
        vec![
            format!("{} %", number(&q["share_percent"], 0)),
            number(&q["mean_ms"], 1),
            number(&q["usual_mean_ms"], 1),
            number(&q["calls_per_second"], 1),
            number(&q["rows_per_call"], 1),
            number(&q["blocks_per_call"], 0),
            format!("{}/{}", field(q, "user"), field(q, "database")),
            if text.is_empty() {
                "(its text is not read yet)".to_owned()
            } else {
                text
            },
        ]
    });
    print::table(
        &[
            "share",
            "mean ms",
            "usual",
            "calls/s",
            "rows",
            "blocks",
            "who",
            "statement",
        ],
        table.collect(),
    );
}
