//! What the engine does besides driving runs: heads that are to be kept outside, runs that do not get on.

use muster_model::{RunState, Span, Time};

use super::{Engine, EngineError};
use crate::guards::Starter;
use crate::journal::{DAEMON, Entry, Event, Head, Place};
use crate::run::{plan_of, starter_of};

/// After how long without an entry a run that is under way is stuck.
const STUCK_AFTER: Span = Span::from_mins(10);

/// Whether an entry says anything about how far its run is: that somebody has it does not.
fn gets_on_by(entry: &Entry) -> bool {
    !matches!(entry.event, Event::Acknowledged { .. })
}

impl Engine {
    /// On whose word a run goes on that nobody drives now.
    ///
    /// # Errors
    /// When the journal cannot be read, or there is no such run.
    pub fn starter(&self, run: &str) -> Result<Starter, EngineError> {
        let entries = self.journal().of_run(run)?;
        let plan = plan_of(&entries).ok_or_else(|| EngineError::NoSuchRun(run.to_owned()))?;
        Ok(starter_of(plan, &entries))
    }

    /// Until when a run waits, where its last word says so.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn waits_until(&self, run: &str) -> Result<Option<Time>, EngineError> {
        let entries = self.journal().of_run(run)?;
        Ok(entries
            .iter()
            .rev()
            .find_map(|e| match &e.event {
                Event::Waits { until, .. } => Some(*until),
                _ => None,
            })
            .flatten())
    }

    /// Forgets the leases of runs that are over: of those that ended while nobody drove them, and of those before.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn sweep(&self) -> Result<(), EngineError> {
        let open: Vec<String> = self
            .journal()
            .open_runs()?
            .iter()
            .map(|id| format!("run-{id}"))
            .collect();
        self.leases
            .forget("run-", &|key| !open.iter().any(|o| o == key))
            .await;
        Ok(())
    }

    /// The slot of a schedule that was used last. Reads much: ask once, then remember.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn last_slot(&self, schedule: &str) -> Result<Option<Time>, EngineError> {
        let used = self.journal().of_kind("scheduled")?;
        Ok(used.into_iter().rev().find_map(|e| match e.event {
            Event::Scheduled { name, slot, .. } if name == schedule => Some(slot),
            _ => None,
        }))
    }

    /// Whether an alert was taken up already.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn triggered(&self, key: &str) -> Result<bool, EngineError> {
        let known = self.journal().of_kind("triggered")?;
        Ok(known
            .iter()
            .any(|e| matches!(&e.event, Event::Triggered { key: k, .. } if k == key)))
    }

    /// The entry through which heads were written down there; 0 when none was. Reads much: ask once, then remember.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn exported_through(&self, to: &str) -> Result<u64, EngineError> {
        let done = self.journal().of_kind("head_exported")?;
        let through = done.into_iter().rev().find_map(|e| match e.event {
            Event::HeadExported { through, to: t } if t == to => Some(through),
            _ => None,
        });
        Ok(through.unwrap_or(0))
    }

    /// Heads at the ends of runs after this entry.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn heads_after(&self, seq: u64) -> Result<Vec<Head>, EngineError> {
        Ok(self.journal().ends_after(seq)?)
    }

    /// Notes that heads were written down there.
    ///
    /// # Errors
    /// When it cannot be journaled; then they are written there once more.
    pub fn exported(&self, to: &str, through: u64) -> Result<(), EngineError> {
        let event = Event::HeadExported {
            through,
            to: to.to_owned(),
        };
        self.append(DAEMON, &Place::default(), event).map(|_| ())
    }

    /// Since when nothing happens in this run, with the sentence that was written down about it; none while it gets on.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn stuck_since(&self, run: &str) -> Result<Option<(Time, String)>, EngineError> {
        let entries = self.journal().of_run(run)?;
        let last = entries.into_iter().rev().find(gets_on_by);
        Ok(last.and_then(|e| match e.event {
            Event::Stuck { why } => Some((e.at, why)),
            _ => None,
        }))
    }

    /// Runs that are under way, wait for nothing, and in which nothing has happened for ten minutes; each with a sentence.
    /// What was not said before is written down.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn stuck(&self) -> Result<Vec<(String, String)>, EngineError> {
        let mut out = Vec::new();
        for (plan, run) in self.open_runs()? {
            if !matches!(run.state, RunState::Running | RunState::Parked) {
                continue;
            }
            let entries = self.journal().of_run(&run.id)?;
            let said = entries.iter().rev().find_map(|e| match &e.event {
                Event::Stuck { why } => Some((e.seq, why.clone())),
                _ => None,
            });
            let Some(last) = entries
                .iter()
                .rev()
                .find(|e| gets_on_by(e) && !matches!(e.event, Event::Stuck { .. }))
            else {
                continue;
            };
            let still = self.now().since(last.at);
            if still < STUCK_AFTER {
                continue;
            }
            if let Some((_, why)) = said.filter(|(seq, _)| *seq > last.seq) {
                out.push((run.id.clone(), why));
                continue;
            }
            let step = if last.place.step.is_empty() {
                "it".to_owned()
            } else {
                format!("`{}`", last.place.step)
            };
            let why = format!(
                "nothing has happened in it for {}; {step} was last",
                still.human()
            );
            let place = Place::run(&run.id, plan.incident.as_deref());
            self.append(DAEMON, &place, Event::Stuck { why: why.clone() })?;
            out.push((run.id.clone(), why));
        }
        Ok(out)
    }
}
