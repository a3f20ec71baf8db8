//! Incidents: list, tell, note, close, write down.

use std::path::PathBuf;

use clap::Subcommand;
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::exit::Failure;
use super::print::{self, coloured, field};
use super::session::Session;

/// What about incidents.
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// List incidents
    List,
    /// Tell the story of one in order
    Show {
        /// Id; the newest when left out
        #[arg(default_value = "latest")]
        id: String,
    },
    /// Write something down
    Note {
        /// Id of the incident, or `latest`
        id: String,
        /// Text of the note
        text: String,
    },
    /// Close one by hand
    Resolve {
        /// Id of the incident, or `latest`
        id: String,
        /// Reason, for the journal
        #[arg(long)]
        why: String,
    },
    /// Write the postmortem as Markdown, every sentence citing a journal entry
    Postmortem {
        /// Id; the newest when left out
        #[arg(default_value = "latest")]
        id: String,
        /// Into a file
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

/// `muster incident …`.
///
/// # Errors
/// When there is no such incident.
pub async fn incident(s: &Session, command: IncidentCommand, as_json: bool) -> Result<u8, Failure> {
    match command {
        IncidentCommand::List => {
            let answer = s.call("GET", "/api/v1/incidents", json!({})).await?;
            if as_json {
                print::json(&answer);
                return Ok(0);
            }
            let items = answer.as_array().cloned().unwrap_or_default();
            if items.is_empty() {
                print::line("No incidents.");
                return Ok(0);
            }
            let rows = items.iter().map(|i| {
                vec![
                    field(i, "id"),
                    coloured(&field(i, "state")),
                    coloured(&field(i, "severity")),
                    field(&i["cause"], "kind"),
                    field(i, "target"),
                    field(i, "detected_at")
                        .get(..19)
                        .unwrap_or_default()
                        .replace('T', " "),
                    i["symptoms"].as_array().map_or(0, Vec::len).to_string(),
                ]
            });
            print::table(
                &[
                    "incident", "state", "severity", "cause", "target", "detected", "symptoms",
                ],
                rows.collect(),
            );
        }
        IncidentCommand::Show { id } => {
            let story = s
                .call("GET", &format!("/api/v1/incidents/{id}"), json!({}))
                .await?;
            if as_json {
                print::json(&story);
            } else {
                show(&story);
            }
        }
        IncidentCommand::Note { id, text } => {
            s.call(
                "POST",
                &format!("/api/v1/incidents/{id}/note"),
                json!({"text": text}),
            )
            .await?;
            print::line("Noted.");
        }
        IncidentCommand::Resolve { id, why } => {
            s.call(
                "POST",
                &format!("/api/v1/incidents/{id}/resolve"),
                json!({"why": why}),
            )
            .await?;
            print::line("Closed.");
        }
        IncidentCommand::Postmortem { id, output } => {
            let answer = s
                .call("GET", &format!("/api/v1/incidents/{id}/postmortem"), json!({}))
                .await?;
            let text = field(&answer, "markdown");
            match output {
                None => print::line(text.trim_end()),
                Some(path) => {
                    std::fs::write(&path, text).map_err(|e| {
                        Failure::new(
                            1,
                            format!("{}: {e}", path.display()),
                            "choose another file with -o",
                        )
                    })?;
                    print::line(format!("written to {}", path.display()));
                }
            }
        }
    }
    Ok(0)
}

fn show(story: &Value) {
    let i = &story["incident"];
    let cause = field(&i["cause"], "kind");
    print::line(format!(
        "{} {} {}",
        field(i, "id").bold(),
        coloured(&field(i, "severity")),
        coloured(&field(i, "state"))
    ));
    print::line(format!(
        "{} on {}: {}",
        cause.bold(),
        field(i, "target"),
        field(&i["finding"], "summary")
    ));
    let symptoms: Vec<String> = i["symptoms"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect();
    if !symptoms.is_empty() {
        print::line(format!("also seen as: {}", symptoms.join(", ")));
    }
    for r in i["finding"]["ruled_out"].as_array().into_iter().flatten() {
        print::line(
            format!("ruled out: {}", r.as_str().unwrap_or_default())
                .dimmed()
                .to_string(),
        );
    }
    print::line("");
    for e in story["timeline"].as_array().into_iter().flatten() {
        let at = field(e, "at").get(11..19).unwrap_or_default().to_owned();
        let text = field(e, "text");
        let text = match field(e, "tone").as_str() {
            "trouble" => text.red().to_string(),
            "proof" | "end" => text.green().to_string(),
            "person" => text.cyan().to_string(),
            _ => text,
        };
        let cite = serde_json::from_value::<muster_model::TimelineEntry>(e.clone())
            .map_or_else(|_| format!("[{}]", field(e, "entry")), |line| line.cite());
        print::line(format!("{} {text} {}", at.dimmed(), cite.dimmed()));
    }
}
