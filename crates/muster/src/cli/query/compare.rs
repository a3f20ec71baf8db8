//! `muster query compare`: measurements of one statement beside each other, kept in files without a literal.

use std::path::Path;

use muster_rules::queries::samples::{self, Compared, Difference, Summary};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::super::exit::{self, Failure};
use super::super::print::{self, field};

/// A measurement that was saved.
pub(super) fn read(file: &Path) -> Result<Value, Failure> {
    let wrong = |why: String| {
        Failure::new(
            exit::USAGE,
            format!("{} is no measurement: {why}; nothing was sent", file.display()),
            "give a file that `muster query compare --save` wrote",
        )
    };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    match value["format"].as_u64() {
        Some(f) if f <= u64::from(muster_model::FORMAT) => {}
        Some(f) => return Err(wrong(format!("its format {f} is newer than this program"))),
        None => return Err(wrong("it has no `format`".to_owned())),
    }
    if runs(&value).is_empty() {
        return Err(wrong("it has no `runs_ms`".to_owned()));
    }
    Ok(value)
}

/// Tells what was measured, and how it differs.
pub(super) fn tell(
    answer: &Value,
    before: Option<Value>,
    save: Option<&Path>,
    as_json: bool,
) -> Result<u8, Failure> {
    let measured: Vec<Value> = answer.as_array().cloned().unwrap_or_default();
    let Some(now) = measured.first() else {
        return Err(Failure::new(1, "nothing was measured", "ask again"));
    };
    if let Some(file) = save {
        keep(file, now)?;
    }
    // Two servers: the named one first, the other against it. A file: what was, then what is.
    let pair = match (before, measured.get(1)) {
        (Some(was), _) => Some((was, now.clone())),
        (None, Some(other)) => Some((now.clone(), other.clone())),
        (None, None) => None,
    };
    if let Some((a, b)) = &pair
        && a["fingerprint"] != b["fingerprint"]
    {
        return Err(Failure::new(
            exit::REFUSED,
            format!(
                "these are two statements: {} and {}",
                field(a, "fingerprint"),
                field(b, "fingerprint")
            ),
            "compare the same text; only its values may differ",
        ));
    }
    let compared = pair.as_ref().map(|(a, b)| samples::compare(&runs(a), &runs(b)));
    let sides: Vec<&Value> = pair.as_ref().map_or_else(|| vec![now], |(a, b)| vec![a, b]);
    if as_json {
        let told: Vec<Value> = sides
            .iter()
            .map(|s| json!({"measured": s, "summary": samples::summary(&runs(s))}))
            .collect();
        let notes = pair.as_ref().map(|(a, b)| notes(a, b)).unwrap_or_default();
        print::json(&json!({"sides": told, "compared": compared, "notes": notes}));
        return Ok(0);
    }
    print::line(format!(
        "{}  {}",
        field(now, "fingerprint").dimmed(),
        field(now, "statement")
    ));
    table(&sides);
    for s in &sides {
        if let Some(stopped) = s["stopped"].as_str() {
            print::line(format!("{}: {stopped}", field(s, "server")));
        }
    }
    print::line(samples::summary(&runs(now)).method);
    if let (Some((a, b)), Some(c)) = (&pair, &compared) {
        print::line("");
        print::line(verdict(a, b, c).bold().to_string());
        print::line(c.method.clone());
        for note in notes(a, b) {
            print::line(format!("- {note}"));
        }
    }
    Ok(0)
}

fn runs(side: &Value) -> Vec<f64> {
    let all = side["runs_ms"].as_array();
    all.into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn keep(file: &Path, side: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(side).unwrap_or_default();
    std::fs::write(file, text + "\n").map_err(|e| {
        let error = format!("{} cannot be written: {e}", file.display());
        Failure::new(1, error, "give a file in a folder that you may write to")
    })?;
    print::note(format!("the measurement is in {}", file.display()));
    Ok(())
}

fn table(sides: &[&Value]) {
    let ms = |n: Option<f64>| n.map_or_else(|| "–".to_owned(), |n| format!("{n:.2}"));
    let rows = sides.iter().map(|side| {
        let s: Summary = samples::summary(&runs(side));
        vec![
            field(side, "server"),
            field(side, "taken_at"),
            s.runs.to_string(),
            ms(s.p50_ms),
            s.p50_interval_ms
                .map_or_else(|| "–".to_owned(), |(a, b)| format!("{a:.2}–{b:.2}")),
            ms(s.p95_ms),
            ms(s.p99_ms),
            field(side, "blocks_hit"),
            field(side, "blocks_read"),
            field(side, "rows"),
        ]
    });
    print::table(
        &[
            "server",
            "taken at",
            "runs",
            "p50 ms",
            "95 % of it",
            "p95",
            "p99",
            "hit",
            "read",
            "rows",
        ],
        rows.collect(),
    );
}

fn verdict(a: &Value, b: &Value, c: &Compared) -> String {
    let names = if a["server"] == b["server"] {
        ("now".to_owned(), "before".to_owned())
    } else {
        (field(b, "server"), field(a, "server"))
    };
    let numbers = match (c.shift_ms, c.interval_ms, c.p) {
        (Some(shift), Some((low, high)), Some(p)) => {
            let p = if p < 0.0001 {
                "p < 0.0001".to_owned()
            } else {
                format!("p = {p:.4}")
            };
            format!("by {:.2} ms (95 %: {low:.2} to {high:.2}), {p}", shift.abs())
        }
        _ => String::new(),
    };
    match c.verdict {
        Difference::Faster => format!("Faster: {} than {} {numbers}.", names.0, names.1),
        Difference::Slower => format!("Slower: {} than {} {numbers}.", names.0, names.1),
        Difference::None => "No difference beyond noise, or none that matters.".to_owned(),
        Difference::TooFew => "Too few runs to say: 8 on each side are the least.".to_owned(),
    }
}

/// What makes the two sides less than the same.
fn notes(a: &Value, b: &Value) -> Vec<String> {
    let mut out = Vec::new();
    if a["rows"] != b["rows"] {
        out.push(format!(
            "the rows differ: {} and {}; the values or the data are not the same",
            field(a, "rows"),
            field(b, "rows")
        ));
    }
    if a["plan"] == b["plan"] {
        out.push("the plan has the same shape".to_owned());
    } else {
        let shape = |v: &Value| {
            let all = v["plan"].as_array();
            let names: Vec<&str> = all.into_iter().flatten().filter_map(Value::as_str).collect();
            names.join(" → ")
        };
        out.push(format!("the plan changed: {} became {}", shape(a), shape(b)));
    }
    if a["version_num"] != b["version_num"] {
        out.push("the servers are of different versions".to_owned());
    }
    if a["server"] == b["server"] && a["database"] != b["database"] {
        out.push("the databases differ".to_owned());
    }
    out
}
