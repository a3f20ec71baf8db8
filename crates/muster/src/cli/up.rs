//! `muster up`: a fleet, the watcher and the page in one command; the first thing to run.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use muster_lab::Fleet;
use owo_colors::OwoColorize;

use super::exit::Failure;
use super::lab::{default_dir, options, start};
use super::print;
use crate::app::App;
use crate::config;
use crate::daemon::serve::{Daemon, os_user};

/// How to start.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Folder of the fleet
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// PostgreSQL: a major version (15, 18) or a folder of programs
    #[arg(long, value_name = "15|18|DIR")]
    pub pg: Option<String>,
    /// Play the whole story: inject, see, approve, repair, prove
    #[arg(long)]
    pub tour: bool,
    /// Leave the fleet running at the end
    #[arg(long)]
    pub keep: bool,
}

/// The config of a fleet, written into its folder.
///
/// # Errors
/// When it cannot be written.
pub fn write_config(fleet: &Fleet, autopilot: Option<&str>) -> Result<PathBuf, Failure> {
    let path = fleet.dir.join("muster.yaml");
    let mut text = String::from(
        "# Written by `muster lab up`. A config of your own looks like this.\nstate_dir: ./state\n",
    );
    text.push_str("clusters:\n  lab:\n    drill: true\n");
    text.push_str(&format!(
        "    autopilot: {}\n    servers:\n",
        autopilot.unwrap_or("propose")
    ));
    for s in &fleet.servers {
        text.push_str(&format!(
            "      - {{name: {}, url: \"postgres://muster@127.0.0.1:{}/postgres?sslmode=disable\", password_file: secrets/muster,\n         \
             act: \"postgres://muster_act@127.0.0.1:{}/postgres?sslmode=disable\", act_password_file: secrets/muster_act,\n         \
             host: {{local: true, data_dir: {}, log: log/{}.log}}}}\n",
            s.name, s.port, s.port, s.name, s.name
        ));
    }
    if let Some(p) = &fleet.pooler {
        text.push_str(&format!(
            "    poolers:\n      - {{name: bouncer, url: \"postgres://muster@127.0.0.1:{}/pgbouncer?sslmode=disable\", \
             password_file: secrets/muster, config: pgbouncer/pgbouncer.ini}}\n",
            p.port
        ));
    }
    if let Some(c) = &fleet.cache {
        text.push_str(&format!(
            "    caches:\n      - {{name: cache, url: \"redis://127.0.0.1:{}/0\", password_file: secrets/redis}}\n",
            c.port
        ));
    }
    text.push_str(&format!("policy:\n  approvers: [{}]\n", os_user()));
    // Whatever the umask says: a config that others may change is not taken.
    std::fs::write(&path, text)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)))
        .map_err(|e| Failure::new(1, format!("{}: {e}", path.display()), "check the disk"))?;
    Ok(path)
}

/// For the kill tests: dies without a word, or is stopped, in the given append of this process (`kill 7`), or after it (`stop +7`).
pub fn arm(app: &Arc<App>) {
    let Ok(text) = std::env::var("MUSTER_TEST_AT_APPEND") else {
        return;
    };
    let Some((signal, number)) = text.split_once(' ') else {
        return;
    };
    let signal = match signal {
        "kill" => rustix::process::Signal::KILL,
        "stop" => rustix::process::Signal::STOP,
        _ => return,
    };
    let (after, number) = match number.strip_prefix('+') {
        Some(n) => (true, n.parse::<u64>()),
        None => (false, number.parse::<u64>()),
    };
    let Ok(number) = number else { return };
    app.engine.journal().on_append(Box::new(move |n, done| {
        if n == number && done == after {
            let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        }
        false
    }));
}

/// `muster up`.
///
/// # Errors
/// When the fleet does not start or the state is in use.
pub async fn up(args: &UpArgs) -> Result<u8, Failure> {
    let dir = args.dir.clone().unwrap_or_else(|| free_dir(default_dir("lab")));
    let began = std::time::Instant::now();
    muster_lab::up::usual(&dir)?;
    let fleet = match Fleet::open(&dir) {
        Ok(fleet) if stale(&fleet) => {
            print::note(format!(
                "removing a fleet that was left behind in {}",
                dir.display()
            ));
            muster_lab::down(&dir).await?;
            start(&options(dir, args.pg.as_deref())?).await?
        }
        Ok(fleet) => {
            print::note(format!("using the fleet that runs in {}", dir.display()));
            fleet
        }
        Err(muster_lab::LabError::NotThere { .. }) => start(&options(dir, args.pg.as_deref())?).await?,
        Err(e) => return Err(e.into()),
    };
    let file = write_config(&fleet, None)?;
    let env = |name: &str| std::env::var(name).ok();
    let resolved = config::load(&file, &env).map_err(|p| {
        Failure::new(
            super::exit::CONFIG,
            p.first().map(ToString::to_string).unwrap_or_default(),
            "please report this",
        )
    })?;
    let app = App::open(resolved).await?;
    arm(&app);
    let daemon = Daemon::open(app, true, false).await?;
    greet(&daemon, &fleet, began.elapsed());
    let tour = args.tour.then(|| tokio::spawn(tour(fleet.clone())));
    let until = async {
        match tour {
            Some(task) => {
                let _ = task.await;
            }
            None => std::future::pending().await,
        }
    };
    daemon.run(until).await?;
    if args.keep {
        print::note(format!(
            "the fleet stays in {}; `muster lab down` removes it",
            fleet.dir.display()
        ));
    } else {
        // Somebody may have taken it down meanwhile, and started another one in its place.
        if Fleet::open(&fleet.dir).is_ok_and(|now| now.id == fleet.id) {
            muster_lab::down(&fleet.dir).await?;
        }
        print::note("the fleet is gone");
    }
    Ok(0)
}

/// The usual folder, or the next one when a fleet of another `muster up` runs there.
fn free_dir(first: PathBuf) -> PathBuf {
    let busy = |dir: &PathBuf| match Fleet::open(dir) {
        Ok(_) => muster_engine::state::StateDir::in_use(&dir.join("state")),
        Err(muster_lab::LabError::NotThere { .. }) => false,
        Err(_) => true,
    };
    if !busy(&first) {
        return first;
    }
    (2..100)
        .map(|n| first.with_file_name(format!("lab-{n}")))
        .find(|d| !busy(d))
        .unwrap_or(first)
}

fn stale(fleet: &Fleet) -> bool {
    fleet
        .servers
        .iter()
        .any(|s| muster_lab::server::postmaster(fleet, &s.name).is_none())
}

fn greet(daemon: &Daemon, fleet: &Fleet, took: Duration) {
    let muster = std::env::current_exe()
        .map(|p| p.display().to_string())
        .unwrap_or_else(|_| "muster".to_owned());
    let place = if fleet.dir == default_dir("lab") {
        String::new()
    } else {
        format!(" --dir {}", fleet.dir.display())
    };
    let config = if place.is_empty() {
        String::new()
    } else {
        format!(" --config {}/muster.yaml", fleet.dir.display())
    };
    let parts: Vec<String> = [
        Some(format!(
            "PostgreSQL {} with {} standbys",
            fleet.pg.version,
            fleet.servers.len() - 1
        )),
        fleet.pooler.as_ref().map(|_| "PgBouncer".to_owned()),
        fleet.cache.as_ref().map(|_| "Redis".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    print::line(format!(
        "{} {} in {:.1} s, in {}",
        "up".green().bold(),
        parts.join(", "),
        took.as_secs_f64(),
        fleet.dir.display()
    ));
    if let Some(address) = daemon.address {
        let page = format!("http://{address}/");
        print::line(format!("\n  open      {}", page.bold()));
    }
    print::line("\n  then, in another terminal:");
    print::line(format!(
        "  inject    {muster} lab inject idle-in-transaction-leak{place}"
    ));
    print::line(format!("  look      {muster} incident show{config}"));
    print::line(format!("  approve   {muster} approve{config}"));
    print::line(format!("  read      {muster} incident postmortem{config}"));
    let token = fleet.dir.join("state").join("approval.token");
    print::line(format!(
        "\n  The Approve button of the page asks for your token; it is in {}",
        token.display()
    ));
    print::line("  Ctrl-C ends everything and removes the fleet.\n");
}

/// Plays the story: every step is the command that a person would type.
async fn tour(fleet: Fleet) {
    let muster = std::env::current_exe().unwrap_or_else(|_| "muster".into());
    let config = fleet.dir.join("muster.yaml");
    let dir = fleet.dir.clone();
    let say = |text: &str| print::line(format!("{} {text}", "tour".cyan().bold()));
    let run = |args: Vec<String>| {
        let mut command = tokio::process::Command::new(&muster);
        command.args(args).stdin(std::process::Stdio::null());
        command
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    say("a client will leak its transactions and hold the whole pool; others will wait");
    let mut inject = words("lab inject idle-in-transaction-leak --dir");
    inject.push(dir.display().to_string());
    let _ = run(inject).status().await;
    say(
        "waiting until Muster has seen it and made a plan (a leak must hold for 10 s before anybody is ended)",
    );
    let with_config = |text: &str| {
        let mut all = vec!["--config".to_owned(), config.display().to_string()];
        all.extend(words(text));
        all
    };
    for _ in 0..120 {
        let answer = run(with_config("runs list --json")).output().await;
        let text = answer
            .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
            .unwrap_or_default();
        if text.contains("waiting_approval") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    say("the story so far:");
    let _ = run(with_config("incident show")).status().await;
    say("approving, as a person would; then it is carried out and proven:");
    let _ = run(with_config("approve")).status().await;
    for _ in 0..20 {
        let answer = run(with_config("incident show --json")).output().await;
        if answer.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("repaired and proven")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    say("the postmortem, every sentence citing its journal entry:");
    let _ = run(with_config("incident postmortem")).status().await;
    say("done; the fleet goes away now");
}
