//! The command line: arguments to calls, answers to tables, sentences and exit codes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub mod auth;
pub mod bench;
pub mod docs;
pub mod drills;
pub mod evidence;
pub mod exit;
pub mod incidents;
pub mod lab;
pub mod notify;
pub mod plans;
pub mod print;
pub mod query;
pub mod runbooks;
pub mod session;
pub mod setup;
pub mod state;
pub mod up;

/// Muster runs PostgreSQL runbooks for real. Start with `muster up`.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Config file (also MUSTER_CONFIG; else ./muster.yaml, else that of the fleet of `muster up`)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Log as JSON; MUSTER_LOG=debug says more
    #[arg(long, global = true)]
    pub log_json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a real local fleet, the watcher and the page: the first thing to run
    Up(up::UpArgs),
    /// The daemon: observe, decide, act by policy, serve page and API
    Watch {
        /// Wait for the state instead of failing when another daemon has it
        #[arg(long)]
        standby: bool,
    },
    /// One pass: findings; exit 0 ok, 1 warning, 2 critical, 3 unknown
    Check {
        /// Cluster, or one of its servers, poolers or caches
        target: Option<String>,
        /// Check the order of btree indexes as well (amcheck, with the lock of a reader), on a standby that keeps up or on the
        /// server that is named
        #[arg(long)]
        deep: bool,
        /// How long `--deep` may take, such as 5m
        #[arg(long, value_name = "TIME", default_value = "30s", requires = "deep")]
        within: muster_model::Span,
    },
    /// Collect a bundle of evidence, redacted, with a manifest; exit 1 when a section failed
    Evidence(evidence::EvidenceArgs),
    /// Statements
    #[command(subcommand)]
    Query(query::QueryCommand),
    /// Make a plan; exit 2 when it would change something
    Plan {
        /// What to plan
        #[command(flatten)]
        plan: plans::PlanArgs,
        /// Write the plan to a file, for `muster apply`
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Also when it reaches farther than its limits; two approvers must break the glass for it
        #[arg(long)]
        over_limits: bool,
    },
    /// Carry out a plan that this state issued
    Apply {
        /// File that `muster plan -o` wrote, or the plan's id
        plan: String,
        /// Show the plan and what the guards would say, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Plan, show, ask, apply
    Run {
        /// What to plan
        #[command(flatten)]
        plan: plans::PlanArgs,
        /// Do not ask (needed with --json)
        #[arg(long, short)]
        yes: bool,
        /// Plan and show only
        #[arg(long)]
        dry_run: bool,
    },
    /// Follow and steer runs
    #[command(subcommand)]
    Runs(plans::RunsCommand),
    /// Sign a plan; it is shown first, and then carried out
    Approve {
        /// Id of the run or of its incident; without it the newest that waits, else the newest
        #[arg(default_value = "latest", hide_default_value = true)]
        id: String,
        /// Neither show nor ask
        #[arg(long, short)]
        yes: bool,
        /// Show the plan and what the signature would lead to, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Name of the target, typed out: needed for what cannot be undone
        #[arg(long)]
        target: Option<String>,
    },
    /// Take a plan on yourself when nobody else can be reached: no second signature, no window. Opens an incident that a second
    /// person has to close
    BreakGlass {
        /// Id of the run
        id: String,
        /// Name of the target, typed out
        #[arg(long)]
        target: String,
        /// Why it cannot wait, as a sentence
        #[arg(long)]
        why: String,
    },
    /// Say no to a plan
    Reject {
        /// Id of the run or of its incident; without it the newest that waits, else the newest
        #[arg(default_value = "latest", hide_default_value = true)]
        id: String,
        /// Reason, for the journal
        #[arg(long, default_value = "no reason given")]
        why: String,
    },
    /// Prometheus alert rules or a Grafana dashboard, made from the metrics of `/metrics`
    Export {
        /// `alerts` or `dashboard`
        what: state::Export,
    },
    /// How a finding came about: what was seen, which rule, what was ruled out (while `muster watch` runs)
    Explain {
        /// Kind or subject of the finding
        finding: String,
    },
    /// Say that you have an incident or a run: nobody further is called about it
    Ack {
        /// Id of the incident or run; without it the newest incident
        #[arg(default_value = "latest", hide_default_value = true)]
        id: String,
        /// For those who were called, and for the journal
        #[arg(long, default_value = "looking at it")]
        why: String,
    },
    /// The messages to people: what was sent, and whether a channel works
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// List and tell incidents
    #[command(subcommand)]
    Incident(incidents::IncidentCommand),
    /// List, show and check runbooks
    #[command(subcommand)]
    Runbook(runbooks::RunbookCommand),
    /// Practise a runbook on a fleet of its own, with controls
    Drill(drills::DrillArgs),
    /// Real local fleets and faults
    #[command(subcommand)]
    Lab(lab::LabCommand),
    /// Show or check the config
    #[command(subcommand)]
    Config(setup::ConfigCommand),
    /// Verify or export the journal
    #[command(subcommand)]
    Journal(state::JournalCommand),
    /// Stop changes, everywhere or on one target; looking goes on
    Freeze {
        /// Cluster, or one of its servers; without it everything
        target: Option<String>,
        /// Reason, for the journal
        #[arg(long, alias = "why", default_value = "no reason given")]
        reason: String,
    },
    /// Allow changes again, where they were stopped
    Unfreeze {
        /// Cluster, or one of its servers, as it was given to `freeze`
        target: Option<String>,
    },
    /// Who may do what, by a token of their own
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// List or import Proofs: drills that were passed
    #[command(subcommand)]
    Proof(state::ProofCommand),
    /// Write the generated reference pages and schemas, or check that they are up to date
    #[command(hide = true)]
    Docs {
        /// Write them
        #[arg(long)]
        write: bool,
        /// Folder of the repository
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
    /// Measure
    #[command(hide = true)]
    Bench {
        /// What
        name: String,
        /// How long, in seconds
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Of `diagnosis`
        #[command(flatten)]
        corpus: bench::CorpusArgs,
    },
    /// A child of the lab
    #[command(hide = true)]
    LabChild(lab::ChildArgs),
}

/// Runs the command and returns its exit code.
pub async fn run(cli: Cli) -> u8 {
    let json = cli.json;
    let outcome = dispatch(cli).await;
    match outcome {
        Ok(code) => code,
        Err(e) => {
            print::error(&e, json);
            e.code
        }
    }
}

async fn dispatch(cli: Cli) -> Result<u8, exit::Failure> {
    let open = || session::Session::open(cli.config.as_deref());
    match cli.command {
        Command::Up(args) => up::up(&args).await,
        Command::Watch { standby } => setup::watch(cli.config.as_deref(), standby).await,
        Command::Evidence(args) => evidence::evidence(&args, cli.config.as_deref(), cli.json).await,
        Command::Query(command) => query::query(&open()?, &command, cli.json).await,
        Command::Check { target, deep, within } => {
            let within = deep.then_some(within);
            state::check(&open()?, target.as_deref(), within, cli.json).await
        }
        Command::Plan {
            plan,
            output,
            over_limits,
        } => plans::plan(&open()?, &plan, over_limits, output.as_deref(), cli.json).await,
        Command::Apply { plan, dry_run } => plans::apply(&open()?, &plan, dry_run, cli.json).await,
        Command::Run { plan, yes, dry_run } => plans::run(&open()?, &plan, yes, dry_run, cli.json).await,
        Command::Runs(command) => plans::runs(&open()?, command, cli.json).await,
        Command::Approve {
            id,
            yes,
            dry_run,
            target,
        } => plans::approve(&open()?, &id, yes, dry_run, target.as_deref(), cli.json).await,
        Command::BreakGlass { id, target, why } => {
            plans::break_glass(&open()?, &id, &target, &why, cli.json).await
        }
        Command::Reject { id, why } => plans::reject(&open()?, &id, &why, cli.json).await,
        Command::Export { what } => {
            state::export(what);
            Ok(0)
        }
        Command::Explain { finding } => state::explain(&open()?, &finding, cli.json).await,
        Command::Ack { id, why } => notify::ack(&open()?, &id, &why, cli.json).await,
        Command::Notify(command) => notify::notify(&open()?, &command, cli.json).await,
        Command::Incident(command) => incidents::incident(&open()?, command, cli.json).await,
        Command::Runbook(command) => runbooks::runbook(cli.config.as_deref(), command, cli.json),
        Command::Drill(args) => drills::drill(&args, cli.config.as_deref(), cli.json).await,
        Command::Lab(command) => lab::lab(command, cli.json).await,
        Command::Config(command) => setup::config(cli.config.as_deref(), command, cli.json).await,
        Command::Journal(command) => state::journal(&open()?, &command, cli.json).await,
        Command::Freeze { target, reason } => state::freeze(&open()?, target.as_deref(), Some(&reason)).await,
        Command::Unfreeze { target } => state::freeze(&open()?, target.as_deref(), None).await,
        Command::Auth(command) => auth::auth(&open()?, &command, cli.json).await,
        Command::Proof(command) => state::proof(&open()?, &command, cli.json).await,
        Command::Docs { write, root } => docs::docs(&root, write),
        Command::Bench {
            name,
            seconds,
            corpus,
        } => bench::bench(&name, seconds, corpus, cli.json).await,
        Command::LabChild(args) => lab::child(&args).await,
    }
}
