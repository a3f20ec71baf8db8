//! `muster drill`: practise, report, issue proofs.

use std::path::{Path, PathBuf};

use clap::Args;
use muster_engine::proof::Proof;
use muster_lab::LabOptions;
use muster_model::{Risk, Time, digest_of};
use muster_runbooks::Library;
use owo_colors::OwoColorize;
use serde_json::json;

use super::exit::{Failure, USAGE};
use super::lab::{cache_dir, default_dir, options};
use super::print;
use crate::drill::harness::Trial;
use crate::drill::report::{Row, html};
use crate::drill::run::{Own, once};
use crate::drill::{Drill, Expect, blows, built_in, read};

/// What to practise.
#[derive(Args, Debug)]
pub struct DrillArgs {
    /// Drill, runbook, fault, or file of a drill of your own
    pub names: Vec<String>,
    /// All drills
    #[arg(long)]
    pub all: bool,
    /// Only the drills of these very names, not all of a runbook or fault
    #[arg(long)]
    pub only: bool,
    /// How often each, every time on a fresh fleet
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Cluster of the config whose thresholds are practised; needed when they differ
    #[arg(long)]
    pub cluster: Option<String>,
    /// PostgreSQL: a major version (15, 18) or a folder of programs
    #[arg(long, value_name = "15|18|DIR")]
    pub pg: Option<String>,
    /// Instead of the controls: treat the fault under trouble. Every effect twice, an error at each node, lost answers, a clock
    /// that is set; and a daemon that is killed at every append of its journal, stopped, or on a full disk
    #[arg(long, conflicts_with_all = ["report", "proof_out", "repeat"])]
    pub harness: bool,
    /// Write report.html and report.json into a folder
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Write the Proofs of what passed to a file, for `muster proof import`
    #[arg(long)]
    pub proof_out: Option<PathBuf>,
}

fn chosen(args: &DrillArgs) -> Result<Vec<Drill>, Failure> {
    let all = built_in()?;
    if args.all {
        return Ok(all);
    }
    let mut out: Vec<Drill> = Vec::new();
    for name in &args.names {
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            let text = std::fs::read_to_string(name)
                .map_err(|e| Failure::new(USAGE, format!("{name}: {e}"), "give the file of a drill"))?;
            out.push(read(name, &text)?);
            continue;
        }
        let hits: Vec<&Drill> = all
            .iter()
            .filter(|d| d.id == *name || (!args.only && (d.runbook == *name || d.fault.name == *name)))
            .collect();
        if hits.is_empty() {
            let known: Vec<&str> = all.iter().map(|d| d.id.as_str()).collect();
            return Err(Failure::new(
                USAGE,
                format!("there is no drill, runbook or fault `{name}`"),
                format!("drills: {}", known.join(", ")),
            ));
        }
        out.extend(
            hits.into_iter()
                .filter(|d| !out.iter().any(|o| o.id == d.id))
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    if out.is_empty() {
        let known: Vec<&str> = all.iter().map(|d| d.id.as_str()).collect();
        return Err(Failure::new(
            USAGE,
            "name a drill, or give --all",
            format!("drills: {}", known.join(", ")),
        ));
    }
    Ok(out)
}

/// `muster drill`.
///
/// # Errors
/// When a stage cannot be set.
pub async fn drill(args: &DrillArgs, given: Option<&Path>, as_json: bool) -> Result<u8, Failure> {
    let drills = chosen(args)?;
    let (own, library) = own(args, given)?;
    if args.harness {
        return harness(args, &drills, &own, as_json).await;
    }
    let mut rows: Vec<Row> = Vec::new();
    for drill in drills {
        for repeat in 1..=args.repeat {
            let name = format!("d{}-{repeat}", std::process::id());
            let opts = options(default_dir(&name), args.pg.as_deref())?;
            let tag = format!("{} {repeat}/{}", drill.id, args.repeat);
            let say = |what: &str| print::note(format!("{} {what}", tag.dimmed()));
            let row = once(&drill, &opts, &own, repeat, &say).await.map_err(|e| {
                Failure::new(
                    1,
                    format!("drill `{}`: {e}", drill.id),
                    "`cargo xtask provide` provides what is missing",
                )
            })?;
            for n in &row.notes {
                print::note(format!("{} {n}", tag.yellow()));
            }
            rows.push(row);
        }
    }
    if let Some(dir) = &args.report {
        let fail =
            |e: std::io::Error| Failure::new(1, format!("{}: {e}", dir.display()), "choose another folder");
        std::fs::create_dir_all(dir).map_err(fail)?;
        std::fs::write(dir.join("report.json"), json!(rows).to_string()).map_err(fail)?;
        std::fs::write(dir.join("report.html"), html(&rows)).map_err(fail)?;
    }
    if let Some(file) = &args.proof_out {
        let text = serde_json::to_string_pretty(&proofs(&rows, &library, &own)).unwrap_or_default();
        std::fs::write(file, text)
            .map_err(|e| Failure::new(1, format!("{}: {e}", file.display()), "choose another file"))?;
    }
    if as_json {
        print::json(&json!(rows));
    } else {
        show(&rows);
    }
    Ok(if rows.iter().all(|r| r.safe_pass) { 0 } else { 5 })
}

/// Fleets at once in the harness: they mostly wait.
const AT_ONCE: usize = 3;
/// Fleets at once under blows, which wait even more.
const LANES: u32 = 5;

async fn harness(args: &DrillArgs, drills: &[Drill], own: &Own, as_json: bool) -> Result<u8, Failure> {
    let mut trials = Vec::new();
    for drill in drills {
        // Checked once; each trial has a folder of its own.
        options(default_dir("x"), args.pg.as_deref())?;
        let number = std::sync::atomic::AtomicU32::new(0);
        let fresh = || {
            let n = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let dir = default_dir(&format!("h{}-{n}", std::process::id()));
            options(dir.clone(), args.pg.as_deref()).unwrap_or_else(|_| LabOptions::new(dir, cache_dir()))
        };
        let say = |what: &str| print::note(format!("{} {what}", drill.id.dimmed()));
        let done = crate::drill::harness::all(drill, &fresh, own, AT_ONCE, &say).await;
        let failed = |e: String| {
            Failure::new(
                1,
                format!("harness of `{}`: {e}", drill.id),
                "`cargo xtask provide` provides what is missing",
            )
        };
        trials.extend(done.map_err(failed)?);
        // A run that has nothing to prove has no end that could be another one.
        if drill.expect == Expect::Proven {
            let done = blows::all(drill, &fresh, own, LANES, &say).await;
            trials.extend(done.map_err(failed)?);
        }
    }
    let wrong = trials.iter().any(|t| !t.wrong.is_empty());
    if as_json {
        print::json(&json!(trials));
    } else {
        let row = |t: &Trial| {
            let verdict = if t.outcome == "not tried" {
                t.detail.yellow().to_string()
            } else if t.wrong.is_empty() && !t.struck {
                "not met".dimmed().to_string()
            } else if t.wrong.is_empty() {
                "right".green().to_string()
            } else {
                t.wrong.join("; ").red().to_string()
            };
            let trouble = if t.points > 0 {
                format!("{} ({} of them)", t.trouble, t.points)
            } else {
                t.trouble.clone()
            };
            vec![t.drill.clone(), trouble, t.outcome.clone(), verdict]
        };
        print::table(
            &["drill", "trouble", "ended", ""],
            trials.iter().map(row).collect(),
        );
    }
    Ok(if wrong { 5 } else { 0 })
}

fn show(rows: &[Row]) {
    let seconds = |s: Option<f64>| s.map_or_else(|| "–".to_owned(), |s| format!("{s:.1} s"));
    let mark = |b: bool| {
        if b {
            "yes".green().to_string()
        } else {
            "NO".red().to_string()
        }
    };
    let lines = rows.iter().map(|r| {
        vec![
            r.drill.clone(),
            r.pg_major.to_string(),
            r.repeat.to_string(),
            seconds(r.detected_in_s),
            seconds(r.acted_in_s),
            seconds(r.verified_in_s),
            mark(r.controls.repairs),
            mark(r.controls.persists_without),
            mark(r.controls.quiet_when_healthy),
            mark(r.controls.declines_lookalike),
            format!("{}/{}", r.acked_writes, r.lost_writes),
            if r.harm.is_empty() {
                "none".to_owned()
            } else {
                r.harm.join("; ")
            },
            mark(r.safe_pass),
        ]
    });
    print::table(
        &[
            "drill",
            "pg",
            "n",
            "detected",
            "acted",
            "verified",
            "repairs",
            "persists",
            "quiet",
            "declines",
            "writes/lost",
            "harm",
            "safe",
        ],
        lines.collect(),
    );
}

/// One's own runbooks and thresholds, where there is a config; else what is built in.
fn own(args: &DrillArgs, given: Option<&Path>) -> Result<(Own, Library), Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let none = args.cluster.is_none() && given.is_none() && env("MUSTER_CONFIG").is_none();
    if none && !crate::config::file(given, &env).exists() {
        let own = Own {
            runbooks: Vec::new(),
            thresholds: muster_rules::defaults(),
            program: None,
        };
        return Ok((own, super::runbooks::built_in()?));
    }
    let resolved = super::session::resolve(given)?;
    let remedy = "name one of the config with --cluster";
    let settings = match &args.cluster {
        Some(name) => resolved
            .cluster(name)
            .ok_or_else(|| Failure::new(USAGE, format!("there is no cluster `{name}`"), remedy))?,
        None => &resolved.clusters[0],
    };
    let differ = |c: &crate::config::ClusterSettings| c.thresholds != settings.thresholds;
    if args.cluster.is_none() && resolved.clusters.iter().any(differ) {
        let message = "the clusters of the config have different thresholds, and a Proof is for one of them";
        return Err(Failure::new(USAGE, message, remedy));
    }
    let own = Own {
        runbooks: resolved.runbooks.clone(),
        thresholds: settings.thresholds.clone(),
        program: None,
    };
    Ok((own, crate::app::library(&resolved)?))
}

/// One Proof for each runbook and version whose rows are all safe, and one of which shows it repair something: that it calls a
/// person in time is no Proof that it may act alone.
fn proofs(rows: &[Row], library: &Library, own: &Own) -> Vec<Proof> {
    let mut out: Vec<Proof> = Vec::new();
    for book in library.iter().map(|s| &s.runbook) {
        let mine: Vec<&Row> = rows.iter().filter(|r| r.runbook == book.id).collect();
        let Some(first) = mine.first() else { continue };
        let cures = book.risk == Risk::Read || mine.iter().any(|r| r.cures);
        if !cures || !mine.iter().all(|r| r.safe_pass) {
            continue;
        }
        let now = muster_engine::clock::Clock::now(&muster_engine::clock::SystemClock);
        out.push(Proof {
            drill: first.drill.clone(),
            runbook: book.id.clone(),
            runbook_digest: book.digest.clone(),
            settings_digest: digest_of(&own.thresholds),
            major: first.pg_major,
            at: Time::from_millis(now.millis()),
            repeats: u32::try_from(mine.len()).unwrap_or(u32::MAX),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::report::Controls;

    #[test]
    fn a_relapse_that_is_escalated_is_no_proof_of_a_repair() {
        let library = crate::cli::runbooks::built_in().expect("built in");
        let own = Own {
            runbooks: Vec::new(),
            thresholds: muster_rules::defaults(),
            program: None,
        };
        let row = |runbook: &str, cures: bool| Row {
            drill: "d".to_owned(),
            fault: "f".to_owned(),
            runbook: runbook.to_owned(),
            pg_major: 15,
            repeat: 1,
            detected_in_s: None,
            acted_in_s: None,
            verified_in_s: None,
            controls: Controls::default(),
            harm: Vec::new(),
            acked_writes: 0,
            lost_writes: 0,
            safe_pass: true,
            cures,
            notes: Vec::new(),
        };
        let proven = |rows: &[Row]| proofs(rows, &library, &own).len();
        assert_eq!(
            proven(&[row("pool-exhausted", false)]),
            0,
            "it only called a person"
        );
        assert_eq!(
            proven(&[row("pool-exhausted", false), row("pool-exhausted", true)]),
            1
        );
        assert_eq!(
            proven(&[row("replica-health", false)]),
            1,
            "it repairs nothing, ever"
        );
        let mut harmed = row("pool-exhausted", true);
        harmed.safe_pass = false;
        assert_eq!(proven(&[harmed, row("pool-exhausted", true)]), 0);
    }
}
