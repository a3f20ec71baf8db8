//! Running one drill once: a fresh fleet and a fresh state, the fault, the four controls, the oracle.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_engine::clock::{Clock, SystemClock};
use muster_engine::planner::{Planned, Request};
use muster_engine::{Catalogue, Entry, Starter};
use muster_lab::fault::{self, FaultRecord};
use muster_lab::{Fleet, LabOptions};
use muster_model::{Incident, PlanResult, Run, RunOutcome, RunState, Span, Threshold, Time};
use muster_runbooks::Runbook;

use super::oracle::Oracle;
use super::report::{Controls, Row};
use super::truth::Truth;
use super::{Drill, Expect, FaultSpec};
use crate::app::{App, default_params};
use crate::config;
use crate::daemon::watch::Watch;

/// The identity that approves in drills.
const APPROVER: &str = "drill";
/// So often Muster looks at a healthy fleet before its silence counts.
const LOOKS: usize = 5;
/// How long a fault may take to show, and a runbook to end.
const LIMIT: Duration = Duration::from_secs(150);

/// Says how far it is.
pub type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A fleet with Muster at work on it.
pub(super) struct Stage<'a> {
    drill: &'a Drill,
    runbook: Runbook,
    pub(super) fleet: Fleet,
    pub(super) truth: Truth,
    pub(super) watch: Arc<Watch>,
    say: Say<'a>,
    program: PathBuf,
    tasks: tokio::task::JoinSet<()>,
}

/// What is practised beside the built-in: one's own runbooks, under one's own thresholds.
#[derive(Clone, Debug)]
pub struct Own {
    /// Folders of runbooks.
    pub runbooks: Vec<PathBuf>,
    /// Thresholds, defaults included.
    pub thresholds: muster_model::Thresholds,
    /// The `muster` program, for the faults; this process's own where it is one.
    pub program: Option<PathBuf>,
}

impl Own {
    /// The `muster` program.
    ///
    /// # Errors
    /// When this process does not know its own file.
    pub(super) fn muster(&self) -> Result<PathBuf, String> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => std::env::current_exe().map_err(|e| e.to_string()),
        }
    }
}

/// Runs a drill once.
///
/// # Errors
/// When the stage cannot be set; what goes wrong on it is in the row.
pub async fn once(
    drill: &Drill,
    options: &LabOptions,
    own: &Own,
    repeat: u32,
    say: Say<'_>,
) -> Result<Row, String> {
    say("a fresh fleet");
    on_a_fresh_fleet(options, async |fleet| {
        let stage = Stage::set(drill, fleet, own, say, |code| code, Arc::new(SystemClock)).await?;
        let row = stage.play(repeat).await;
        stage.leave().await;
        row
    })
    .await
}

/// A fleet that is there for as long as something is played on it.
pub(super) async fn on_a_fresh_fleet<T>(
    options: &LabOptions,
    play: impl AsyncFnOnce(Fleet) -> Result<T, String>,
) -> Result<T, String> {
    let fleet = muster_lab::up(options, &|_, _, _| {})
        .await
        .map_err(|e| format!("{e} ({})", e.remedy()))?;
    let dir = fleet.dir.clone();
    let played = play(fleet).await;
    let down = muster_lab::down(&dir).await.map_err(|e| e.to_string());
    let played = played?;
    down?;
    Ok(played)
}

impl<'a> Stage<'a> {
    /// Muster over a fleet, with something put around its probes and actions.
    pub(super) async fn set(
        drill: &'a Drill,
        fleet: Fleet,
        own: &Own,
        say: Say<'a>,
        around: impl FnOnce(Catalogue) -> Catalogue,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        if !fleet.missing.is_empty() {
            return Err(fleet.missing.join("; "));
        }
        let file = crate::cli::up::write_config(&fleet, None).map_err(|e| e.message)?;
        let env = |_: &str| None;
        let mut resolved =
            config::load(&file, &env).map_err(|p| p.iter().map(ToString::to_string).collect::<String>())?;
        resolved.policy.approvers = vec![APPROVER.to_owned()];
        resolved.runbooks.clone_from(&own.runbooks);
        for cluster in &mut resolved.clusters {
            cluster.thresholds = own.thresholds.clone();
        }
        let app = App::open_around(resolved, around, clock)
            .await
            .map_err(|e| e.to_string())?;
        let watch = Watch::new(app).map_err(|e| e.to_string())?;
        let runbook = watch
            .app
            .library()
            .get(&drill.runbook)
            .cloned()
            .ok_or("the runbook is not there")?;
        let truth = Truth::open(&fleet).await?;
        let mut stage = Self {
            drill,
            runbook,
            fleet,
            truth,
            watch,
            say,
            program: own.muster()?,
            tasks: tokio::task::JoinSet::new(),
        };
        stage.settle().await?;
        stage.tasks.spawn(stage.watch.clone().cluster("lab".to_owned()));
        Ok(stage)
    }

    /// Muster stops looking.
    pub(super) async fn leave(mut self) {
        self.watch.stop.set();
        self.tasks.shutdown().await;
        self.watch.no_more_plans(Duration::from_secs(2)).await;
    }
}

impl Stage<'_> {
    /// Both standbys stream: the fleet is healthy before anything begins.
    async fn settle(&self) -> Result<(), String> {
        let expected = self.fleet.servers.len() - 1;
        self.until(&format!("streaming == {expected}"), "the fleet is not healthy")
            .await
            .map(|_| ())
    }

    /// The same, and Muster sees it so: what it still thinks of the fault before must not be read as the next one's.
    async fn settled(&self) -> Result<(), String> {
        self.settle().await?;
        let since = self.watch.app.engine.now();
        let deadline = tokio::time::Instant::now() + LIMIT;
        while tokio::time::Instant::now() < deadline {
            let well = crate::daemon::watch::read(&self.watch.pictures)
                .get("lab")
                .is_some_and(|p| {
                    p.snapshot.taken_at > since && p.snapshot.servers.iter().all(|s| s.answers())
                });
            if well {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("Muster does not see the whole fleet after the fault was healed".to_owned())
    }

    async fn play(&self, repeat: u32) -> Result<Row, String> {
        let mut row = Row {
            drill: self.drill.id.clone(),
            fault: self.drill.fault.name.clone(),
            runbook: self.drill.runbook.clone(),
            pg_major: self.fleet.pg.major,
            repeat,
            detected_in_s: None,
            acted_in_s: None,
            verified_in_s: None,
            controls: Controls::default(),
            harm: Vec::new(),
            acked_writes: 0,
            lost_writes: 0,
            safe_pass: false,
            cures: self.drill.expect == Expect::Proven,
            notes: Vec::new(),
        };
        (self.say)("control: quiet when healthy");
        self.healthy(&mut row).await?;
        let oracle = Oracle::before(&self.fleet, &self.truth).await?;

        (self.say)("the fault, treated");
        let injected = self.inject(&self.drill.fault).await?;
        let began = self
            .until(&self.drill.manifest, "the fault does not show")
            .await?;
        let treated = match &self.drill.expect {
            Expect::Reported(verdict) => self.reported(&mut row, verdict, began).await,
            expect => self.treated(&mut row, expect, began).await,
        };
        if let Err(e) = treated {
            row.notes.push(e);
        }
        let took = self.watch.app.engine.now().since(began);
        let standbys = self.drill.fault.name.starts_with("standby");
        let entries: Vec<Entry> = self.watch.app.engine.journal().all().map_err(|e| e.to_string())?;
        let (harm, audit) = oracle.harm(&self.fleet, &self.truth, &entries, standbys).await;
        row.harm = harm;
        (row.acked_writes, row.lost_writes) = (audit.acknowledged, audit.lost);
        self.heal(&injected).await?;
        drop(oracle);
        self.settled().await?;

        (self.say)("control: without us it stays");
        self.persists(&mut row, took).await?;
        self.settled().await?;

        (self.say)("control: the look-alike is left alone");
        self.lookalike(&mut row).await?;
        Ok(row.judged())
    }

    pub(super) async fn inject(&self, spec: &FaultSpec) -> Result<FaultRecord, String> {
        fault::inject(
            &self.fleet,
            &self.program,
            &spec.name,
            &spec.params,
            Span::from_mins(10),
        )
        .await
        .map_err(|e| e.to_string())
    }

    async fn heal(&self, record: &FaultRecord) -> Result<(), String> {
        fault::heal_one(&self.fleet, record)
            .await
            .map_err(|e| format!("heal: {e}"))
    }

    /// Waits for a condition of the truth; when it first held.
    pub(super) async fn until(&self, condition: &str, otherwise: &str) -> Result<Time, String> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        let mut seen = String::new();
        while tokio::time::Instant::now() < deadline {
            match self.truth.holds(condition).await {
                Ok(true) => return Ok(self.watch.app.engine.now()),
                Ok(false) => {
                    let now = self.truth.read().await.unwrap_or_default();
                    seen = serde_json::Value::Object(now).to_string();
                }
                Err(e) => seen = e,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("{otherwise}: `{condition}` did not hold: {seen}"))
    }

    pub(super) async fn plan(&self) -> Result<Planned, String> {
        let library = self.watch.app.library();
        let request = Request {
            cluster: "lab".to_owned(),
            target: "lab".to_owned(),
            params: default_params(&self.runbook)?,
            requested_by: "drill-control".to_owned(),
            incident: None,
            valid: Span::from_mins(15),
            over_limits: false,
            library: &library,
            known: None,
        };
        self.watch
            .app
            .engine
            .plan(&self.runbook, request)
            .await
            .map_err(|e| e.to_string())
    }

    /// Waits until Muster has looked for long enough to say something of a healthy fleet: several times, and for as long as the
    /// longest of the thresholds that are not the usual ones.
    async fn looked(&self) -> Result<(), String> {
        let usual = muster_rules::defaults();
        let config = self.watch.app.config();
        let own = config
            .cluster("lab")
            .map(|c| c.thresholds.clone())
            .unwrap_or_default();
        let long = own
            .0
            .iter()
            .flat_map(|(kind, keys)| keys.iter().map(move |(key, t)| (kind, key, *t)))
            .filter(|(kind, key, t)| usual.get(kind, key) != Some(*t))
            .filter_map(|(.., t)| match t {
                Threshold::Span(span) => Some(span.duration()),
                Threshold::Number(_) => None,
            })
            .max()
            .unwrap_or_default();
        // What takes longer than everything else in a drill is not waited for.
        let deadline = tokio::time::Instant::now() + LIMIT;
        let mut looks: Vec<Time> = Vec::new();
        while tokio::time::Instant::now() < deadline {
            let seen = crate::daemon::watch::read(&self.watch.pictures)
                .get("lab")
                .map(|p| p.snapshot.taken_at);
            if let Some(at) = seen.filter(|at| looks.last() != Some(at)) {
                looks.push(at);
            }
            let age = looks
                .first()
                .zip(looks.last())
                .map(|(a, b)| b.since(*a).duration());
            if looks.len() >= LOOKS && age >= Some(long.min(LIMIT / 2)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!(
            "Muster looked at the healthy fleet {} times only",
            looks.len()
        ))
    }

    async fn healthy(&self, row: &mut Row) -> Result<(), String> {
        self.looked().await?;
        let planned = self.plan().await?;
        let ok = match &planned.plan.result {
            PlanResult::Nothing { .. } => true,
            PlanResult::Report { verdict, .. } => verdict == "ok",
            PlanResult::Changes | PlanResult::Declined { .. } => false,
        };
        let incidents = self.watch.desk.all();
        row.controls.quiet_when_healthy = ok && incidents.is_empty();
        if !row.controls.quiet_when_healthy {
            row.notes.push(format!(
                "on a healthy fleet: {:?}; incidents: {}",
                planned.plan.result,
                incidents.len()
            ));
        }
        Ok(())
    }

    /// The incident that the fault opened, once it is named by a kind that the runbook answers.
    pub(super) async fn incident(&self, since: Time) -> Result<Incident, String> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        while tokio::time::Instant::now() < deadline {
            let all = self.watch.desk.all();
            if let Some(i) = all.iter().find(|i| self.runbook.answers.contains(&i.cause.kind)) {
                return Ok(i.clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let seen: Vec<String> = self
            .watch
            .desk
            .all()
            .iter()
            .map(|i| i.cause.kind.clone())
            .collect();
        Err(format!(
            "no incident since {since} is named by {:?}; seen: {seen:?}",
            self.runbook.answers
        ))
    }

    async fn treated(&self, row: &mut Row, expect: &Expect, began: Time) -> Result<(), String> {
        let incident = self.incident(began).await?;
        row.detected_in_s = Some(incident.detected_at.since(began).secs_f64());
        let run = self.finished(&incident.id).await?;
        let after = |t: Option<Time>| t.map(|t| t.since(began).secs_f64());
        row.acted_in_s = after(run.first_action_at);
        row.verified_in_s = after(run.ended_at);
        let wanted = match expect {
            Expect::Proven => RunOutcome::Proven,
            _ => RunOutcome::Escalated,
        };
        row.controls.repairs = run.outcome == Some(wanted);
        if !row.controls.repairs {
            row.notes.push(format!("ended {:?}: {}", run.outcome, run.detail));
        }
        if row.detected_in_s.is_some_and(|d| d > 2.0) {
            row.notes
                .push(format!("detected only after {:?} s", row.detected_in_s));
        }
        Ok(())
    }

    /// Approves the incident's plans as they come, until one run of the runbook has acted and ended.
    pub(super) async fn finished(&self, incident: &str) -> Result<Run, String> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        let engine = &self.watch.app.engine;
        let mut last = String::new();
        while tokio::time::Instant::now() < deadline {
            let runs = self.watch.desk.get(incident).map(|i| i.runs).unwrap_or_default();
            for id in runs {
                let (plan, run) = engine.run(&id).map_err(|e| e.to_string())?;
                last = format!(
                    "{}: {:?} {:?} {}",
                    plan.runbook.id, run.state, run.outcome, run.detail
                );
                if plan.runbook.id != self.runbook.id {
                    continue;
                }
                if run.state == RunState::WaitingApproval {
                    engine
                        .approve(&id, APPROVER, None, None)
                        .map_err(|e| e.to_string())?;
                    self.watch.drive(&id, Starter::Person(APPROVER.to_owned())).await;
                }
                if run.state == RunState::Ended && run.first_action_at.is_some() {
                    return Ok(run);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!(
            "no run of `{}` acted and ended in time; last: {last}",
            self.runbook.id
        ))
    }

    async fn reported(&self, row: &mut Row, verdict: &str, began: Time) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let mut seen = String::new();
        while tokio::time::Instant::now() < deadline {
            let planned = self.plan().await?;
            if let PlanResult::Report { verdict: said, .. } = &planned.plan.result {
                seen.clone_from(said);
                if said == verdict {
                    let at = self.watch.app.engine.now().since(began).secs_f64();
                    row.detected_in_s = Some(at);
                    row.verified_in_s = Some(at);
                    row.controls.repairs = true;
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("the report says `{seen}`, not `{verdict}`"))
    }

    async fn persists(&self, row: &mut Row, took: Span) -> Result<(), String> {
        // Nobody acts: plans are made, nobody approves them.
        let injected = self.inject(&self.drill.fault).await?;
        self.until(&self.drill.manifest, "the fault does not show")
            .await?;
        tokio::time::sleep(took.min(Span::from_secs(60)).duration()).await;
        row.controls.persists_without = self.truth.holds(&self.drill.persists).await?;
        if !row.controls.persists_without {
            row.notes.push(format!(
                "without us it went away by itself within {}",
                took.human()
            ));
        }
        self.heal(&injected).await
    }

    async fn lookalike(&self, row: &mut Row) -> Result<(), String> {
        let look = &self.drill.lookalike;
        let injected = self.inject(&look.fault).await?;
        self.until(&look.manifest, "the look-alike does not show").await?;
        let planned = self.plan().await?;
        let named = match &planned.plan.result {
            PlanResult::Changes => "changes".to_owned(),
            PlanResult::Nothing { .. } => "nothing".to_owned(),
            PlanResult::Declined { named, .. } => named.clone().unwrap_or_default(),
            PlanResult::Report { verdict, .. } => verdict.clone(),
        };
        row.controls.declines_lookalike = named == look.named;
        if !row.controls.declines_lookalike {
            row.notes.push(format!(
                "the look-alike `{}` was named `{named}`, not `{}`",
                look.fault.name, look.named
            ));
        }
        self.heal(&injected).await
    }
}
