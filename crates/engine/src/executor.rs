//! The executor: reads the journal, asks [`crate::progress::next`], obeys, appends. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use async_trait::async_trait;
use muster_model::{
    Approval, Autopilot, Digest, FrozenTarget, Observation, Plan, Policy, Record, Run, RunOutcome, RunState,
    Safety, Scope, Span, StepPlan, Time, WaitFor, Window,
};

use crate::catalogue::{Catalogue, CodeError};
use crate::clock::Clock;
use crate::condition;
use crate::guards::{self, Facts, Phase, Refusal, Starter};
use crate::journal::{Entry, Event, Fence, Journal, JournalError, Place};
use crate::lease::{Alone, Held, LeaseError, Leases, Permit};
use crate::progress::{Next, attempt_key, next};
use crate::proof::Proof;
use crate::run::{Past, fold, past, plan_of};

mod looks;
mod people;
mod upkeep;

/// How long one effect may take. What did not end by then counts as failed, and a look says what is left of it.
const STEP_DEADLINE: Span = Span::from_mins(5);
/// How often it is looked, a second apart, whether an effect is there whose answer was lost.
const LOOKS: u32 = 5;
/// How often a proof looks.
const LOOK_EVERY: Span = Span::from_millis(500);

/// Why the engine could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Code that a plan needs.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The right to act.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// There is no such run.
    #[error("there is no run or plan `{0}` in this state")]
    NoSuchRun(String),
    /// Somebody is driving this run already.
    #[error("run {0} is already at work")]
    AlreadyDriven(String),
    /// A guard refused what a person asked for.
    #[error("{}", .0.why)]
    Refused(Refusal),
}

impl EngineError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Journal(e) => Some(e.remedy()),
            Self::Code(e) => e.remedy(),
            Self::Lease(LeaseError::Held { .. }) => Some("wait for it; it goes on by itself".to_owned()),
            Self::Lease(LeaseError::Lost { .. }) => Some("another Muster goes on with it".to_owned()),
            Self::Lease(LeaseError::Store { .. }) => {
                Some("free space in the state folder and check its owner".to_owned())
            }
            Self::NoSuchRun(_) => Some("`muster runs list` shows what there is".to_owned()),
            Self::AlreadyDriven(id) => Some(format!("follow it with `muster runs show {id}`")),
            Self::Refused(r) => Some(r.remedy.clone()),
        }
    }
}

/// What is known about a cluster just now; guards compare it with the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Whether the config names it.
    pub enrolled: bool,
    /// Stable identity; empty when it cannot be read.
    pub identity: String,
    /// Major version.
    pub major: Option<u32>,
    /// Whether there is a login to act with, at what is looked at.
    pub can_act: bool,
    /// Addresses in the cluster at which there is none.
    pub unarmed: Vec<String>,
    /// Whether it is a practice fleet.
    pub practice: bool,
    /// Addresses of the servers that take writes; `None` when not all of them can be asked.
    pub primaries: Option<Vec<String>>,
    /// Timeline of the one that does.
    pub timeline: Option<u32>,
    /// What there is to fall back on, where that is known.
    pub safety: Option<Safety>,
}

/// What is supposed beside what the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If<'a> {
    /// Nothing.
    AsItIs,
    /// This person had broken the glass.
    Broken(&'a str),
    /// This person and somebody else who may sign had broken the glass.
    BrokenByTwo(&'a str),
    /// This person had signed.
    Signed(&'a str),
}

/// Looks at a cluster. Implemented by whoever can reach it.
#[async_trait]
pub trait Surveyor: Send + Sync {
    /// Surveys the cluster of a scope.
    async fn survey(&self, cluster: &str, target: &str) -> Survey;
}

/// What the config says about one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterRules {
    /// Policy.
    pub policy: Policy,
    /// Who starts runs.
    pub autopilot: Autopilot,
    /// Digest of parameters and thresholds, for Proofs.
    pub settings_digest: String,
    /// The runbooks as they are now.
    pub runbooks: BTreeMap<String, Known>,
    /// When it may be changed.
    pub windows: Vec<Window>,
}

/// A runbook as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Digest of its checked text.
    pub digest: Digest,
    /// Who wrote its file, where it is not built in and the file says so.
    pub editor: Option<String>,
}

/// Set when everything shall stop at the next journaled point.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for it.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How far a run came.
#[derive(Clone, Debug, PartialEq)]
pub enum Driven {
    /// It is over.
    Ended(Run),
    /// It waits.
    Waiting(Run, String),
    /// A guard refused to start it; the plan stays as it is.
    Refused(Run, Refusal),
    /// It was stopped at a journaled point.
    Parked(Run),
}

impl Driven {
    /// The run.
    #[must_use]
    pub fn run(&self) -> &Run {
        match self {
            Self::Ended(r) | Self::Waiting(r, _) | Self::Refused(r, _) | Self::Parked(r) => r,
        }
    }
}

/// The engine over one state.
pub struct Engine {
    journal: Journal,
    catalogue: Catalogue,
    clock: Arc<dyn Clock>,
    surveyor: Arc<dyn Surveyor>,
    rules: RwLock<BTreeMap<String, ClusterRules>>,
    leases: Leases,
    /// The lease on the whole state, where this process owns one.
    state: Option<Arc<Held>>,
    driving: Mutex<BTreeMap<String, Option<Right>>>,
}

/// The leases under which a run is driven here.
#[derive(Clone, Debug)]
struct Right {
    run: Arc<Held>,
    /// For a run that changes something.
    cluster: Option<Arc<Held>>,
    /// That lease is this run's alone, also among the runs of this process.
    alone: Option<Arc<Alone>>,
}

impl Right {
    fn all(&self) -> Vec<Arc<Held>> {
        std::iter::once(self.run.clone())
            .chain(self.cluster.clone())
            .collect()
    }
}

/// What guards say before something is changed.
enum May {
    /// Go on.
    Go,
    /// It waits.
    Wait(Box<Driven>),
    /// They refused, and the run has ended.
    Over,
}

impl Engine {
    /// Over an open journal.
    #[must_use]
    pub fn new(
        journal: Journal,
        catalogue: Catalogue,
        clock: Arc<dyn Clock>,
        surveyor: Arc<dyn Surveyor>,
        rules: BTreeMap<String, ClusterRules>,
        leases: Leases,
        state: Option<Arc<Held>>,
    ) -> Self {
        Self {
            journal,
            catalogue,
            clock,
            surveyor,
            rules: RwLock::new(rules),
            leases,
            state,
            driving: Mutex::new(BTreeMap::new()),
        }
    }

    /// Its journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Its catalogue.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Its surveyor.
    #[must_use]
    pub fn surveyor(&self) -> &dyn Surveyor {
        self.surveyor.as_ref()
    }

    /// Now, by its clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// A time on a clock that nobody sets: good for differences only.
    fn elapsed(&self) -> Time {
        Time::from_millis(i64::try_from(self.clock.elapsed().millis()).unwrap_or(i64::MAX))
    }

    /// Takes over a new config.
    pub fn reload(&self, rules: BTreeMap<String, ClusterRules>) {
        *self
            .rules
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = rules;
    }

    /// What the config says about a cluster; an unknown cluster has the strictest rules: nobody may approve.
    #[must_use]
    pub fn rules(&self, cluster: &str) -> ClusterRules {
        let rules = self
            .rules
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        rules.get(cluster).cloned().unwrap_or_else(|| ClusterRules {
            policy: Policy::default(),
            autopilot: Autopilot::Observe,
            settings_digest: String::new(),
            runbooks: BTreeMap::new(),
            windows: Vec::new(),
        })
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, who: &str, place: &Place, event: Event) -> Result<Entry, EngineError> {
        let mut fences: Vec<Fence> = self.state.iter().map(|h| fence(h)).collect();
        if let Some(Some(right)) = self.drives().get(&place.run) {
            fences.push(fence(&right.run));
        }
        Ok(self.journal.append(self.now(), who, place, &fences, event)?)
    }

    fn drives(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<Right>>> {
        self.driving
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The lease on the state, where this process owns one.
    #[must_use]
    pub fn state_lease(&self) -> Option<&Arc<Held>> {
        self.state.as_ref()
    }

    /// A run with its plan.
    ///
    /// # Errors
    /// When there is none, or the journal cannot be read.
    pub fn run(&self, id: &str) -> Result<(Plan, Run), EngineError> {
        let entries = self.journal.of_run(id)?;
        let plan = plan_of(&entries)
            .ok_or_else(|| EngineError::NoSuchRun(id.to_owned()))?
            .clone();
        let run = self.fold(&plan, &entries);
        Ok((plan, run))
    }

    /// All runs, newest last.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn runs(&self) -> Result<Vec<(Plan, Run)>, EngineError> {
        let planned = self.journal.of_kind("planned")?;
        planned.iter().map(|e| self.run(&e.place.run)).collect()
    }

    /// Runs that are not over, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn open_runs(&self) -> Result<Vec<(Plan, Run)>, EngineError> {
        self.journal.open_runs()?.iter().map(|id| self.run(id)).collect()
    }

    /// Whether a run is at work in this process.
    #[must_use]
    pub fn at_work(&self, id: &str) -> bool {
        self.drives().contains_key(id)
    }

    /// Proofs on record.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn proofs(&self) -> Result<Vec<Proof>, EngineError> {
        Ok(self
            .journal
            .of_kind("proof")?
            .into_iter()
            .filter_map(|e| match e.event {
                Event::Proof { proof } => Some(proof),
                _ => None,
            })
            .collect())
    }

    /// Asks the guards about a plan.
    ///
    /// # Errors
    /// When the journal cannot be read. A refusal is the inner result.
    pub async fn judge(
        &self,
        plan: &Plan,
        phase: Phase,
        starter: Starter,
    ) -> Result<Result<(), Refusal>, EngineError> {
        self.judge_if(plan, phase, starter, If::AsItIs).await
    }

    /// As [`Engine::judge`], as if something more had been said.
    ///
    /// # Errors
    /// As [`Engine::judge`].
    pub async fn judge_if(
        &self,
        plan: &Plan,
        phase: Phase,
        starter: Starter,
        more: If<'_>,
    ) -> Result<Result<(), Refusal>, EngineError> {
        let rules = self.rules(&plan.scope.cluster);
        let entries = self.journal.of_run(&plan.id)?;
        let mut run = self.fold(plan, &entries);
        match more {
            If::AsItIs => {}
            If::Broken(by) => crate::run::broke(&mut run, by),
            If::BrokenByTwo(by) => {
                crate::run::broke(&mut run, by);
                let may = |n: &&String| *n != by && guards::may_approve(plan, &rules.policy, n).is_ok();
                run.glass_second = rules.policy.approvers.iter().find(may).cloned();
            }
            If::Signed(by) => run.approvals.push(Approval {
                digest: plan.digest.clone(),
                by: by.to_owned(),
                at: self.now(),
            }),
        }
        let past = self.past()?;
        let proofs = self.proofs()?;
        let frozen = self.frozen_for(plan)?;
        let survey = self
            .surveyor
            .survey(&plan.scope.cluster, &plan.scope.target)
            .await;
        let identity = Some(survey.identity.as_str()).filter(|i| !i.is_empty());
        Ok(guards::check(&Facts {
            plan,
            policy: &rules.policy,
            phase,
            starter,
            now: self.now(),
            approvals: &run.approvals,
            glass: run.glass.as_deref(),
            glass_second: run.glass_second.as_deref(),
            issued: plan_of(&entries).map(|p| p.digest.as_str()),
            frozen: frozen.as_deref(),
            past: &past,
            identity_now: identity,
            proofs: &proofs,
            settings_digest: &rules.settings_digest,
            runbook_now: rules.runbooks.get(&plan.runbook.id).map(|k| k.digest.as_str()),
            primaries_now: survey.primaries.as_deref(),
            timeline_now: survey.timeline,
            windows: &rules.windows,
            safety: survey.safety.as_ref(),
        }))
    }

    /// Starts a run, or goes on with it, until it ends, waits, is refused or is stopped.
    ///
    /// # Errors
    /// When the journal cannot be read or written, or code is missing; nothing is done that was not journaled before.
    pub async fn drive(&self, id: &str, starter: Starter, stop: &Stop) -> Result<Driven, EngineError> {
        let starter = &starter;
        match self.drives().entry(id.to_owned()) {
            std::collections::btree_map::Entry::Occupied(_) => {
                return Err(EngineError::AlreadyDriven(id.to_owned()));
            }
            std::collections::btree_map::Entry::Vacant(slot) => slot.insert(None),
        };
        // Also when this future is dropped or panics: else nobody could ever go on with the run.
        let _driving = Driving(self, id);
        // Not one entry of it may be missing or changed.
        let entries = self.journal.whole_run(id)?;
        let plan = plan_of(&entries)
            .ok_or_else(|| EngineError::NoSuchRun(id.to_owned()))?
            .clone();
        let who = starter_name(starter);
        if entries.iter().any(|e| matches!(e.event, Event::Ended { .. })) {
            return Ok(Driven::Ended(self.run(id)?.1));
        }
        let right = match self.right(&plan).await {
            Ok(right) => right,
            Err(e @ LeaseError::Held { .. }) => {
                let place = Place::run(id, plan.incident.as_deref());
                self.waits(&entries, &who, &place, WaitFor::Lease, &e.to_string(), None)?;
                return Ok(Driven::Waiting(self.run(id)?.1, e.to_string()));
            }
            Err(e) => return Err(e.into()),
        };
        self.drives().insert(id.to_owned(), Some(right.clone()));
        for held in right.all() {
            let lease = held.lease();
            // Said once, by the run that took it: the entry raises the fence, so the one before cannot write any more.
            if let Some(from) = lease.taken_from.clone()
                && !entries.iter().any(|e| matches!(&e.event, Event::LeaseTaken { lease: l, epoch, .. } if *l == lease.key && *epoch == lease.epoch))
            {
                let event = Event::LeaseTaken {
                    lease: lease.key,
                    epoch: lease.epoch,
                    from,
                };
                self.append(&who, &Place::run(id, plan.incident.as_deref()), event)?;
            }
        }
        let driven = self
            .drive_owned(&plan, &who, &entries, starter, stop, &right)
            .await;
        self.drives().insert(id.to_owned(), None);
        let Right { run, cluster, alone } = right;
        for held in std::iter::once(run).chain(cluster) {
            self.leases.give_back(held).await;
        }
        // Only now may the next run of this process have it.
        drop(alone);
        if let Ok(Driven::Ended(run)) = &driven {
            let key = format!("run-{}", run.id);
            self.leases.forget("run-", &|k| k == key).await;
        }
        driven
    }

    /// The leases that a run needs: on itself, and on its cluster when it changes something.
    async fn right(&self, plan: &Plan) -> Result<Right, LeaseError> {
        let run = self.leases.take(&format!("run-{}", plan.id)).await?;
        if plan.target_count() == 0 {
            return Ok(Right {
                run,
                cluster: None,
                alone: None,
            });
        }
        let cluster = format!("cluster-{}", plan.scope.identity);
        match self.leases.take_alone(&cluster).await {
            Ok((held, alone)) => Ok(Right {
                run,
                cluster: Some(held),
                alone: Some(Arc::new(alone)),
            }),
            Err(e) => {
                self.leases.give_back(run).await;
                Err(e)
            }
        }
    }

    /// A permit for one effect, when the leases last long enough; else what is missing.
    async fn permit(&self, right: &Right) -> Result<Permit, (String, String)> {
        let enough = Span::from_millis(self.leases.ttl().millis() / 3);
        for held in right.all() {
            let key = || held.lease().key;
            if held.remaining() < enough {
                held.renew().await.map_err(|e| (key(), e.to_string()))?;
            }
            if held.remaining() < enough {
                return Err((key(), "it cannot be held for long enough".to_owned()));
            }
        }
        Ok(Permit::new(right.all()))
    }

    /// Stops because the right to act is gone: that is written down first, where we still may write.
    fn lost(&self, place: &Place, who: &str, lease: String, why: String) -> Result<Driven, EngineError> {
        let parked = format!("the right to act (`{lease}`) was lost: {why}");
        self.append(who, place, Event::LeaseLost { lease, why })?;
        self.append(who, place, Event::Parked { why: parked })?;
        Ok(Driven::Parked(self.run(&place.run)?.1))
    }

    async fn drive_owned(
        &self,
        plan: &Plan,
        who: &str,
        entries: &[Entry],
        starter: &Starter,
        stop: &Stop,
        right: &Right,
    ) -> Result<Driven, EngineError> {
        let id = plan.id.as_str();
        let place = Place::run(id, plan.incident.as_deref());
        let begun = entries.iter().any(|e| matches!(e.event, Event::Started { .. }));
        // One that waits goes on when something happens in it, not when it is asked again.
        let waiting = matches!(self.fold(plan, entries).state, RunState::Waiting { .. });
        if begun && !waiting && !entries.iter().any(|e| matches!(e.event, Event::Ended { .. })) {
            self.append(who, &place, Event::Resumed)?;
        }
        // Whether guards were asked in this drive, and whether they were for the batch that begins now.
        let (mut asked, mut judged) = (false, false);
        let mut due: BTreeMap<String, Time> = BTreeMap::new();
        loop {
            // Read anew each time: a person may have cancelled meanwhile.
            let entries = self.journal.of_run(id)?;
            let decided = next(plan, &entries, self.now());
            if stop.is_set() && !matches!(decided, Next::Over | Next::End { .. } | Next::Observe { .. }) {
                if begun || entries.iter().any(|e| matches!(e.event, Event::Started { .. })) {
                    self.append(
                        who,
                        &place,
                        Event::Parked {
                            why: "Muster was asked to stop".to_owned(),
                        },
                    )?;
                }
                return Ok(Driven::Parked(self.run(id)?.1));
            }
            match decided {
                Next::Over => return Ok(Driven::Ended(self.run(id)?.1)),
                Next::End { outcome, detail } => self.end(&place, who, outcome, &detail)?,
                Next::Start => {
                    if let Err(refusal) = self.judge(plan, Phase::Start, starter.clone()).await? {
                        return self.not_started(plan, &place, who, refusal);
                    }
                    let on = approvers(&self.fold(plan, &entries));
                    let by = starter.is_person().then(|| who.to_owned());
                    self.append(who, &place, Event::Started { on, by })?;
                }
                Next::Ask { step, question } => {
                    let place = place.step(&step);
                    self.waits(&entries, who, &place, WaitFor::Approval, &question, None)?;
                    return Ok(Driven::Waiting(self.run(id)?.1, question));
                }
                Next::WaitUntil { step, at } => {
                    // Counted from the first look on, by a clock that nobody sets in the middle.
                    let left = at.since(self.now());
                    let due = *due
                        .entry(step.clone())
                        .or_insert_with(|| self.elapsed().plus(left));
                    let place = place.step(&step);
                    if self.elapsed() < due {
                        let why = "its time has not come";
                        self.waits(&entries, who, &place, WaitFor::Timer, why, Some(at))?;
                        let left = due.since(self.elapsed());
                        self.clock.wait(left.min(LOOK_EVERY)).await;
                    } else {
                        self.append(who, &place, Event::Waited)?;
                    }
                }
                Next::Pause { at } => {
                    let now = self.now();
                    self.clock.wait(at.since(now).min(LOOK_EVERY)).await;
                }
                Next::Unwind { outcome, why } => {
                    self.append(who, &place, Event::Unwinds { outcome, why })?;
                }
                Next::Read { step } => self.read(plan, &place, who, &step).await?,
                Next::Record { step } => self.record(plan, &place, who, &step)?,
                Next::Verify { step } => {
                    if !self.verify(plan, &place, who, &step, stop).await? {
                        self.append(
                            who,
                            &place,
                            Event::Parked {
                                why: "Muster was asked to stop".to_owned(),
                            },
                        )?;
                        return Ok(Driven::Parked(self.run(id)?.1));
                    }
                }
                Next::Apply {
                    step,
                    target,
                    attempt,
                    batch,
                } => {
                    // Also when it goes on in the middle of a batch: the world may be another one by now.
                    if (batch && !judged) || !asked {
                        match self
                            .may_change(plan, &place, who, &step, starter, &entries)
                            .await?
                        {
                            May::Go => {}
                            May::Wait(driven) => return Ok(*driven),
                            May::Over => continue,
                        }
                    }
                    judged = false;
                    asked = true;
                    let permit = match self.permit(right).await {
                        Ok(permit) => permit,
                        Err((lease, why)) => return self.lost(&place, who, lease, why),
                    };
                    let at = place.step(&step).attempt(&attempt_key(&target, false), attempt);
                    if let Some(why) = self.effect(plan, &at, who, &target, false, &permit).await? {
                        return self.lost(&place, who, right.run.lease().key, why);
                    }
                }
                Next::Check {
                    step,
                    batch,
                    done,
                    budget,
                } => {
                    match self
                        .may_change(plan, &place, who, &step, starter, &entries)
                        .await?
                    {
                        May::Go => asked = true,
                        May::Wait(driven) => return Ok(*driven),
                        May::Over => continue,
                    }
                    let event = self.between(plan, &step, batch, &done, budget).await?;
                    judged = matches!(event, Event::Checked { go_on: true, .. });
                    self.append(who, &place.step(&step).attempt("", batch), event)?;
                }
                Next::Undo {
                    step,
                    target,
                    attempt,
                } => {
                    let permit = match self.permit(right).await {
                        Ok(permit) => permit,
                        Err((lease, why)) => return self.lost(&place, who, lease, why),
                    };
                    let at = place.step(&step).attempt(&attempt_key(&target, true), attempt);
                    if let Some(why) = self.effect(plan, &at, who, &target, true, &permit).await? {
                        return self.lost(&place, who, right.run.lease().key, why);
                    }
                }
                Next::Observe {
                    step,
                    target,
                    attempt,
                    undo,
                } => {
                    let (uses, with) = action_of(plan, &step)?;
                    let action = self.catalogue.find_action(uses)?;
                    let observation = action.observe(&plan.scope, with, &target).await;
                    let at = place.step(&step).attempt(&attempt_key(&target, undo), attempt);
                    self.append(who, &at, Event::Observed { observation, undo })?;
                }
            }
        }
    }

    /// Writes down that a step waits, unless that is what the last word about it says.
    fn waits(
        &self,
        entries: &[Entry],
        who: &str,
        place: &Place,
        what: WaitFor,
        why: &str,
        until: Option<Time>,
    ) -> Result<(), EngineError> {
        let looked = |e: &Entry| matches!(e.event, Event::Checked { .. });
        let last = entries
            .iter()
            .rev()
            .find(|e| e.place.step == place.step && !looked(e));
        // That somebody else wants the run to start is a new word: it goes on on theirs.
        let theirs = |e: &Entry| place.step.is_empty() && e.who != who;
        if last.is_some_and(|e| !theirs(e) && matches!(&e.event, Event::Waits { what: w, .. } if *w == what))
        {
            return Ok(());
        }
        let event = Event::Waits {
            what,
            why: why.to_owned(),
            until,
        };
        self.append(who, place, event).map(|_| ())
    }

    /// `who` is remembered with a wait: on their word it goes on.
    fn not_started(
        &self,
        plan: &Plan,
        place: &Place,
        who: &str,
        refusal: Refusal,
    ) -> Result<Driven, EngineError> {
        if refusal.guard == "expiry" {
            self.end(place, crate::journal::DAEMON, RunOutcome::Expired, &refusal.why)?;
            return Ok(Driven::Refused(self.run(&plan.id)?.1, refusal));
        }
        let waits = match refusal.guard {
            "window" => Some(WaitFor::Window),
            // Begun on somebody's word, so it goes on by itself when the other one is over.
            "one_run" => Some(WaitFor::Lease),
            _ => None,
        };
        if let Some(what) = waits {
            let entries = self.journal.of_run(&plan.id)?;
            self.waits(&entries, who, place, what, &refusal.why, refusal.until)?;
            return Ok(Driven::Waiting(self.run(&plan.id)?.1, refusal.why));
        }
        if refusal.guard == "approval" {
            return Ok(Driven::Waiting(self.run(&plan.id)?.1, refusal.why));
        }
        self.refuse(place, &refusal)?;
        Ok(Driven::Refused(self.run(&plan.id)?.1, refusal))
    }

    fn refuse(&self, place: &Place, r: &Refusal) -> Result<(), EngineError> {
        // Asked again and again, it is said once.
        let entries = self.journal.of_run(&place.run)?;
        let last = entries.last().map(|e| &e.event);
        if matches!(last, Some(Event::Refused { guard, why, .. }) if *guard == r.guard && *why == r.why) {
            return Ok(());
        }
        let event = Event::Refused {
            guard: r.guard.to_owned(),
            why: r.why.clone(),
            remedy: r.remedy.clone(),
        };
        self.append(crate::journal::DAEMON, place, event).map(|_| ())
    }

    fn end(&self, place: &Place, who: &str, outcome: RunOutcome, detail: &str) -> Result<(), EngineError> {
        self.append(
            who,
            place,
            Event::Ended {
                outcome,
                detail: detail.to_owned(),
            },
        )
        .map(|_| ())
    }

    async fn read(&self, plan: &Plan, place: &Place, who: &str, step: &str) -> Result<(), EngineError> {
        let Some(StepPlan::Probe {
            uses,
            with,
            continue_if,
            expect,
        }) = plan.step(step).map(|s| &s.plan)
        else {
            return Ok(());
        };
        let probe = self.catalogue.find_probe(uses)?;
        let event = match probe.read(&plan.scope, with).await {
            Err(e) => Event::Ended {
                outcome: RunOutcome::Failed,
                detail: format!("`{step}` cannot be read, so nothing was begun after it: {e}"),
            },
            Ok(outputs) => {
                let holds = |c: &Option<String>| match c {
                    None => Ok(true),
                    Some(c) => condition::holds(c, &outputs, probe.signature()),
                };
                match (holds(continue_if), holds(expect)) {
                    (Ok(go_on), Ok(expected)) => {
                        let said = |what: &Option<String>| {
                            what.as_ref().map_or(String::new(), |c| {
                                format!(
                                    "`{c}` does not hold any more ({})",
                                    condition::values(c, &outputs)
                                )
                            })
                        };
                        let why = if !go_on {
                            said(continue_if)
                        } else if !expected {
                            said(expect)
                        } else {
                            String::new()
                        };
                        Event::ProbeRead {
                            outputs,
                            go_on,
                            expected,
                            why,
                        }
                    }
                    (Err(e), _) | (_, Err(e)) => Event::Ended {
                        outcome: RunOutcome::Failed,
                        detail: format!("a condition of `{step}` cannot be evaluated: {e}"),
                    },
                }
            }
        };
        let place = if matches!(event, Event::Ended { .. }) {
            place.clone()
        } else {
            place.step(step)
        };
        self.append(who, &place, event).map(|_| ())
    }

    fn record(&self, plan: &Plan, place: &Place, who: &str, step: &str) -> Result<(), EngineError> {
        if let Some(StepPlan::Record { values }) = plan.step(step).map(|s| &s.plan) {
            self.append(
                who,
                &place.step(step),
                Event::Recorded {
                    values: values.clone(),
                },
            )?;
        }
        Ok(())
    }

    /// One effect, or taking it back: the intent is on disk before, the outcome after. `Some` when the permit ended
    /// meanwhile: then what happened is for a look to say, and the intent stays open.
    async fn effect(
        &self,
        plan: &Plan,
        at: &Place,
        who: &str,
        target: &FrozenTarget,
        undo: bool,
        permit: &Permit,
    ) -> Result<Option<String>, EngineError> {
        let (uses, with) = action_of(plan, &at.step)?;
        let action = self.catalogue.find_action(uses)?;
        let intent = Event::Intent {
            target: target.clone(),
            undo,
        };
        self.append(who, at, intent)?;
        let scope = &plan.scope;
        let work = async {
            if undo {
                action.undo(scope, with, target, permit).await
            } else {
                action.apply(scope, with, target, permit).await
            }
        };
        let outcome = match tokio::time::timeout(STEP_DEADLINE.duration(), work).await {
            Ok(outcome) => outcome,
            Err(_) => muster_model::Outcome::Failed {
                error: format!("it did not end within {}", STEP_DEADLINE.human()),
            },
        };
        if matches!(outcome, muster_model::Outcome::Indeterminate { .. }) {
            // An answer that was lost is no effect that was lost: a look may show it.
            for _ in 0..LOOKS {
                let observation = action.observe(scope, with, target).await;
                let happened = match &observation {
                    Observation::Done { .. } => !undo,
                    Observation::NotDone { .. } => undo,
                    Observation::Unknown { .. } => false,
                };
                if happened {
                    self.append(who, at, Event::Observed { observation, undo })?;
                    return Ok(None);
                }
                self.clock.wait(Span::from_secs(1)).await;
            }
        }
        let done = matches!(outcome, muster_model::Outcome::Done { .. });
        if permit.remaining() == Span::ZERO && !done {
            return Ok(Some("it ended while the effect was under way".to_owned()));
        }
        self.append(who, at, Event::Tried { outcome, undo })?;
        Ok(None)
    }

    /// Asks the guards before something is changed.
    async fn may_change(
        &self,
        plan: &Plan,
        place: &Place,
        who: &str,
        step: &str,
        starter: &Starter,
        entries: &[Entry],
    ) -> Result<May, EngineError> {
        let Err(r) = self.judge(plan, Phase::Change, starter.clone()).await? else {
            return Ok(May::Go);
        };
        if r.guard == "window" {
            self.waits(entries, who, &place.step(step), WaitFor::Window, &r.why, r.until)?;
            return Ok(May::Wait(Box::new(Driven::Waiting(self.run(&plan.id)?.1, r.why))));
        }
        self.refuse(place, &r)?;
        let why = format!("{}; what was done stays", r.why);
        self.end(place, who, RunOutcome::Refused, &why)?;
        Ok(May::Over)
    }

    /// Whether the cluster of a plan is still the one it was, with its servers in their roles.
    async fn same_world(&self, plan: &Plan) -> guards::Same {
        let survey = self
            .surveyor
            .survey(&plan.scope.cluster, &plan.scope.target)
            .await;
        if survey.identity.is_empty() {
            return guards::Same::Unread(format!(
                "the identity of {} cannot be read now",
                plan.scope.cluster
            ));
        }
        if survey.identity != plan.scope.identity {
            return guards::Same::No(format!(
                "the plan is for cluster {}, but {} answers at its address",
                plan.scope.identity, survey.identity
            ));
        }
        guards::same_primary(plan, survey.primaries.as_deref(), survey.timeline)
    }

    fn cancelled(&self, id: &str) -> Result<bool, EngineError> {
        Ok(self
            .journal
            .of_run(id)?
            .iter()
            .any(|e| matches!(e.event, Event::CancelAsked { .. })))
    }

    fn past(&self) -> Result<Vec<Past>, EngineError> {
        // A run that never started had no effect; of those that did, what is older than two days counts for no guard unless
        // it is still open.
        let two_days = 2 * 24 * 60 * 60 * 1_000_000;
        let since = Time::from_micros(self.now().micros() - two_days);
        let mut ids = self.journal.started_since(since)?;
        ids.extend(self.journal.open_runs()?);
        let mut seen = BTreeSet::new();
        let mut out = Vec::new();
        for id in ids.into_iter().filter(|id| seen.insert(id.clone())) {
            let entries = self.journal.of_run(&id)?;
            let started = entries.iter().any(|e| matches!(e.event, Event::Started { .. }));
            if let Some(plan) = plan_of(&entries).filter(|_| started) {
                out.push(past(plan, &entries));
            }
        }
        Ok(out)
    }

    fn fold(&self, plan: &Plan, entries: &[Entry]) -> Run {
        let policy = self.rules(&plan.scope.cluster).policy;
        let run = fold(plan, entries, false);
        let signed = run
            .approvals
            .iter()
            .filter(|a| guards::may_approve(plan, &policy, &a.by).is_ok())
            .count();
        // Farther than its limits it goes only with two who broke the glass, whoever signed.
        let waits = if plan.over_limits {
            run.glass_second.is_none()
        } else {
            run.glass.is_none() && signed < guards::approvals_needed(plan, &policy)
        };
        if matches!(run.state, RunState::Ready) && waits {
            return fold(plan, entries, true);
        }
        run
    }
}

/// A run that is driven here, until this is dropped.
struct Driving<'a>(&'a Engine, &'a str);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.drives().remove(self.1);
    }
}

fn fence(held: &Held) -> Fence {
    let lease = held.lease();
    Fence {
        lease: lease.key,
        epoch: lease.epoch,
    }
}

fn starter_name(starter: &Starter) -> String {
    match starter {
        Starter::Autopilot => crate::journal::DAEMON.to_owned(),
        Starter::Person(name) => name.clone(),
    }
}

fn approvers(run: &Run) -> String {
    if let (Some(by), Some(second)) = (&run.glass, &run.glass_second) {
        return format!("{by} and {second}, who broke the glass");
    }
    if let Some(by) = &run.glass {
        return format!("{by}, who broke the glass");
    }
    if run.approvals.is_empty() {
        return "policy".to_owned();
    }
    let names: Vec<&str> = run.approvals.iter().map(|a| a.by.as_str()).collect();
    names.join(", ")
}

fn action_of<'a>(plan: &'a Plan, step: &str) -> Result<(&'a str, &'a Record), EngineError> {
    match plan.step(step).map(|s| &s.plan) {
        Some(StepPlan::Action { uses, with, .. }) => Ok((uses, with)),
        _ => Err(EngineError::Code(CodeError::NoSuchCode {
            name: format!("step {step} of plan {}", plan.id),
        })),
    }
}

/// The scope of a plan, as a sentence.
#[must_use]
pub fn scope_text(scope: &Scope) -> String {
    if scope.target == scope.cluster {
        scope.cluster.clone()
    } else {
        format!("{} in {}", scope.target, scope.cluster)
    }
}
