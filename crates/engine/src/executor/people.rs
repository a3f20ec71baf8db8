//! What people say to the engine: yes, no, stop, give up, freeze. Each is an entry under their name.

use std::collections::BTreeMap;

use muster_model::{Approval, Plan, Run, RunOutcome, RunState, Span, StepPlan};

use super::{Engine, EngineError, plan_of};
use crate::guards::{self, Refusal};
use crate::journal::{Entry, Event, Place};
use crate::progress::{Next, came_to, next};

/// A run is begun within less, once it may.
const UNANSWERED: Span = Span::from_secs(10);

impl Engine {
    /// Signs a plan. What cannot be undone is signed by typing the name of its target.
    ///
    /// # Errors
    /// When it is not a plan of this journal, has expired, is over, or this person may not.
    pub fn approve(
        &self,
        id: &str,
        by: &str,
        step: Option<&str>,
        typed: Option<&str>,
    ) -> Result<Run, EngineError> {
        let (plan, run) = self.signable(id)?;
        let policy = self.rules(&plan.scope.cluster).policy;
        guards::may_approve(&plan, &policy, by).map_err(EngineError::Refused)?;
        guards::typed(&plan, typed).map_err(EngineError::Refused)?;
        if step.is_none() && run.approvals.iter().any(|a| a.by == by) {
            return Ok(run);
        }
        let approval = Approval {
            digest: plan.digest.clone(),
            by: by.to_owned(),
            at: self.now(),
        };
        let mut place = Place::run(id, plan.incident.as_deref());
        place.step = step.unwrap_or_default().to_owned();
        self.append(by, &place, Event::Approved { approval })?;
        Ok(self.run(id)?.1)
    }

    /// Whether this person may break the glass for this plan; the plan.
    ///
    /// # Errors
    /// When it is not a plan of this journal, has begun, expired or is over, or this person may not.
    pub fn may_break_glass(&self, id: &str, by: &str, typed: &str, why: &str) -> Result<Plan, EngineError> {
        let (plan, run) = self.signable(id)?;
        let entries = self.journal().of_run(id)?;
        if entries.iter().any(|e| matches!(e.event, Event::Started { .. })) {
            return Err(EngineError::Refused(Refusal {
                guard: "glass",
                why: format!("run {id} has begun"),
                remedy: format!("`muster runs show {id}` follows it"),
                until: None,
            }));
        }
        let policy = self.rules(&plan.scope.cluster).policy;
        guards::may_break(&plan, &policy, by, typed, why).map_err(EngineError::Refused)?;
        if run.glass.is_some_and(|first| first != by) {
            // A second one is wanted for the limits only, and signs like anybody else.
            if !plan.over_limits {
                return Err(EngineError::Refused(Refusal {
                    guard: "glass",
                    why: format!("the glass of run {id} is broken already"),
                    remedy: format!("`muster apply {id}` starts it"),
                    until: None,
                }));
            }
            guards::may_approve(&plan, &policy, by).map_err(EngineError::Refused)?;
        }
        Ok(plan)
    }

    /// One approver takes a plan on themselves. `incident` is the one that was opened for it.
    ///
    /// # Errors
    /// As [`Engine::may_break_glass`].
    pub fn break_glass(
        &self,
        id: &str,
        by: &str,
        typed: &str,
        why: &str,
        incident: &str,
    ) -> Result<(), EngineError> {
        let plan = self.may_break_glass(id, by, typed, why)?;
        let event = Event::GlassBroken {
            digest: plan.digest,
            why: why.to_owned(),
        };
        self.append(by, &Place::run(id, Some(incident)), event)
            .map(|_| ())
    }

    /// Says no to a plan. Final.
    ///
    /// # Errors
    /// When it is not a plan of this journal or is over.
    pub fn reject(&self, id: &str, by: &str, why: &str) -> Result<Run, EngineError> {
        let (plan, run) = self.signable(id)?;
        let started = self
            .journal()
            .of_run(id)?
            .iter()
            .any(|e| matches!(e.event, Event::Started { .. }));
        if started || run.state == RunState::Ended {
            return Err(EngineError::Refused(Refusal {
                guard: "state",
                why: format!("run {id} has begun; what was done would be left unproven"),
                remedy: format!("`muster runs cancel {id} --why …` stops it in order"),
                until: None,
            }));
        }
        let place = Place::run(id, plan.incident.as_deref());
        self.append(
            by,
            &place,
            Event::Rejected {
                digest: plan.digest.clone(),
                why: why.to_owned(),
            },
        )?;
        self.end(&place, by, RunOutcome::Rejected, &format!("{by} said no: {why}"))?;
        Ok(self.run(id)?.1)
    }

    fn signable(&self, id: &str) -> Result<(Plan, Run), EngineError> {
        let (plan, run) = self.run(id)?;
        let refuse = |guard, why: String| {
            EngineError::Refused(Refusal {
                guard,
                why,
                remedy: "make a new plan".to_owned(),
                until: None,
            })
        };
        if run.state == RunState::Ended {
            return Err(refuse(
                "approval",
                format!("run {id} is over ({})", run.outcome.map_or("", RunOutcome::word)),
            ));
        }
        if self.now() > plan.expires_at && !run.state.under_way() {
            let place = Place::run(id, plan.incident.as_deref());
            self.end(
                &place,
                crate::journal::DAEMON,
                RunOutcome::Expired,
                "nobody approved it in time",
            )?;
            return Err(refuse(
                "expiry",
                format!(
                    "the plan expired {} ago",
                    self.now().since(plan.expires_at).human()
                ),
            ));
        }
        Ok((plan, run))
    }

    /// Ends a plan that nobody started in time; whether it did.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn expire(&self, id: &str) -> Result<bool, EngineError> {
        let (plan, run) = self.run(id)?;
        let begun = run.state.under_way() || run.state == RunState::Ended;
        if begun || self.now() <= plan.expires_at {
            return Ok(false);
        }
        let place = Place::run(id, plan.incident.as_deref());
        // What came to nothing did not expire: only its last word is missing.
        let (outcome, why) = came_to(&plan).unwrap_or((RunOutcome::Expired, "nobody started it in time"));
        self.end(&place, crate::journal::DAEMON, outcome, why)?;
        Ok(true)
    }

    /// The step whose question a run waits for, with the question.
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn asked(&self, id: &str) -> Result<Option<(String, String)>, EngineError> {
        let entries = self.journal().of_run(id)?;
        let plan = plan_of(&entries).ok_or_else(|| EngineError::NoSuchRun(id.to_owned()))?;
        Ok(match next(plan, &entries, self.now()) {
            Next::Ask { step, question } => Some((step, question)),
            _ => None,
        })
    }

    /// Whether a run may begin on somebody's word, and nothing came of that for a while: who took the word could not start it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn forgotten(&self, run: &Run) -> Result<bool, EngineError> {
        if run.state != RunState::Ready {
            return Ok(false);
        }
        let entries = self.journal().of_run(&run.id)?;
        // A guard that refused it has had the last word: it is not asked again and again.
        Ok(entries.last().is_some_and(|e| {
            let said = matches!(e.event, Event::Approved { .. } | Event::GlassBroken { .. });
            said && self.now().since(e.at) > UNANSWERED
        }))
    }

    /// Asks a run to stop; what was done is undone where it can be.
    ///
    /// # Errors
    /// When there is none, or it is over.
    pub fn cancel(&self, id: &str, by: &str, why: &str) -> Result<(), EngineError> {
        let (plan, run) = self.run(id)?;
        if run.state == RunState::Ended {
            return Err(EngineError::Refused(Refusal {
                guard: "state",
                why: format!("run {id} is over"),
                remedy: "nothing to do".to_owned(),
                until: None,
            }));
        }
        let place = Place::run(id, plan.incident.as_deref());
        self.append(by, &place, Event::CancelAsked { why: why.to_owned() })?;
        Ok(())
    }

    /// Gives up on a run that cannot go on, and says why. Its effects stay as they are.
    ///
    /// # Errors
    /// When there is none, it is over, or it is at work in this process.
    pub fn abandon(&self, id: &str, by: &str, why: &str) -> Result<(), EngineError> {
        let (plan, run) = self.run(id)?;
        let busy = self.drives().contains_key(id);
        if run.state == RunState::Ended || busy {
            return Err(EngineError::Refused(Refusal {
                guard: "state",
                why: format!("run {id} is {}", if busy { "at work" } else { "over" }),
                remedy: format!("`muster runs cancel {id}` stops a run that is at work"),
                until: None,
            }));
        }
        let place = Place::run(id, plan.incident.as_deref());
        self.end(&place, by, RunOutcome::Abandoned, &format!("{by}: {why}"))
    }

    /// Stops changes: everywhere (an empty scope), on a cluster, or on one address.
    ///
    /// # Errors
    /// When it cannot be journaled.
    pub fn freeze(&self, by: &str, scope: &str, why: &str) -> Result<(), EngineError> {
        let event = Event::Frozen {
            scope: scope.to_owned(),
            why: why.to_owned(),
        };
        self.append(by, &Place::default(), event).map(|_| ())
    }

    /// Somebody has it: nobody else is called about what is known of it by now.
    ///
    /// # Errors
    /// When it cannot be journaled.
    pub fn acknowledge(&self, by: &str, place: &Place, why: &str) -> Result<(), EngineError> {
        let event = Event::Acknowledged { why: why.to_owned() };
        self.append(by, place, event).map(|_| ())
    }

    /// Allows changes again, in the scope in which they were stopped.
    ///
    /// # Errors
    /// When it cannot be journaled.
    pub fn unfreeze(&self, by: &str, scope: &str) -> Result<(), EngineError> {
        let event = Event::Unfrozen {
            scope: scope.to_owned(),
        };
        self.append(by, &Place::default(), event).map(|_| ())
    }

    /// Every scope in which changes are frozen, with the reason.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn freezes(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let mut all: Vec<Entry> = self.journal().of_kind("frozen")?;
        all.extend(self.journal().of_kind("unfrozen")?);
        all.sort_by_key(|e| e.seq);
        let mut on = BTreeMap::new();
        for e in all {
            match e.event {
                Event::Frozen { scope, why } => {
                    on.insert(scope, why);
                }
                Event::Unfrozen { scope } => {
                    on.remove(&scope);
                }
                _ => {}
            }
        }
        Ok(on)
    }

    /// Why this plan may change nothing: its address is frozen, or that of one of its targets.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn frozen_for(&self, plan: &Plan) -> Result<Option<String>, EngineError> {
        if let Some(why) = self.frozen(&plan.scope.cluster, &plan.scope.target)? {
            return Ok(Some(why));
        }
        let targets = plan.steps.iter().flat_map(|s| match &s.plan {
            StepPlan::Action { targets, .. } => targets.as_slice(),
            _ => &[],
        });
        let prints: Vec<&str> = targets.map(|t| t.fingerprint.as_str()).collect();
        // A target's fingerprint begins with the address at which it is.
        let at = |scope: &str| {
            prints
                .iter()
                .any(|p| p.strip_prefix(scope).is_some_and(|rest| rest.starts_with('#')))
        };
        let found = self
            .freezes()?
            .into_iter()
            .find(|(scope, _)| !scope.is_empty() && at(scope));
        Ok(found.map(|(scope, why)| format!("{why} ({scope})")))
    }

    /// Why changes are frozen at this address, when they are.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn frozen(&self, cluster: &str, target: &str) -> Result<Option<String>, EngineError> {
        let on = self.freezes()?;
        // What is frozen in a cluster is frozen for a plan that reaches all of it.
        let inside = |scope: &str| target == cluster && scope.starts_with(&format!("{cluster}/"));
        Ok(on
            .into_iter()
            .find(|(scope, _)| scope.is_empty() || scope == cluster || scope == target || inside(scope))
            .map(|(scope, why)| {
                if scope.is_empty() {
                    why
                } else {
                    format!("{why} ({scope})")
                }
            }))
    }
}
