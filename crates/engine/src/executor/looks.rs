//! What is looked at while a run goes on: whether a batch may begin, and whether symptom and cause are gone.

use muster_model::{FrozenTarget, Observation, Plan, Record, Span, StepPlan, Verdict};

use super::{Engine, EngineError, LOOK_EVERY, Stop, action_of};
use crate::condition;
use crate::guards;
use crate::journal::{Event, Place};
use crate::verify::{Look, Watch};

/// How often a proof makes sure that it still looks at the same servers.
const SURVEY_EVERY: Span = Span::from_secs(3);

/// What keeps a proof from ending well.
enum Disturbed {
    /// It is over at once.
    Ends(Verdict),
    /// It cannot be read whether it is.
    Unread(String),
}

impl Engine {
    /// Whether a batch of a step may begin: what the last one did is there, and nothing says stop.
    pub(super) async fn between(
        &self,
        plan: &Plan,
        step: &str,
        batch: u32,
        done: &[FrozenTarget],
        budget: usize,
    ) -> Result<Event, EngineError> {
        let (uses, with) = action_of(plan, step)?;
        let action = self.catalogue.find_action(uses)?;
        let mut lacking = Vec::new();
        for target in done {
            let what = match action.observe(&plan.scope, with, target).await {
                Observation::Done { .. } => continue,
                Observation::NotDone { detail } => format!("is not there any more ({detail})"),
                Observation::Unknown { why } => format!("cannot be seen ({why})"),
            };
            lacking.push(format!("what was done to {} {what}", target.label));
            if lacking.len() > budget {
                break;
            }
        }
        let missing = u32::try_from(lacking.len()).unwrap_or(u32::MAX);
        let (go_on, why) = if lacking.len() > budget {
            (false, lacking.join("; "))
        } else {
            match self.says_stop(plan, step).await? {
                Look::Gone { seen } if seen.is_empty() => (true, format!("{} done and seen", done.len())),
                Look::Gone { seen } => (true, format!("{} done and seen, {seen}", done.len())),
                Look::There { seen } => (false, seen),
                Look::Unread { why } => (false, format!("whether to stop cannot be read: {why}")),
            }
        };
        Ok(Event::Checked {
            batch,
            go_on,
            missing,
            why,
        })
    }

    /// Whether a condition holds under which a step is stopped.
    async fn says_stop(&self, plan: &Plan, step: &str) -> Result<Look, EngineError> {
        let Some(StepPlan::Action { abort_if, .. }) = plan.step(step).map(|s| &s.plan) else {
            return Ok(Look::Gone { seen: String::new() });
        };
        let mut seen = Vec::new();
        for abort in abort_if {
            match self
                .read_condition(plan, &abort.step, &abort.uses, &abort.with, &abort.when)
                .await?
            {
                Ok((false, values)) => seen.push(values),
                Ok((true, values)) => {
                    let seen = format!("`{}` holds ({values})", abort.when);
                    return Ok(Look::There { seen });
                }
                Err(why) => return Ok(Look::Unread { why }),
            }
        }
        Ok(Look::Gone {
            seen: seen.join(", "),
        })
    }

    /// Reads a probe anew and evaluates a condition over it: whether it holds, with the values; or why nobody can say.
    async fn read_condition(
        &self,
        plan: &Plan,
        step: &str,
        uses: &str,
        with: &Record,
        condition: &str,
    ) -> Result<Result<(bool, String), String>, EngineError> {
        let probe = self.catalogue.find_probe(uses)?;
        let outputs = match probe.read(&plan.scope, with).await {
            Ok(outputs) => outputs,
            Err(e) => return Ok(Err(format!("`{step}`: {e}"))),
        };
        let holds = condition::holds(condition, &outputs, probe.signature());
        Ok(holds
            .map(|holds| (holds, condition::values(condition, &outputs)))
            .map_err(|e| format!("`{condition}`: {e}")))
    }

    /// Writes the verdict down; the step is then over.
    fn verified(
        &self,
        who: &str,
        place: &Place,
        step: &str,
        verdict: Verdict,
        held_ms: u64,
    ) -> Result<bool, EngineError> {
        self.append(who, &place.step(step), Event::Verified { verdict, held_ms })?;
        Ok(true)
    }

    /// The steps before this one that changed something.
    fn acted_before<'a>(&self, plan: &'a Plan, step: &str) -> Result<Vec<&'a str>, EngineError> {
        let entries = self.journal.of_run(&plan.id)?;
        let did = |id: &str| {
            entries
                .iter()
                .any(|e| e.place.step == id && matches!(e.event, Event::Intent { .. }))
        };
        let before = plan.steps.iter().map(|s| s.id.as_str());
        Ok(before.take_while(|id| *id != step).filter(|id| did(id)).collect())
    }

    /// Whether a proof cannot go on as if nothing had been: after a failover or a restore what is seen is another server, and a
    /// condition to stop counts here too.
    async fn disturbed(&self, plan: &Plan, acted: &[&str]) -> Result<Option<Disturbed>, EngineError> {
        match self.same_world(plan).await {
            guards::Same::Yes => {}
            guards::Same::No(why) => return Ok(Some(Disturbed::Ends(stopped(&why)))),
            guards::Same::Unread(why) => return Ok(Some(Disturbed::Unread(why))),
        }
        for step in acted {
            match self.says_stop(plan, step).await? {
                Look::Gone { .. } => {}
                Look::There { seen: why } => return Ok(Some(Disturbed::Ends(Verdict::Refuted { why }))),
                Look::Unread { why } => return Ok(Some(Disturbed::Unread(why))),
            }
        }
        Ok(None)
    }

    /// `false` when it was stopped before it ended.
    pub(super) async fn verify(
        &self,
        plan: &Plan,
        place: &Place,
        who: &str,
        step: &str,
        stop: &Stop,
    ) -> Result<bool, EngineError> {
        let Some(StepPlan::Verify { checks, hold, within }) = plan.step(step).map(|s| &s.plan) else {
            return Ok(true);
        };
        let acted = self.acted_before(plan, step)?;
        let mut watch = Watch::new(self.elapsed(), *hold, *within);
        let mut surveyed = None;
        loop {
            // Not the clock on the wall: that may be set in the middle.
            let now = self.elapsed();
            let mut unread = None;
            if surveyed.is_none_or(|t| now.since(t) >= SURVEY_EVERY) {
                surveyed = Some(now);
                match self.disturbed(plan, &acted).await? {
                    None => {}
                    Some(Disturbed::Ends(verdict)) => return self.verified(who, place, step, verdict, 0),
                    Some(Disturbed::Unread(why)) => unread = Some(why),
                }
            }
            let mut look = Look::Gone { seen: String::new() };
            let mut seen = Vec::new();
            for check in checks {
                match self
                    .read_condition(plan, &check.step, &check.uses, &check.with, &check.until)
                    .await?
                {
                    Err(why) => look = Look::Unread { why },
                    Ok((true, values)) => seen.push(values),
                    Ok((false, values)) if !matches!(look, Look::Unread { .. }) => {
                        look = Look::There {
                            seen: format!("`{}` does not hold ({values})", check.until),
                        };
                    }
                    Ok((false, _)) => {}
                }
            }
            if let Look::Gone { seen: text } = &mut look {
                *text = seen.join(", ");
            }
            if let Some(why) = unread {
                look = Look::Unread { why };
            }
            if let Some((mut verdict, held)) = watch.see(self.elapsed(), look) {
                // The last word is about the servers of the last look.
                if matches!(verdict, Verdict::Proven { .. }) && surveyed != Some(now) {
                    match self.disturbed(plan, &acted).await? {
                        None => {}
                        Some(Disturbed::Ends(other)) => verdict = other,
                        Some(Disturbed::Unread(why)) => verdict = stopped(&why),
                    }
                }
                return self.verified(who, place, step, verdict, held.millis());
            }
            if stop.is_set() || self.cancelled(&plan.id)? {
                return Ok(!stop.is_set());
            }
            self.clock.wait(LOOK_EVERY).await;
        }
    }
}

/// The verdict of a proof that ended before its time.
fn stopped(why: &str) -> Verdict {
    Verdict::Unknown {
        why: format!("the proof was stopped: {why}"),
    }
}
