//! The lab as commands, and its children.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use muster_lab::{Fleet, LabError, LabOptions, PgChoice, fault, faults};
use muster_model::Span;
use serde_json::json;

use super::exit::{Failure, USAGE};
use super::print::{self, coloured};

/// What about the lab.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Start a fleet: a primary, two standbys, PgBouncer, Redis, traffic
    Up(FleetArgs),
    /// Take it down: no process, no file, no shared memory is left
    Down(Where),
    /// What of it runs
    Status(Where),
    /// Inject a fault; it always ends by itself
    Inject {
        /// Which fault
        fault: Option<String>,
        /// Parameter, name=value
        #[arg(long, short, value_name = "NAME=VALUE")]
        param: Vec<String>,
        /// How long it lasts
        #[arg(long = "for", default_value = "10m", value_name = "SPAN")]
        lasts: String,
        /// List the faults
        #[arg(long)]
        list: bool,
        /// Where the fleet is
        #[command(flatten)]
        place: Where,
    },
    /// End all faults
    Heal(Where),
}

/// Where a fleet is.
#[derive(Args, Debug)]
pub struct Where {
    /// Folder of the fleet
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// What a fleet shall be.
#[derive(Args, Debug)]
pub struct FleetArgs {
    /// Folder of the fleet
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// PostgreSQL: a major version (15, 18) or a folder of programs
    #[arg(long, value_name = "15|18|DIR")]
    pub pg: Option<String>,
}

/// A child of the lab.
#[derive(Args, Debug)]
pub struct ChildArgs {
    /// `traffic` or `fault`
    pub kind: String,
    /// Folder of the fleet
    #[arg(long)]
    pub dir: PathBuf,
    /// Fault to hold
    #[arg(long)]
    pub id: Option<String>,
}

/// The usual folder of a fleet.
#[must_use]
pub fn default_dir(name: &str) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    PathBuf::from(format!("/var/tmp/muster-{uid}")).join(name)
}

/// Where `cargo xtask` unpacks programs.
#[must_use]
pub fn cache_dir() -> PathBuf {
    muster_lab::install::cache_dir(&|name| std::env::var_os(name))
}

/// Options of a whole fleet.
///
/// # Errors
/// When `--pg` is neither a version nor a folder.
pub fn options(dir: PathBuf, pg: Option<&str>) -> Result<LabOptions, Failure> {
    let mut options = LabOptions::new(dir, cache_dir());
    options.pg = match pg {
        None => PgChoice::Any,
        Some(text) => match text.parse::<u32>() {
            Ok(major) => PgChoice::Major(major),
            Err(_) if Path::new(text).is_dir() => PgChoice::Dir(PathBuf::from(text)),
            Err(_) => {
                return Err(Failure::new(
                    USAGE,
                    format!("`--pg {text}` is neither a version nor a folder"),
                    "write --pg 15, --pg 18 or --pg /path/to/bin",
                ));
            }
        },
    };
    options.bindir = std::env::var_os("MUSTER_PG_BINDIR").map(PathBuf::from);
    options.child_binary = std::env::current_exe().ok();
    Ok(options)
}

/// Starts a fleet with a progress display.
///
/// # Errors
/// When it does not start.
pub async fn start(options: &LabOptions) -> Result<Fleet, Failure> {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{bar:24.green/black} {msg}") {
        bar.set_style(style.progress_chars("━━ "));
    }
    let shown = bar.clone();
    let fleet = muster_lab::up(options, &move |done, of, what| {
        shown.set_length(u64::from(of));
        shown.set_position(u64::from(done));
        shown.set_message(what.to_owned());
    })
    .await;
    bar.finish_and_clear();
    let fleet = fleet?;
    for missing in &fleet.missing {
        print::note(format!("smaller than wanted: {missing}"));
    }
    Ok(fleet)
}

/// The folder that is meant. The usual one is believed only when it is our own: what is planted there would be stopped,
/// read and removed in our name.
fn folder(place: &Where) -> Result<PathBuf, Failure> {
    if let Some(dir) = &place.dir {
        return Ok(dir.clone());
    }
    let dir = default_dir("lab");
    muster_lab::up::usual(&dir)?;
    Ok(dir)
}

fn open(place: &Where) -> Result<Fleet, Failure> {
    Ok(Fleet::open(&folder(place)?)?)
}

/// `muster lab …`.
///
/// # Errors
/// The lab's, with what to do.
pub async fn lab(command: LabCommand, as_json: bool) -> Result<u8, Failure> {
    match command {
        LabCommand::Up(args) => {
            let dir = args.dir.unwrap_or_else(|| default_dir("lab"));
            let fleet = start(&options(dir, args.pg.as_deref())?).await?;
            super::up::write_config(&fleet, None)?;
            if as_json {
                print::json(&json!(muster_lab::status(&fleet)));
            } else {
                show(&fleet);
                print::note(format!("config: {}", fleet.dir.join("muster.yaml").display()));
            }
        }
        LabCommand::Down(place) => {
            let dir = folder(&place)?;
            let report = muster_lab::down(&dir).await?;
            if as_json {
                print::json(&json!(report));
            } else {
                let stopped = if report.stopped.is_empty() {
                    "Nothing of it ran".to_owned()
                } else {
                    format!("Stopped {}", report.stopped.join(", "))
                };
                print::line(format!("{stopped}; removed {}.", report.removed));
            }
        }
        LabCommand::Status(place) => {
            let fleet = open(&place)?;
            if as_json {
                print::json(&json!(muster_lab::status(&fleet)));
            } else {
                show(&fleet);
            }
        }
        LabCommand::Inject { list: true, .. } | LabCommand::Inject { fault: None, .. } => {
            list_faults(as_json);
        }
        LabCommand::Inject {
            fault: Some(name),
            param,
            lasts,
            place,
            ..
        } => {
            let fleet = open(&place)?;
            let mut params = Vec::new();
            for p in &param {
                let pair = p.split_once('=');
                let (k, v) = pair.ok_or_else(|| {
                    Failure::new(
                        USAGE,
                        format!("`{p}` is not a parameter"),
                        "write --param name=value",
                    )
                })?;
                params.push((k.to_owned(), v.to_owned()));
            }
            let span: Span = lasts
                .parse()
                .map_err(|e: String| Failure::new(USAGE, e, "write --for 10m"))?;
            let binary = std::env::current_exe().map_err(|e| Failure::new(1, e.to_string(), ""))?;
            let record = fault::inject(&fleet, &binary, &name, &params, span).await?;
            if as_json {
                print::json(&json!(record));
            } else {
                print::line(format!(
                    "Injected {name}. It ends by itself at {}; `muster lab heal` ends it now.",
                    record.ends_at.clock()
                ));
            }
        }
        LabCommand::Heal(place) => {
            let names = fault::heal_all(&open(&place)?).await?;
            if as_json {
                print::json(&json!(names));
            } else if names.is_empty() {
                print::line("There was no fault.");
            } else {
                print::line(format!("Healed: {}.", names.join(", ")));
            }
        }
    }
    Ok(0)
}

fn list_faults(as_json: bool) {
    if as_json {
        let all: Vec<_> = faults::ALL
            .iter()
            .map(|f| json!({"fault": f.name, "about": f.about, "params": f.params.iter().map(|p| json!({"name": p.0, "default": p.1, "about": p.2})).collect::<Vec<_>>()}))
            .collect();
        return print::json(&json!(all));
    }
    let rows = faults::ALL.iter().map(|f| {
        let params: Vec<String> = f.params.iter().map(|p| format!("{}={}", p.0, p.1)).collect();
        vec![f.name.to_owned(), f.about.to_owned(), params.join(" ")]
    });
    print::table(&["fault", "what it does", "parameters"], rows.collect());
}

fn show(fleet: &Fleet) {
    let status = muster_lab::status(fleet);
    print::line(format!("PostgreSQL {} in {}", status.pg, status.dir));
    let rows = status.parts.iter().map(|p| {
        let port = p.port.map_or(String::new(), |p| p.to_string());
        vec![p.name.clone(), coloured(&p.state), port, p.detail.clone()]
    });
    print::table(&["part", "state", "port", ""], rows.collect());
    for m in &status.missing {
        print::line(m);
    }
}

/// What a child of the lab does.
///
/// # Errors
/// The lab's.
pub async fn child(args: &ChildArgs) -> Result<u8, Failure> {
    let fleet = Fleet::open(&args.dir)?;
    match (args.kind.as_str(), &args.id) {
        ("traffic", _) => {
            let dir = args.dir.clone();
            // It ends with its fleet, also when nobody tells it to.
            let gone = async move {
                while muster_lab::up::is_fleet(&dir) {
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                }
            };
            muster_lab::ledger::traffic(&fleet, 1, gone).await?;
        }
        ("fault", Some(id)) => fault::hold(&fleet, id).await?,
        _ => {
            return Err(Failure::from(LabError::Fault(
                "a child is `traffic` or `fault --id`".into(),
            )));
        }
    }
    Ok(0)
}
