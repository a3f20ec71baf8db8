//! `bench engine`: what an entry of the journal costs, what a step that does nothing costs, and how long a start takes over
//! ten thousand runs. The peer of an entry is the least that survives a crash: a line appended to a file and synced.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_engine::clock::SystemClock;
use muster_engine::journal::{Event, Fence, Place};
use muster_engine::lease::{FileLeases, Leases, TTL};
use muster_engine::planner::{Request, VALID};
use muster_engine::{
    Action, ActionPlan, Catalogue, ClusterRules, CodeError, Engine, Journal, Known, Permit, Probe, Starter,
    Stop, Survey, Surveyor,
};
use muster_model::{
    Autopilot, Blast, Decision, Field, FrozenTarget, Kind, Observation, Outcome, Policy, Record, Risk, Scope,
    Signature, TargetFacts, Time, Type, UndoPlan,
};
use muster_runbooks::{Library, Runbook, check};
use serde_json::json;

use crate::cli::exit::Failure;
use crate::cli::print;

const RUNS: usize = 10_000;
const STEPS: u32 = 100;

fn failed(what: impl std::fmt::Display) -> Failure {
    Failure::new(1, what.to_string(), "run it where the disk has room")
}

/// A thing that is there, and an action that does nothing to it.
struct Nothing(Signature);

fn thing(n: u32) -> FrozenTarget {
    FrozenTarget {
        kind: "thing".to_owned(),
        label: format!("thing {n}"),
        fingerprint: format!("thing-{n}"),
        json: json!({"n": n}),
    }
}

fn signature(name: &str, kind: Kind) -> Signature {
    let probe = kind == Kind::Probe;
    Signature {
        name: name.to_owned(),
        kind,
        risk: if probe { Risk::Read } else { Risk::Reversible },
        about: "nothing".to_owned(),
        params: Vec::new(),
        outputs: if probe {
            vec![Field::new("things", Type::identities("thing"), "things")]
        } else {
            Vec::new()
        },
        target: (!probe).then(|| "thing".to_owned()),
        undo: (!probe).then(|| "nothing".to_owned()),
    }
}

#[async_trait]
impl Probe for Nothing {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn read(&self, _: &Scope, _: &Record) -> Result<Record, CodeError> {
        let things: Vec<_> = (0..STEPS).map(|n| thing(n).to_value()).collect();
        Ok(json!({"things": things}).as_object().cloned().unwrap_or_default())
    }
}

#[async_trait]
impl Action for Nothing {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn plan(
        &self,
        _: &Scope,
        step: &str,
        _: &Record,
        targets: &[FrozenTarget],
    ) -> Result<ActionPlan, CodeError> {
        Ok(ActionPlan {
            targets: targets.to_vec(),
            facts: targets
                .iter()
                .map(|t| TargetFacts {
                    step: step.to_owned(),
                    fingerprint: t.fingerprint.clone(),
                    class: "thing".to_owned(),
                    owner: None,
                    age: None,
                    excluded: None,
                })
                .collect(),
            blast: Blast {
                targets: targets.len() as u64,
                population: 1000,
                also: Vec::new(),
                summary: "does nothing".to_owned(),
            },
            undo: UndoPlan::Inverse {
                how: "does nothing".to_owned(),
            },
            missing_privileges: Vec::new(),
        })
    }

    async fn apply(&self, _: &Scope, _: &Record, _: &FrozenTarget, _: &Permit) -> Outcome {
        Outcome::Done {
            detail: String::new(),
        }
    }

    async fn observe(&self, _: &Scope, _: &Record, _: &FrozenTarget) -> Observation {
        Observation::Done {
            detail: String::new(),
        }
    }

    async fn undo(&self, _: &Scope, _: &Record, _: &FrozenTarget, _: &Permit) -> Outcome {
        Outcome::Done {
            detail: String::new(),
        }
    }
}

struct Still;

#[async_trait]
impl Surveyor for Still {
    async fn survey(&self, _: &str, _: &str) -> Survey {
        Survey {
            enrolled: true,
            identity: "77".to_owned(),
            can_act: true,
            unarmed: Vec::new(),
            ..Survey::default()
        }
    }
}

const BOOK: &str = "schema: muster.runbook/1
id: nothing
title: Nothing
about: Does nothing to every thing that is there, to measure what that costs.
owner: bench
risk: reversible
steps:
  - id: look
    probe: things.read@1
  - id: nothing
    action: thing.nothing@1
    for_each: {step: look, out: things}
    limits: {max_targets: 1000, max_percent: 100, canary: 0, max_errors: 0}
  - id: proven
    verify:
      all: [{probe: look, until: size(things) > 0}]
      hold: 10s
      within: 1m
";

fn engine(dir: &Path) -> Result<(Engine, Runbook), Failure> {
    let journal = Journal::open(&dir.join("journal.db")).map_err(failed)?;
    let catalogue = Catalogue::new()
        .probe(Nothing(signature("things.read@1", Kind::Probe)))
        .action(Nothing(signature("thing.nothing@1", Kind::Action)));
    let runbook = check("nothing.yaml", BOOK, &catalogue.signatures())
        .map_err(|p| failed(p.first().map(ToString::to_string).unwrap_or_default()))?;
    let known = Known {
        digest: runbook.digest.clone(),
        editor: None,
    };
    let rules = ClusterRules {
        policy: Policy {
            reversible: Decision::Auto,
            ..Policy::default()
        },
        autopilot: Autopilot::Propose,
        settings_digest: String::new(),
        runbooks: BTreeMap::from([(runbook.id.clone(), known)]),
        windows: Vec::new(),
    };
    let store = Arc::new(FileLeases::new(&dir.join("leases")).map_err(failed)?);
    let leases = Leases::new(store, "bench", TTL);
    let rules = BTreeMap::from([("shop".to_owned(), rules)]);
    let engine = Engine::new(
        journal,
        catalogue,
        Arc::new(SystemClock),
        Arc::new(Still),
        rules,
        leases,
        None,
    );
    Ok((engine, runbook))
}

/// How often a second, for this long.
fn rate(seconds: u64, mut once: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    let mut times = 0.0;
    while began.elapsed() < Duration::from_secs(seconds) {
        once()?;
        times += 1.0;
    }
    Ok(times / began.elapsed().as_secs_f64())
}

/// Measures and prints the table.
///
/// # Errors
/// When the disk cannot be written.
pub async fn engine_bench(seconds: u64) -> Result<u8, Failure> {
    let dir = std::env::current_dir()
        .map_err(failed)?
        .join(format!(".muster-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(failed)?;
    let measured = measure(&dir, seconds.clamp(2, 10)).await;
    let _ = std::fs::remove_dir_all(&dir);
    measured?;
    Ok(0)
}

async fn measure(dir: &Path, seconds: u64) -> Result<(), Failure> {
    use std::io::Write;
    let mut file = std::fs::File::create(dir.join("lines")).map_err(failed)?;
    let line = [b'x'; 400];
    let plain = rate(seconds, || {
        file.write_all(&line)
            .and_then(|()| file.sync_data())
            .map_err(failed)
    })?;
    let (engine, runbook) = engine(dir)?;
    let fence = [Fence {
        lease: "state".to_owned(),
        epoch: 1,
    }];
    let appends = rate(seconds, || {
        let event = Event::Noticed {
            text: "x".repeat(200),
        };
        let now = engine.now();
        engine
            .journal()
            .append(now, "bench", &Place::default(), &fence, event)
            .map(|_| ())
            .map_err(failed)
    })?;
    print::line(format!(
        "appends a second, each on disk before it counts, {seconds} s each:"
    ));
    let row = |name: &str, n: f64| vec![name.to_owned(), format!("{n:.0}"), format!("{:.2}", n / plain)];
    print::table(
        &["what", "a second", "of a synced line"],
        vec![
            row("a line in a file, synced", plain),
            row("an entry of the journal, chained", appends),
        ],
    );

    let library = Library::default();
    let request = || Request {
        cluster: "shop".to_owned(),
        target: "shop".to_owned(),
        params: Record::new(),
        requested_by: "bench".to_owned(),
        incident: None,
        valid: VALID,
        over_limits: false,
        library: &library,
        known: None,
    };
    let planned = engine.plan(&runbook, request()).await.map_err(failed)?;
    engine
        .drive(
            &planned.plan.id,
            Starter::Person("bench".to_owned()),
            &Stop::default(),
        )
        .await
        .map_err(failed)?;
    let entries = engine.journal().of_run(&planned.plan.id).map_err(failed)?;
    let at = |kind: fn(&Event) -> bool| -> Vec<Time> {
        entries.iter().filter(|e| kind(&e.event)).map(|e| e.at).collect()
    };
    let intents = at(|e| matches!(e, Event::Intent { .. }));
    let tried = at(|e| matches!(e, Event::Tried { .. }));
    if let (Some(first), Some(last)) = (intents.first(), tried.last()) {
        #[allow(clippy::cast_precision_loss)]
        let per = last.since(*first).millis() as f64 / f64::from(STEPS);
        print::line(format!(
            "\na step that does nothing at {STEPS} targets: {per:.1} ms a target (two entries, a lease looked at, the guards once a batch)"
        ));
    }

    // Ten thousand runs that are over, and one that is not: what a start has to look through.
    let (_, done) = engine.run(&planned.plan.id).map_err(failed)?;
    let began = Instant::now();
    for n in 0..RUNS {
        let mut plan = planned.plan.clone();
        plan.id = format!("r-bench{n}");
        let plan = plan.sealed();
        let place = Place::run(&plan.id, None);
        let now = engine.now();
        let write = |event| {
            engine
                .journal()
                .append(now, "bench", &place, &fence, event)
                .map(|_| ())
                .map_err(failed)
        };
        write(Event::Planned { plan })?;
        if n + 1 < RUNS {
            write(Event::Ended {
                outcome: muster_model::RunOutcome::Proven,
                detail: done.detail.clone(),
            })?;
        }
    }
    let made = began.elapsed();
    drop(engine);
    let began = Instant::now();
    let (again, _) = self::engine(dir)?;
    let open = again.open_runs().map_err(failed)?;
    let started = began.elapsed();
    let began = Instant::now();
    let entries = again.journal().verify().map_err(failed)?;
    let verified = began.elapsed();
    print::line(format!(
        "\n{RUNS} journaled runs ({entries} entries, written in {:.0} s): opened and the {} open one found in {:.0} ms; the whole chain verified in {:.1} s",
        made.as_secs_f64(),
        open.len(),
        started.as_secs_f64() * 1000.0,
        verified.as_secs_f64()
    ));
    Ok(())
}
