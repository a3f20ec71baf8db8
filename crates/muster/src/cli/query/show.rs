//! A plan and advice, for people.

use owo_colors::OwoColorize;
use serde_json::Value;

use super::super::print::{self, field};

fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let all = value[key].as_array();
    all.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Where, and how it was planned.
fn head(answer: &Value) {
    let user = answer["user"]
        .as_str()
        .map(|u| format!(" as {u}"))
        .unwrap_or_default();
    print::line(format!(
        "{} · database {}{user} · {}",
        field(answer, "server").bold(),
        field(answer, "database"),
        field(answer, "why_here")
    ));
    print::line(format!(
        "{}  {}",
        field(answer, "fingerprint").dimmed(),
        field(answer, "statement")
    ));
    print::line(format!(
        "{}; names are looked up in {}",
        field(answer, "how"),
        field(answer, "search_path")
    ));
}

/// `muster query explain`.
pub(super) fn plan(answer: &Value) {
    head(answer);
    print::line("");
    for line in texts(answer, "lines") {
        print::line(line);
    }
    print::line("");
    if let (Some(planning), Some(execution)) =
        (answer["planning_ms"].as_f64(), answer["execution_ms"].as_f64())
    {
        print::line(format!(
            "It took {execution:.2} ms, and {planning:.2} ms to plan."
        ));
    }
    print::line(field(answer, "heaviest"));
    for hint in list(answer, "hints") {
        print::line(format!("- {}", field(hint, "text")));
    }
}

/// `muster query advise`.
pub(super) fn advice(answer: &Value) {
    head(answer);
    print::line("");
    print::line(field(answer, "summary").bold().to_string());
    print::line(field(answer, "heaviest"));
    if let Some(reason) = answer["hypopg"]["reason"].as_str() {
        print::line(format!("Cannot prove: {reason}"));
    }
    for c in list(answer, "candidates") {
        print::line("");
        candidate(c);
    }
    for there in list(answer, "already_there") {
        print::line(format!(
            "\nAlready there: index {} on {} serves ({}).",
            field(there, "index"),
            field(there, "table"),
            field(there, "columns")
        ));
    }
    let reasons = list(answer, "reasons");
    if !reasons.is_empty() {
        print::line("\nWhy tables are read whole:");
    }
    for r in reasons {
        let remedy = r["remedy"]
            .as_str()
            .map(|r| format!(" · {r}"))
            .unwrap_or_default();
        print::line(format!("- {}{}", field(r, "text"), remedy.dimmed()));
    }
    let gap = &answer["write_cost_gap"];
    if let Some(reason) = gap["reason"].as_str() {
        print::line(format!("\nThe write cost is not known: {reason}"));
    }
}

fn candidate(c: &Value) {
    let advice = field(c, "advice").replace('_', " ");
    print::line(format!(
        "{} ({}): {advice}",
        field(c, "table"),
        field(c, "columns")
    ));
    print::line(format!("  {}", field(c, "why")));
    if !matches!(c["advice"].as_str(), Some("advised" | "cannot_prove")) {
        return;
    }
    match c["bytes"].as_u64() {
        Some(bytes) => print::line(format!(
            "  size: about {} ({})",
            megabytes(bytes),
            field(c, "size_method")
        )),
        None => print::line("  size: not known: the statistics lack the width of a column"),
    }
    if let Some(cost) = c["write_cost"].as_str() {
        print::line(format!("  price: {cost}"));
    }
    print::line(format!("  make: {}", field(c, "create")));
    print::line(format!("  undo: {}", field(c, "drop")));
    for note in texts(c, "notes") {
        print::line(format!("  note: {note}"));
    }
}

fn megabytes(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let mb = bytes as f64 / 1_048_576.0;
    format!("{mb:.1} MB")
}
