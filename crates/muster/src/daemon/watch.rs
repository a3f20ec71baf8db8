//! The loop of one cluster: observe, judge, correlate, keep incidents, propose or start runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use muster_engine::progress::came_to;
use muster_engine::{Driven, EngineError, JournalError, Starter, Stop};
use muster_model::{
    Autopilot, Finding, Incident, IncidentState, PlanResult, RunState, Snapshot, Span, Time, WaitFor,
};
use muster_observe::{Extent, Observer};
use muster_rules::{Correlated, Mode, Proved, RuleState, correlate, judge, selftest};
use tokio::sync::watch;

use super::acting::Acting;
use super::incidents::{Desk, Opened};
use crate::app::{App, default_params};
use crate::view::ClusterPicture;

/// How often the rules show that they can still find something.
const PROVE_EVERY: Span = Span::from_mins(10);

/// How often it is asked whether a run that waits for a window may begin before that opens.
const ASK_EVERY: Duration = Duration::from_secs(20);

/// What sentences on every page are about; each has one writer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// The journal cannot be written, as who watches this cluster found.
    Journal(String),
    /// The config of the last reload.
    Config,
    /// Runs that do not get on.
    Runs,
    /// Logins of this cluster with which nobody can act.
    Acting(String),
    /// Rules of this cluster that would say nothing.
    Rules(String),
    /// Heads of the journal that cannot be kept.
    Heads,
    /// Channels that take no messages.
    Channels,
    /// The dead-man's switch.
    Heartbeat,
}

/// What everybody may look at.
pub struct Watch {
    /// The program.
    pub app: Arc<App>,
    /// Newest picture of each cluster.
    pub pictures: RwLock<BTreeMap<String, ClusterPicture>>,
    /// What correlation said last, for `explain`.
    pub told: RwLock<BTreeMap<String, Correlated>>,
    /// Incidents.
    pub desk: Desk,
    /// Counts up with every change, for the page.
    pub pulse: watch::Sender<u64>,
    /// Set when the daemon stops.
    pub stop: Stop,
    /// Runs whose journal or lease cannot be written now, and which are tried again.
    pub retrying: RwLock<BTreeSet<String>>,
    /// Runs that cannot go on until somebody looks: said once, not every other second.
    pub given_up: RwLock<BTreeSet<String>>,
    /// Sentences that every page says.
    notices: RwLock<BTreeMap<Topic, Vec<String>>>,
    /// Held while alerts from outside are taken up.
    pub(super) alerts: tokio::sync::Mutex<()>,
    /// Runs at work in this process.
    pub runs: tokio::sync::Mutex<tokio::task::JoinSet<()>>,
    /// Plans that are being made; each looks at servers, which may hang.
    plans: tokio::sync::Mutex<tokio::task::JoinSet<()>>,
    /// Incidents for which a plan is being made.
    proposing: Arc<std::sync::Mutex<BTreeSet<String>>>,
}

impl Watch {
    /// Over a program; reads the incidents that are open.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn new(app: Arc<App>) -> Result<Arc<Self>, EngineError> {
        let desk = Desk::read(&app.engine)?;
        Ok(Arc::new(Self {
            app,
            pictures: RwLock::default(),
            told: RwLock::default(),
            desk,
            pulse: watch::Sender::new(0),
            stop: Stop::default(),
            retrying: RwLock::default(),
            given_up: RwLock::default(),
            notices: RwLock::default(),
            alerts: tokio::sync::Mutex::default(),
            runs: tokio::sync::Mutex::default(),
            plans: tokio::sync::Mutex::default(),
            proposing: Arc::default(),
        }))
    }

    /// Says that something changed.
    pub fn changed(&self) {
        self.pulse.send_modify(|n| *n += 1);
    }

    /// Says this on every page about a topic, in the place of what was said about it before.
    pub(super) fn says(&self, topic: Topic, now: Vec<String>) {
        let mut notices = write(&self.notices);
        let before = notices.get(&topic).map(Vec::as_slice).unwrap_or_default();
        if before == now {
            return;
        }
        for new in now.iter().filter(|n| !before.contains(n)) {
            tracing::error!("{new}");
        }
        notices.insert(topic, now);
        drop(notices);
        self.changed();
    }

    /// What every page says.
    pub(super) fn notices(&self) -> Vec<String> {
        let mut out: Vec<String> = read(&self.notices).values().flatten().cloned().collect();
        // Those who watch different clusters may find the same.
        out.dedup();
        out
    }

    /// Why the journal cannot be written, when somebody found that.
    pub(super) fn unwritable(&self) -> Option<String> {
        let notices = read(&self.notices);
        let mut of_journal = notices.iter().filter(|(t, _)| matches!(t, Topic::Journal(_)));
        of_journal.find_map(|(_, said)| said.first().cloned())
    }

    /// Starts or goes on with a run in the background.
    pub async fn drive(self: &Arc<Self>, id: &str, starter: Starter) {
        let (watch, id) = (self.clone(), id.to_owned());
        let mut runs = self.runs.lock().await;
        while runs.try_join_next().is_some() {}
        runs.spawn(async move {
            let mut pause = Duration::from_secs(1);
            // A run whose journal cannot be written now (a full disk) goes on when it can be; nobody else would do it.
            let driven = loop {
                match watch.app.engine.drive(&id, starter.clone(), &watch.stop).await {
                    // Whoever took over goes on with it.
                    Err(EngineError::Journal(JournalError::Fenced { .. })) => return,
                    // A journal that is not what was written does not become whole by asking again.
                    Err(e @ EngineError::Journal(JournalError::Broken { .. })) => break Err(e),
                    Err(e @ (EngineError::Journal(_) | EngineError::Lease(_))) if !watch.stop.is_set() => {
                        // Meanwhile nobody else may begin to try as well.
                        write(&watch.retrying).insert(id.clone());
                        tracing::error!(run = %id, error = %e, "run cannot go on; tried again");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_secs(60));
                        write(&watch.retrying).remove(&id);
                    }
                    other => break other,
                }
            };
            match driven {
                Ok(Driven::Ended(run)) => {
                    tracing::info!(run = %id, outcome = run.outcome.map_or("", muster_model::RunOutcome::word), detail = %run.detail, "run ended");
                }
                Ok(Driven::Waiting(_, what)) => tracing::info!(run = %id, %what, "run waits"),
                Ok(Driven::Refused(_, r)) => tracing::warn!(run = %id, guard = r.guard, why = %r.why, "run refused"),
                Ok(Driven::Parked(_)) => tracing::info!(run = %id, "run parked"),
                // It is at work already, and reads what was asked of it by itself.
                Err(EngineError::AlreadyDriven(_)) => {}
                Err(e) => {
                    write(&watch.given_up).insert(id.clone());
                    tracing::error!(run = %id, error = %e, "run cannot go on");
                }
            }
            watch.changed();
        });
    }

    /// Goes on with the runs that were at work when the last daemon ended.
    pub async fn recover(self: &Arc<Self>) {
        let runs = match self.app.engine.open_runs() {
            Ok(runs) => runs,
            Err(e) => return tracing::error!(error = %e, "runs of before cannot be read, so none goes on"),
        };
        if let Err(e) = self.app.engine.sweep().await {
            tracing::warn!(error = %e, "leases of runs that are over cannot be removed");
        }
        for (plan, run) in runs {
            // A plan that changes nothing may lack only the word that it is over.
            let untold = came_to(&plan).is_some();
            // Approved, and stopped before the first step: the word was given, so it counts (until the plan expires).
            let said = run.state == RunState::Ready && (!run.approvals.is_empty() || run.glass.is_some());
            if run.state.under_way() || untold || said {
                tracing::info!(run = %run.id, "going on with a run of before");
                self.goes_on(&run.id).await;
            }
        }
    }

    /// Whether a run cannot go on until somebody looks at it.
    fn broken(&self, id: &str) -> bool {
        read(&self.given_up).contains(id)
    }

    /// Goes on, every other second, with runs that wait for what comes by itself (a lease, a window, a time) and with those
    /// that lost the right to act.
    pub async fn again(self: Arc<Self>) {
        let mut asked = BTreeMap::new();
        let mut tick = tokio::time::interval(Duration::from_secs(2));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.stop.is_set() {
            tick.tick().await;
            let runs = match self.app.engine.open_runs() {
                Ok(runs) => runs,
                Err(e) => {
                    tracing::warn!(error = %e, "runs that wait cannot be read");
                    continue;
                }
            };
            self.given_up_is_open(&runs);
            for (plan, run) in runs {
                // What nobody started in time is over, also when no incident looks at it.
                if !run.state.under_way() && self.app.engine.now() > plan.expires_at {
                    if let Err(e) = self.app.engine.expire(&run.id) {
                        tracing::warn!(run = %run.id, error = %e, "cannot be ended");
                    }
                    continue;
                }
                // Its last word could not be written; who plans it now writes that at once.
                let left = came_to(&plan).is_some() && self.app.engine.now().since(plan.created_at) > UNTOLD;
                // The word was given, and could not be followed: a full disk, a lease that could not be written.
                let forgotten = self.app.engine.forgotten(&run).unwrap_or(false);
                let by_itself = match &run.state {
                    _ if left || forgotten => true,
                    RunState::Waiting { what } if what == WaitFor::Window.word() => {
                        // The config may have changed meanwhile: it is asked now and then, and when the window opens.
                        let opens = self.app.engine.waits_until(&run.id).unwrap_or(None);
                        let early = opens.is_some_and(|at| self.app.engine.now() < at);
                        let last = asked.get(&run.id);
                        !early || last.is_none_or(|at: &std::time::Instant| at.elapsed() >= ASK_EVERY)
                    }
                    RunState::Waiting { what } => what != WaitFor::Approval.word(),
                    RunState::Parked | RunState::Running => true,
                    _ => false,
                };
                let busy = self.app.engine.at_work(&run.id) || read(&self.retrying).contains(&run.id);
                if by_itself && !busy && !self.broken(&run.id) && !self.stop.is_set() {
                    asked.insert(run.id.clone(), std::time::Instant::now());
                    self.goes_on(&run.id).await;
                }
            }
            asked.retain(|_, at| at.elapsed() < ASK_EVERY);
        }
    }

    /// Goes on with a run on the word on which it began.
    async fn goes_on(self: &Arc<Self>, id: &str) {
        match self.app.engine.starter(id) {
            Ok(starter) => self.drive(id, starter).await,
            Err(e) => tracing::warn!(run = %id, error = %e, "cannot be read, so it does not go on"),
        }
    }

    /// Forgets what is known of runs that are over.
    fn given_up_is_open(&self, open: &[(muster_model::Plan, muster_model::Run)]) {
        write(&self.given_up).retain(|id| open.iter().any(|(_, run)| run.id == *id));
    }

    /// Watches one cluster until the daemon stops.
    pub async fn cluster(self: Arc<Self>, name: String) {
        let config = self.app.config();
        let Some(cluster) = self.app.estate.cluster(&name).cloned() else {
            return;
        };
        let observer = Observer::new(cluster, config.cadence);
        let mut state = RuleState::default();
        let mut proved: Option<(Time, Vec<Proved>)> = None;
        let mut acting = Acting::default();
        let mut tick = tokio::time::interval(config.cadence.activity.duration());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.stop.is_set() {
            tick.tick().await;
            let began = std::time::Instant::now();
            proved = self.prove(&name, proved);
            state = self
                .pass(&name, &observer, &mut acting, state, proved.clone())
                .await;
            // Our own cost is bounded by slowing down: never more than a tenth of the time is spent asking.
            let spent = began.elapsed();
            if spent > config.cadence.activity.duration() {
                tokio::time::sleep(spent.min(Duration::from_secs(10))).await;
            }
        }
    }

    /// Plays the self-test of the rules now and then, with the thresholds in force: a rule that has gone dumb looks like a
    /// healthy fleet.
    fn prove(&self, name: &str, last: Option<(Time, Vec<Proved>)>) -> Option<(Time, Vec<Proved>)> {
        let now = self.app.engine.now();
        if last.as_ref().is_some_and(|(at, _)| now.since(*at) < PROVE_EVERY) {
            return last;
        }
        let config = self.app.config();
        let proved = selftest(&config.cluster(name)?.thresholds);
        let said = proved.iter().filter_map(|p| {
            if !p.fires {
                Some(format!("Rule {} of {name} does not find its own specimen with the thresholds of the config: it would say nothing.", p.kind))
            } else if !p.quiet {
                Some(format!("Rule {} of {name} finds what is healthy with the thresholds of the config: it cries wolf.", p.kind))
            } else {
                None
            }
        });
        self.says(Topic::Rules(name.to_owned()), said.collect());
        Some((now, proved))
    }

    async fn pass(
        self: &Arc<Self>,
        name: &str,
        observer: &Observer,
        acting: &mut Acting,
        state: RuleState,
        proved: Option<(Time, Vec<Proved>)>,
    ) -> RuleState {
        let config = self.app.config();
        let Some(settings) = config.cluster(name) else {
            return state;
        };
        let snapshot = observer.pass(self.app.engine.now(), Extent::Due).await;
        if let Some(cluster) = self.app.estate.cluster(name) {
            let refused = acting.keep(cluster, &snapshot).await;
            self.says(Topic::Acting(name.to_owned()), refused);
        }
        let (state, judged) = judge(&state, &snapshot, &settings.thresholds, Mode::Watch);
        let mut told = correlate(&snapshot, &judged.findings);
        let blind = blind(&snapshot, &judged.unknown);
        let unsure = judged
            .unknown
            .iter()
            .map(|u| (u.kind.clone(), u.target.clone()))
            .collect();
        for root in &mut told.roots {
            self.app.remedies(std::slice::from_mut(&mut root.cause));
            self.app.remedies(&mut root.symptoms);
        }
        self.app.remedies(&mut told.rest);
        let picture = ClusterPicture {
            name: name.to_owned(),
            snapshot: snapshot.clone(),
            health: judged.health,
            findings: told.all(),
            unknown: judged
                .unknown
                .into_iter()
                .map(|u| (u.kind, u.target, u.why))
                .collect(),
            autopilot: settings.autopilot,
            proved,
        };
        let opened = self.desk.absorb(&self.app, &snapshot, &told, blind, unsure);
        write(&self.pictures).insert(name.to_owned(), picture);
        write(&self.told).insert(name.to_owned(), told);
        match opened {
            Ok(opened) => {
                self.says(Topic::Journal(name.to_owned()), Vec::new());
                for o in opened {
                    match &o.ready {
                        Some(run) if settings.autopilot == Autopilot::Act => {
                            self.drive(run, Starter::Autopilot).await;
                        }
                        Some(_) => {}
                        None => self.proposes(settings.autopilot, o).await,
                    }
                }
            }
            Err(e) => {
                let why = format!("The journal cannot be written: {e}. Nothing is changed anywhere.");
                self.says(Topic::Journal(name.to_owned()), vec![why]);
            }
        }
        self.changed();
        state
    }

    /// Makes a plan beside the watching: a server that hangs must not keep us from looking. One at a time an incident.
    async fn proposes(self: &Arc<Self>, autopilot: Autopilot, opened: Opened) {
        let Some(proposing) = Proposing::of(&self.proposing, &opened.incident.id) else {
            return;
        };
        let mut plans = self.plans.lock().await;
        while plans.try_join_next().is_some() {}
        if self.stop.is_set() {
            return;
        }
        let watch = self.clone();
        plans.spawn(async move {
            watch.propose(autopilot, &opened).await;
            // Only now: what was planned is known at the desk.
            drop(proposing);
            watch.changed();
        });
    }

    /// No plan is made any more: those that are being made have so long to end.
    pub async fn no_more_plans(&self, patience: Duration) {
        let mut plans = self.plans.lock().await;
        let done = async { while plans.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, done).await.is_err() {
            plans.shutdown().await;
        }
    }

    /// Plans the runbook that answers a cause, and starts it when autopilot may.
    async fn propose(self: &Arc<Self>, autopilot: Autopilot, opened: &Opened) {
        let incident = &opened.incident;
        tracing::warn!(incident = %incident.id, cause = %incident.cause.kind, target_address = %incident.target, severity = ?incident.severity, "{}: {}", opened.why, incident.finding.summary);
        if autopilot == Autopilot::Observe {
            return;
        }
        let library = self.app.library();
        let Some(runbook) = library.answers(&incident.cause.kind) else {
            return;
        };
        let params = match default_params(runbook) {
            Ok(params) => params,
            Err(e) => {
                tracing::warn!(runbook = %runbook.id, "cannot be planned by the daemon: {e}");
                return;
            }
        };
        let request = muster_engine::planner::Request {
            cluster: incident.cluster.clone(),
            target: incident.target.clone(),
            params,
            requested_by: muster_engine::journal::DAEMON.to_owned(),
            incident: Some(incident.id.clone()),
            valid: self.app.config().plan_valid,
            over_limits: false,
            library: &library,
            known: self.answered(incident),
        };
        match self.app.engine.plan(runbook, request).await {
            Err(e) => tracing::warn!(runbook = %runbook.id, error = %e, "cannot be planned now"),
            Ok(planned) if !planned.journaled => {}
            Ok(planned) => {
                self.desk.planned(&incident.id, &planned.plan.id);
                if let Some(r) = planned.refused {
                    tracing::warn!(guard = r.guard, why = %r.why, "plan refused");
                } else if planned.plan.result == PlanResult::Changes {
                    let needed = self.needed(&planned.plan);
                    tracing::info!(run = %planned.plan.id, approvals = needed, "plan made: {}", planned.plan.runbook.id);
                    // Somebody may have closed it meanwhile.
                    let open = self.desk.get(&incident.id).is_some_and(|i| is_open(&i));
                    if autopilot == Autopilot::Act && open {
                        self.drive(&planned.plan.id, Starter::Autopilot).await;
                    }
                }
            }
        }
    }

    /// What the last plan said, unless that is an hour old: then it is worth saying again.
    fn answered(&self, incident: &Incident) -> Option<PlanResult> {
        let (plan, _) = self.app.engine.run(incident.runs.last()?).ok()?;
        let age = self.app.engine.now().since(plan.created_at);
        (age < Span::from_mins(60)).then_some(plan.result)
    }

    fn needed(&self, plan: &muster_model::Plan) -> usize {
        muster_engine::guards::approvals_needed(plan, &self.app.engine.rules(&plan.scope.cluster).policy)
    }
}

/// A plan is being made for this incident, until this is dropped.
struct Proposing {
    all: Arc<std::sync::Mutex<BTreeSet<String>>>,
    incident: String,
}

impl Proposing {
    /// `None` while one is being made.
    fn of(all: &Arc<std::sync::Mutex<BTreeSet<String>>>, incident: &str) -> Option<Self> {
        let mut known = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.insert(incident.to_owned()).then(|| Self {
            all: all.clone(),
            incident: incident.to_owned(),
        })
    }
}

impl Drop for Proposing {
    fn drop(&mut self) {
        self.all
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(&self.incident);
    }
}

/// Addresses of which nothing, or not enough, could be read: of what is not seen there nobody may say that it went away.
fn blind(snapshot: &Snapshot, unknown: &[muster_rules::Unknown]) -> Vec<String> {
    use muster_model::snapshot::Reach;
    let silent = snapshot
        .components()
        .filter(|(_, r)| !matches!(r, Reach::Up | Reach::Full { .. }))
        .map(|(a, _)| a);
    // What is asked of no rule by name, such as the cause of a pool's waiters, may hide any of them.
    let known: BTreeSet<&str> = muster_rules::catalogue().iter().map(|r| r.kind).collect();
    let hidden = unknown
        .iter()
        .filter(|u| !known.contains(u.kind.as_str()))
        .map(|u| &u.target);
    let mut out: Vec<String> = silent.chain(hidden).cloned().collect();
    out.sort();
    out.dedup();
    out
}

/// Making a plan and writing down what it came to takes no longer.
const UNTOLD: Span = Span::from_secs(30);

/// A lock whose holder panicked still holds the newest value.
pub(crate) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// As [`write`], for reading.
pub(crate) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Evidence of an incident: what was found, and the sessions, locks and pools behind it.
#[must_use]
pub fn evidence(snapshot: &Snapshot, findings: &[Finding]) -> serde_json::Value {
    serde_json::json!({"taken_at": snapshot.taken_at, "findings": findings, "snapshot": snapshot})
}

/// Whether an incident still concerns somebody.
#[must_use]
pub fn is_open(incident: &Incident) -> bool {
    incident.state != IncidentState::Resolved
}

/// Proposals are repeated while nothing is done: after 5 s, then ever more rarely, at the longest every 5 minutes.
pub(crate) fn retry_due(last: Option<(Time, u32)>, now: Time) -> bool {
    last.is_none_or(|(at, tries)| now.since(at).millis() >= 5000 * (1 << tries.saturating_sub(1).min(6)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_planned_once_at_a_time() {
        let all = Arc::default();
        let first = Proposing::of(&all, "i-1").expect("nobody plans it");
        assert!(Proposing::of(&all, "i-1").is_none(), "it is being planned");
        assert!(Proposing::of(&all, "i-2").is_some(), "another one is not");
        drop(first);
        assert!(
            Proposing::of(&all, "i-1").is_some(),
            "also after a panic: it is over when it is dropped"
        );
    }
}
