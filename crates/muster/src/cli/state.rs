//! Check, explain, the journal, the freeze switch, proofs.

use std::path::PathBuf;

use clap::Subcommand;
use muster_model::Span;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::exit::{Failure, USAGE};
use super::print::{self, coloured, field};
use super::session::Session;

/// What about the journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Read the whole chain and check every hash, also against heads that were kept outside
    Verify {
        /// File that `journal.export_head` wrote
        #[arg(long, value_name = "FILE")]
        heads: Option<PathBuf>,
    },
    /// Print every entry as a line of JSON
    Export,
}

/// What about proofs.
#[derive(Debug, Subcommand)]
pub enum ProofCommand {
    /// List them
    List,
    /// Take over one that `muster drill --proof-out` wrote
    Import {
        /// File
        file: PathBuf,
    },
}

/// `muster check`.
///
/// # Errors
/// When the target is not in the config.
pub async fn check(
    s: &Session,
    target: Option<&str>,
    deep: Option<Span>,
    as_json: bool,
) -> Result<u8, Failure> {
    let asked = json!({"target": target, "deep_ms": deep.map(Span::millis)});
    let answer = s.call("POST", "/api/v1/check", asked).await?;
    let status = field(&answer, "status");
    if as_json {
        // The promised shape and nothing else.
        let mut shape = answer.clone();
        if let Some(map) = shape.as_object_mut() {
            map.remove("unknown");
        }
        print::json(&shape);
    } else {
        show_check(&answer, &status);
    }
    Ok(match status.as_str() {
        "ok" => 0,
        "warning" => 1,
        "critical" => 2,
        _ => 3,
    })
}

fn show_check(answer: &Value, status: &str) {
    print::line(format!(
        "{} at {}",
        coloured(status).bold(),
        field(answer, "taken_at").get(11..19).unwrap_or_default()
    ));
    let findings = answer["findings"].as_array().cloned().unwrap_or_default();
    if !findings.is_empty() {
        let rows = findings.iter().map(|f| {
            let mark = match (f["cause"].as_bool(), f["pending"].as_bool()) {
                (_, Some(true)) => "pending",
                (Some(true), _) => "cause",
                _ => "symptom",
            };
            let remedy = field(&f["remedy"], "runbook");
            vec![
                coloured(&field(f, "severity")),
                field(f, "kind"),
                field(f, "target"),
                mark.to_owned(),
                field(f, "summary"),
                remedy,
            ]
        });
        print::table(
            &["severity", "kind", "target", "", "what", "runbook"],
            rows.collect(),
        );
    }
    for u in answer["unknown"].as_array().into_iter().flatten() {
        print::line(format!(
            "{} {} of {}: {}",
            coloured("unknown"),
            field(u, "kind"),
            field(u, "target"),
            field(u, "why")
        ));
    }
    for g in answer["gaps"].as_array().into_iter().flatten() {
        let remedy = field(g, "remedy");
        let remedy = if remedy.is_empty() {
            String::new()
        } else {
            format!(" · {remedy}")
        };
        print::line(format!(
            "{} {} of {}: {}{remedy}",
            "not seen".dimmed(),
            field(g, "collector"),
            field(g, "target"),
            field(g, "reason")
        ));
    }
    for d in answer["deep"].as_array().into_iter().flatten() {
        print::line(match d["reason"].as_str() {
            Some(reason) => format!("amcheck: {reason}"),
            None => format!(
                "amcheck: {} indexes of {} databases of {} were checked, {} broken, {} not checked",
                field(d, "checked"),
                field(d, "databases"),
                field(d, "server"),
                field(d, "broken"),
                field(d, "left_out")
            ),
        });
    }
    if findings.is_empty() && status == "ok" {
        print::line("Nothing to report: everything that was looked at is within its limits.");
    }
}

/// What `muster export` writes.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Export {
    /// Prometheus rules
    Alerts,
    /// A Grafana dashboard
    Dashboard,
}

/// `muster export`.
pub fn export(what: Export) {
    match what {
        Export::Alerts => print::line(crate::export::alerts().trim_end()),
        Export::Dashboard => print::json(&crate::export::dashboard()),
    }
}

/// `muster explain`.
///
/// # Errors
/// When there is no such finding now.
pub async fn explain(s: &Session, finding: &str, as_json: bool) -> Result<u8, Failure> {
    if !s.remote().await {
        return Err(Failure::new(
            USAGE,
            "no daemon watches this state, so nothing has been judged over time",
            "start `muster watch` or `muster up`; `muster check` judges once",
        ));
    }
    let answer = s
        .call("GET", &format!("/api/v1/explain/{finding}"), json!({}))
        .await?;
    if as_json {
        print::json(&answer);
        return Ok(0);
    }
    for root in answer.as_array().into_iter().flatten() {
        told(root);
    }
    Ok(0)
}

/// One cause with its chain: what was seen, by which rule, what it explains, what was ruled out, what to do.
fn told(root: &Value) {
    let cause = &root["cause"];
    print::line(format!(
        "{} on {} · {} · since {}",
        field(cause, "kind").bold(),
        field(cause, "target"),
        coloured(&field(cause, "severity")),
        field(cause, "since")
    ));
    print::line(format!("  seen       {}", field(cause, "summary")));
    if let Some(evidence) = cause["evidence"].as_object() {
        let plain = evidence
            .iter()
            .filter(|(_, v)| !v.is_array() && !v.is_object() && !v.is_null() && v.as_str() != Some(""));
        let said: Vec<String> = plain
            .map(|(k, _)| format!("{k} {}", field(&cause["evidence"], k)))
            .collect();
        if !said.is_empty() {
            print::line(format!("             {}", said.join(", ")));
        }
    }
    for symptom in root["symptoms"].as_array().into_iter().flatten() {
        print::line(format!(
            "  explains   {}: {}",
            field(symptom, "kind"),
            field(symptom, "summary")
        ));
    }
    for out in cause["ruled_out"].as_array().into_iter().flatten() {
        print::line(format!("  ruled out  {}", out.as_str().unwrap_or_default()));
    }
    let rule = &root["rules"][0];
    print::line(format!("  rule       {}", field(rule, "about")));
    if let Some(keys) = rule["thresholds"].as_object() {
        let said: Vec<String> = keys
            .iter()
            .map(|(k, _)| format!("{k} {}", field(&rule["thresholds"], k)))
            .collect();
        print::line(format!("             with {}", said.join(", ")));
    }
    print::line(format!("             leaves out: {}", field(rule, "ignores")));
    if rule["proved"].is_object() {
        let word = if rule["proved"]["fires"] == Value::Bool(true) {
            "found"
        } else {
            "did not find"
        };
        print::line(format!(
            "             {word} its specimen at {}",
            field(&rule["proved"], "at")
        ));
    }
    print::line(format!("  do         {}", field(rule, "advice")));
    match cause["remedy"]["runbook"].as_str() {
        Some(runbook) => print::line(format!(
            "             runbook {runbook} answers it: `muster plan {runbook}`"
        )),
        None => print::line("             no runbook answers it"),
    }
}

/// `muster journal …`.
///
/// # Errors
/// When the chain is broken.
pub async fn journal(s: &Session, command: &JournalCommand, as_json: bool) -> Result<u8, Failure> {
    match command {
        JournalCommand::Verify { heads } => {
            let heads = heads.as_deref().map(read_heads).transpose()?;
            let answer = s
                .call("GET", "/api/v1/journal/verify", json!({"heads": heads}))
                .await?;
            if as_json {
                print::json(&answer);
            } else {
                print::line(format!(
                    "{} entries, unbroken; head {}",
                    field(&answer, "entries"),
                    field(&answer, "head")
                ));
                if heads.is_some() {
                    print::line(format!("{} heads from outside fit.", field(&answer, "heads")));
                }
            }
        }
        JournalCommand::Export => {
            let answer = s.call("GET", "/api/v1/journal", json!({})).await?;
            for entry in answer.as_array().into_iter().flatten() {
                print::line(entry.to_string());
            }
        }
    }
    Ok(0)
}

/// Heads from outside, one JSON object a line.
fn read_heads(file: &std::path::Path) -> Result<Vec<Value>, Failure> {
    let wrong = |what: String| {
        Failure::new(
            USAGE,
            format!("{}: {what}", file.display()),
            "give the file that `journal.export_head` wrote",
        )
    };
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| serde_json::from_str(l).map_err(|e| wrong(e.to_string())))
        .collect()
}

/// `muster freeze` and `unfreeze`.
///
/// # Errors
/// When it cannot be journaled.
pub async fn freeze(s: &Session, target: Option<&str>, why: Option<&str>) -> Result<u8, Failure> {
    let of = target.map(|t| format!(" of {t}")).unwrap_or_default();
    match why {
        Some(why) => {
            s.call("POST", "/api/v1/freeze", json!({"why": why, "target": target}))
                .await?;
            print::line(format!(
                "Changes{of} are frozen until `muster unfreeze`; looking goes on."
            ));
        }
        None => {
            s.call("POST", "/api/v1/unfreeze", json!({"target": target}))
                .await?;
            print::line(format!("Changes{of} are allowed again."));
        }
    }
    Ok(0)
}

/// `muster proof …`.
///
/// # Errors
/// When the file is no proof.
pub async fn proof(s: &Session, command: &ProofCommand, as_json: bool) -> Result<u8, Failure> {
    match command {
        ProofCommand::List => {
            let answer = s.call("GET", "/api/v1/proofs", json!({})).await?;
            if as_json {
                print::json(&answer);
                return Ok(0);
            }
            let rows = answer.as_array().into_iter().flatten().map(|p| {
                vec![
                    field(p, "runbook"),
                    field(p, "major"),
                    field(p, "drill"),
                    field(p, "repeats"),
                    field(p, "at"),
                ]
            });
            print::table(
                &["runbook", "postgresql", "drill", "repeats", "passed"],
                rows.collect(),
            );
        }
        ProofCommand::Import { file } => {
            let text = std::fs::read_to_string(file).map_err(|e| {
                Failure::new(
                    1,
                    format!("{}: {e}", file.display()),
                    "give a file of `muster drill --proof-out`",
                )
            })?;
            let all: Value = serde_json::from_str(&text).map_err(|e| {
                Failure::new(
                    USAGE,
                    format!("{}: {e}", file.display()),
                    "give a file of `muster drill --proof-out`",
                )
            })?;
            let proofs = all.as_array().cloned().unwrap_or_else(|| vec![all.clone()]);
            for p in &proofs {
                s.call("POST", "/api/v1/proofs", p.clone()).await?;
            }
            print::line(format!("{} imported.", proofs.len()));
        }
    }
    Ok(0)
}
