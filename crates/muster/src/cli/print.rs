//! Printing: tables and sentences for people, JSON for programs. Colour only where a terminal wants it.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use owo_colors::{OwoColorize, Style};
use serde_json::Value;

use super::exit::Failure;

/// A line on standard output; a closed pipe is no failure.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stdout(), "{}", text.as_ref());
}

/// A line for people beside the result, on standard error.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr(), "{}", text.as_ref());
}

/// JSON on standard output.
pub fn json(value: &Value) {
    line(serde_json::to_string_pretty(value).unwrap_or_default());
}

/// A failure: one line, then what to do.
pub fn error(e: &Failure, as_json: bool) {
    if as_json {
        json(&serde_json::json!({"error": e.message, "remedy": e.remedy, "exit": e.code}));
    }
    let first = format!("{} {}", "error:".style(Style::new().red().bold()), e.message);
    if e.remedy.is_empty() {
        note(first);
    } else {
        note(format!("{first} {} {}", "·".dimmed(), e.remedy));
    }
}

/// A table.
pub fn table(headers: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headers.iter().map(|h| h.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for text in table.to_string().lines() {
        line(text.trim_end());
    }
}

/// A severity, state or outcome in its colour.
#[must_use]
pub fn coloured(word: &str) -> String {
    let style = match word {
        "critical" | "P0" | "P1" | "failed" | "escalated" | "indeterminate" | "refused" | "stopped" => {
            Style::new().red().bold()
        }
        "warning" | "P2" | "unknown" | "waiting" | "mitigating" | "open" | "injected" => {
            Style::new().yellow()
        }
        "ok" | "proven" | "resolved" | "running" | "done" => Style::new().green(),
        _ => Style::new(),
    };
    word.style(style).to_string()
}

/// Text of a field.
#[must_use]
pub fn field(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(s)) => s.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}
