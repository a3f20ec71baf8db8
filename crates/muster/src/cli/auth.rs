//! Who may do what, by a token of their own.

use clap::Subcommand;
use owo_colors::OwoColorize;
use serde_json::json;

use super::exit::Failure;
use super::print::{self, field};
use super::session::Session;

/// What about people.
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Add somebody, or give them another role and a new token; the token is shown once
    Add {
        /// Name, as in `policy.approvers`
        name: String,
        /// viewer, operator, approver or admin; each may do what the ones before may
        #[arg(long, default_value = "viewer")]
        role: String,
        /// A program, such as Alertmanager: operator at most, because only people decide
        #[arg(long)]
        service: bool,
    },
    /// Remove somebody: their token opens nothing any more
    Revoke {
        /// Name
        name: String,
    },
    /// List everybody
    List,
}

/// `muster auth …`.
///
/// # Errors
/// When the name or the role cannot be one, or nobody has that name.
pub async fn auth(s: &Session, command: &AuthCommand, as_json: bool) -> Result<u8, Failure> {
    match command {
        AuthCommand::Add { name, role, service } => {
            let body = json!({"name": name, "role": role, "service": service});
            let answer = s.call("POST", "/api/v1/auth", body).await?;
            if as_json {
                print::json(&answer);
                return Ok(0);
            }
            print::line(format!(
                "{} is {}. The token, shown this once:",
                name.bold(),
                field(&answer, "role")
            ));
            print::line(format!("  {}", field(&answer, "token")));
            print::note("it goes into the field Token of the page, or the header X-Muster-Token");
            let approvers = &s.config.policy.approvers;
            if matches!(role.as_str(), "approver" | "admin") && !approvers.contains(name) {
                print::note(format!(
                    "to approve, {name} must also stand in `policy.approvers` of the config"
                ));
            }
        }
        AuthCommand::Revoke { name } => {
            let answer = s
                .call("POST", "/api/v1/auth/revoke", json!({"name": name}))
                .await?;
            if as_json {
                print::json(&answer);
            } else {
                print::line(format!("{} is removed.", name.bold()));
            }
        }
        AuthCommand::List => {
            let answer = s.call("GET", "/api/v1/auth", json!({})).await?;
            if as_json {
                print::json(&answer);
                return Ok(0);
            }
            let rows: Vec<Vec<String>> = answer
                .as_array()
                .into_iter()
                .flatten()
                .map(|p| {
                    vec![
                        field(p, "name"),
                        if p["service"] == true {
                            format!("{}, a service", field(p, "role"))
                        } else {
                            field(p, "role")
                        },
                        field(p, "added_by"),
                        field(p, "added_at"),
                    ]
                })
                .collect();
            if rows.is_empty() {
                print::line("Nobody yet; `muster watch` adds the user who runs it.");
            } else {
                print::table(&["name", "role", "added by", "at"], rows);
            }
        }
    }
    Ok(0)
}
