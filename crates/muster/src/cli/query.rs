//! `muster query …`: statements.

mod compare;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::exit::{self, Failure};
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
    /// The plan of one statement, and what costs most in it
    Explain {
        /// Which
        #[command(flatten)]
        which: Which,
        /// Carry it out to measure it: one SELECT that has no effect, in a read-only transaction that is rolled back
        #[arg(long)]
        analyze: bool,
    },
    /// Indexes that might help one statement, and why those that are there are not used. Makes none
    Advise {
        /// Which
        #[command(flatten)]
        which: Which,
    },
    /// How long one statement takes, against a measurement from before or against another server
    Compare {
        /// Which
        #[command(flatten)]
        which: Which,
        /// How often it is carried out, after two runs that do not count
        #[arg(long, default_value_t = 20)]
        runs: u64,
        /// All runs together, in seconds
        #[arg(long, default_value_t = 60)]
        within: u64,
        /// Write the measurement to a file
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        /// Compare with a measurement that was saved
        #[arg(long, value_name = "FILE", conflicts_with = "against")]
        with: Option<PathBuf>,
        /// Compare with another server, in turns
        #[arg(long, value_name = "TARGET")]
        against: Option<String>,
    },
}

/// Which statement, and where.
#[derive(Args, Debug)]
pub struct Which {
    /// Id that `muster query top` prints (not with --sql or --file), then a cluster or one of its servers
    #[arg(value_name = "FINGERPRINT] [TARGET", num_args = 0..=2)]
    names: Vec<String>,
    /// Its text
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    sql: Option<String>,
    /// A file with its text
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Database; without it that of the statement, else that of the login
    #[arg(long)]
    database: Option<String>,
    /// Value of $1, then of $2, …; \N is NULL
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    param: Vec<String>,
    /// Where names are looked up; without it as the statement's user, else as everybody
    #[arg(long, value_name = "SCHEMAS")]
    search_path: Option<String>,
    /// How long the server may take for it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
}

impl Which {
    fn body(&self) -> Result<Value, Failure> {
        let text = match (&self.sql, &self.file) {
            (Some(sql), _) => Some(sql.clone()),
            (None, Some(file)) => Some(std::fs::read_to_string(file).map_err(|e| {
                let error = format!("{} cannot be read: {e}", file.display());
                Failure::new(exit::USAGE, error, "give a file with one statement")
            })?),
            (None, None) => None,
        };
        let (id, target) = match (&text, &self.names[..]) {
            (Some(_), []) => (None, None),
            (Some(_), [target]) => (None, Some(target)),
            (None, [id]) => (Some(id), None),
            (None, [id, target]) => (Some(id), Some(target)),
            (None, _) => {
                let error = "no statement is given";
                let remedy = "give the id that `muster query top` prints, or `--sql TEXT`, or `--file FILE`";
                return Err(Failure::new(exit::USAGE, error, remedy));
            }
            (Some(_), _) => {
                let error = "an id and a text are given";
                return Err(Failure::new(
                    exit::USAGE,
                    error,
                    "give one of them, then the target",
                ));
            }
        };
        Ok(json!({
            "id": id, "sql": text, "target": target, "database": self.database, "params": self.param,
            "search_path": self.search_path, "timeout": self.timeout,
        }))
    }
}

/// `muster query`.
///
/// # Errors
/// When the target is not in the config, or the statement is refused.
pub async fn query(s: &Session, command: &QueryCommand, as_json: bool) -> Result<u8, Failure> {
    match command {
        QueryCommand::Top { target, limit } => top(s, target.as_deref(), *limit, as_json).await,
        QueryCommand::Explain { which, analyze } => {
            let mut body = which.body()?;
            body["analyze"] = (*analyze).into();
            let answer = s.call("POST", "/api/v1/queries/explain", body).await?;
            told(&answer, as_json, show::plan)
        }
        QueryCommand::Advise { which } => {
            let answer = s.call("POST", "/api/v1/queries/advise", which.body()?).await?;
            told(&answer, as_json, show::advice)
        }
        QueryCommand::Compare {
            which,
            runs,
            within,
            save,
            with,
            against,
        } => {
            let mut body = which.body()?;
            body["runs"] = (*runs).into();
            body["within"] = (*within).into();
            body["against"] = json!(against);
            // A file that is wrong is told before anything is sent.
            let before = with.as_deref().map(compare::read).transpose()?;
            let answer = s.call("POST", "/api/v1/queries/measure", body).await?;
            compare::tell(&answer, before, save.as_deref(), as_json)
        }
    }
}

fn told(answer: &Value, as_json: bool, show: impl Fn(&Value)) -> Result<u8, Failure> {
    if as_json {
        print::json(answer);
    } else {
        show(answer);
    }
    Ok(0)
}

async fn top(s: &Session, target: Option<&str>, limit: usize, as_json: bool) -> Result<u8, Failure> {
    let mut answer = s
        .call("POST", "/api/v1/queries", json!({"target": target}))
        .await?;
    for server in answer.as_array_mut().into_iter().flatten() {
        if let Some(rows) = server["statements"].as_array_mut() {
            rows.truncate(limit);
        }
    }
    told(&answer, as_json, |answer| {
        answer.as_array().into_iter().flatten().for_each(of_server);
    })
}

fn of_server(server: &Value) {
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
        let text: String = text.chars().take(70).collect();
        vec![
            format!("{} %", number(&q["share_percent"], 0)),
            number(&q["mean_ms"], 1),
            number(&q["usual_mean_ms"], 1),
            number(&q["calls_per_second"], 1),
            number(&q["rows_per_call"], 1),
            number(&q["blocks_per_call"], 0),
            format!("{}/{}", field(q, "user"), field(q, "database")),
            if q["fingerprint"].is_string() {
                field(q, "fingerprint")
            } else {
                field(q, "queryid")
            },
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
            "id",
            "statement",
        ],
        table.collect(),
    );
}
