//! Planning: runs the probes of a runbook, freezes the targets of its actions and seals the plan.
//!
//! Changes nothing. What cannot be read makes no plan; what is not this runbook's business makes a plan that says so.

use std::collections::BTreeMap;

use muster_model::{
    AbortIf, Blast, Check, FrozenTarget, OnFail, Plan, PlanFacts, PlanResult, PlannedStep, Record, Risk,
    RunbookRef, Scope, Span, StepPlan, TargetFacts, UndoPlan,
};
use muster_runbooks::ir::{self, Runbook, StepBody, VerifyCheck};
use muster_runbooks::{Arg, Library};

use crate::catalogue::CodeError;
use crate::condition;
use crate::executor::{Engine, EngineError, Survey};
use crate::guards::{self, Phase, Refusal, Starter};
use crate::journal::{Event, Place};
use crate::progress::came_to;

/// How long a plan is valid.
pub const VALID: Span = Span::from_mins(15);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Cluster.
    pub cluster: String,
    /// Address.
    pub target: String,
    /// Parameters, resolved.
    pub params: Record,
    /// Who asks.
    pub requested_by: String,
    /// Incident it answers.
    pub incident: Option<String>,
    /// How long the plan is valid.
    pub valid: Span,
    /// Whether it may reach farther than its runbook's limits, for people who will break the glass for it.
    pub over_limits: bool,
    /// For runbooks that call others.
    pub library: &'a Library,
    /// The answer that is on record already: the same again is not written down again.
    pub known: Option<PlanResult>,
}

/// A plan and what the guards said of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// A guard's refusal at plan time; such a plan never starts.
    pub refused: Option<Refusal>,
    /// Whether it was written down; `false` only for an answer that is on record already.
    pub journaled: bool,
    /// Whether it is the plan of a run that is under way: the same runbook on the same target, which is not begun twice.
    pub attached: bool,
}

impl Engine {
    /// Makes a plan and journals it.
    ///
    /// # Errors
    /// When something needed cannot be read.
    pub async fn plan(&self, runbook: &Runbook, request: Request<'_>) -> Result<Planned, EngineError> {
        let survey = self.surveyor().survey(&request.cluster, &request.target).await;
        let scope = Scope {
            cluster: request.cluster.clone(),
            target: request.target.clone(),
            identity: survey.identity.clone(),
        };
        let now = self.now();
        let rules = self.rules(&request.cluster);
        // What is being done already is not planned a second time.
        if let Some(plan) = self.in_progress(runbook, &scope)? {
            return Ok(Planned {
                plan,
                refused: None,
                journaled: false,
                attached: true,
            });
        }
        let mut draft = Draft {
            engine: self,
            scope: scope.clone(),
            outputs: BTreeMap::new(),
            steps: Vec::new(),
            facts: PlanFacts {
                enrolled: survey.enrolled,
                can_act: survey.can_act,
                missing_privileges: Vec::new(),
                targets: Vec::new(),
                major: survey.major,
                practice: survey.practice,
                primaries: survey.primaries.clone(),
                timeline: survey.timeline,
            },
            risk: Risk::Read,
            no_return: None,
            library: request.library,
            prefix: String::new(),
        };
        let ended = draft.walk(runbook, &request.params, 0).await?;
        draft.facts.can_act = can_act(&survey, &draft.facts.targets);
        let result = match ended {
            Some(result) => {
                // What was read stays as evidence; nothing would be done.
                draft.steps.retain(|s| matches!(s.plan, StepPlan::Probe { .. }));
                draft.facts.targets.clear();
                draft.no_return = None;
                draft.risk = Risk::Read;
                result
            }
            None => draft.result(runbook),
        };
        let mut plan = Plan {
            format: muster_model::FORMAT,
            id: new_id("r"),
            runbook: RunbookRef {
                id: runbook.id.clone(),
                title: runbook.title.clone(),
                digest: runbook.digest.clone(),
                editor: rules.runbooks.get(&runbook.id).and_then(|k| k.editor.clone()),
            },
            scope,
            requested_by: request.requested_by.clone(),
            incident: request.incident.clone(),
            created_at: now,
            expires_at: now.plus(request.valid),
            params: request.params.clone(),
            policy: Some(rules.policy.clone()),
            risk: draft.risk,
            over_limits: false,
            result,
            steps: draft.steps,
            outputs: draft.outputs,
            facts: draft.facts,
            point_of_no_return: draft.no_return,
            digest: String::new(),
        };
        // What stays within its limits needs no glass.
        plan.over_limits = request.over_limits && guards::within_limits(&plan).is_err();
        // A digest is of what was written: what comes back from the journal must fit it.
        plan = serde_json::from_value(serde_json::to_value(&plan).unwrap_or_default())
            .unwrap_or(plan)
            .sealed();
        if request
            .known
            .as_ref()
            .is_some_and(|k| k.same_answer(&plan.result))
        {
            return Ok(Planned {
                plan,
                refused: None,
                journaled: false,
                attached: false,
            });
        }
        let place = Place::run(&plan.id, plan.incident.as_deref());
        self.append(
            &request.requested_by,
            &place,
            Event::Planned { plan: plan.clone() },
        )?;
        let refused = if matches!(plan.result, PlanResult::Changes) {
            let by = Starter::Person(plan.requested_by.clone());
            self.judge(&plan, Phase::Plan, by).await?.err()
        } else {
            None
        };
        if let Some(r) = &refused {
            let event = Event::Refused {
                guard: r.guard.to_owned(),
                why: r.why.clone(),
                remedy: r.remedy.clone(),
            };
            self.append(crate::journal::DAEMON, &place, event)?;
            self.finish_plan(&place, muster_model::RunOutcome::Refused, &r.why)?;
        } else if let Some((outcome, why)) = came_to(&plan) {
            self.finish_plan(&place, outcome, why)?;
        }
        Ok(Planned {
            plan,
            refused,
            journaled: true,
            attached: false,
        })
    }

    /// The plan of a run of this runbook that is under way on this target.
    fn in_progress(&self, runbook: &Runbook, scope: &Scope) -> Result<Option<Plan>, EngineError> {
        let open = self.open_runs()?.into_iter();
        let same = |p: &Plan| {
            p.runbook.id == runbook.id
                && p.scope.target == scope.target
                && p.scope.identity == scope.identity
                && p.target_count() > 0
        };
        Ok(open
            .filter(|(plan, run)| run.state.under_way() && same(plan))
            .map(|(plan, _)| plan)
            .next())
    }

    fn finish_plan(
        &self,
        place: &Place,
        outcome: muster_model::RunOutcome,
        detail: &str,
    ) -> Result<(), EngineError> {
        let event = Event::Ended {
            outcome,
            detail: detail.to_owned(),
        };
        self.append(crate::journal::DAEMON, place, event).map(|_| ())
    }
}

/// A short random id with a prefix.
#[must_use]
pub fn new_id(prefix: &str) -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let text: String = (0..8)
        .map(|_| char::from(LETTERS[usize::from(rand::random::<u8>()) % LETTERS.len()]))
        .collect();
    format!("{prefix}-{text}")
}

/// Whether there is a login to act with where the targets are; without any, at what the plan is for.
fn can_act(survey: &Survey, targets: &[TargetFacts]) -> bool {
    if targets.is_empty() {
        return survey.can_act;
    }
    // A target's fingerprint begins with the address at which it is.
    let at = |t: &TargetFacts, address: &str| {
        t.fingerprint
            .strip_prefix(address)
            .is_some_and(|rest| rest.starts_with('#'))
    };
    !targets
        .iter()
        .any(|t| survey.unarmed.iter().any(|address| at(t, address)))
}

struct Draft<'a> {
    engine: &'a Engine,
    scope: Scope,
    outputs: BTreeMap<String, Record>,
    steps: Vec<PlannedStep>,
    facts: PlanFacts,
    risk: Risk,
    no_return: Option<String>,
    library: &'a Library,
    /// Ids of the `call` steps that lead here: steps of a called runbook have names of their own.
    prefix: String,
}

fn unusable(name: &str, reason: String) -> EngineError {
    EngineError::Code(CodeError::Input {
        name: name.to_owned(),
        reason,
    })
}

impl Draft<'_> {
    /// Walks the steps; `Some` when it ended before the actions.
    async fn walk(
        &mut self,
        runbook: &Runbook,
        params: &Record,
        depth: u8,
    ) -> Result<Option<PlanResult>, EngineError> {
        for step in &runbook.steps {
            let ended = match &step.body {
                StepBody::Probe { .. } => self.probe(step, params).await?,
                StepBody::Action { .. } => {
                    self.action(step, runbook, params).await?;
                    None
                }
                StepBody::Verify { checks, hold, within } => {
                    let checks = checks
                        .iter()
                        .map(|c| self.check(c, runbook, params))
                        .collect::<Result<_, _>>()?;
                    self.push(
                        step,
                        StepPlan::Verify {
                            checks,
                            hold: *hold,
                            within: *within,
                        },
                    );
                    None
                }
                StepBody::Approve { question } => {
                    self.push(
                        step,
                        StepPlan::Approve {
                            question: question.clone(),
                        },
                    );
                    None
                }
                StepBody::Wait { span } => {
                    self.push(step, StepPlan::Wait { span: *span });
                    None
                }
                StepBody::Record { values } => {
                    let values =
                        ir::resolve_all(values, params, &self.outputs).map_err(|e| unusable(&step.id, e))?;
                    self.push(step, StepPlan::Record { values });
                    None
                }
                StepBody::Call { runbook: id, with } => {
                    let called = self
                        .library
                        .get(id)
                        .ok_or_else(|| unusable(&step.id, format!("no runbook `{id}`")))?;
                    if depth > 4 {
                        return Err(unusable(
                            &step.id,
                            "runbooks call each other too deeply".to_owned(),
                        ));
                    }
                    let mut inner = muster_runbooks::params(called, &BTreeMap::new()).unwrap_or_default();
                    inner.extend(
                        ir::resolve_all(with, params, &self.outputs).map_err(|e| unusable(&step.id, e))?,
                    );
                    // The called runbook sees its own outputs only, and its steps never meet ours by name.
                    let outer = (std::mem::take(&mut self.outputs), self.prefix.clone());
                    self.prefix = format!("{}{}/", self.prefix, step.id);
                    let ended = Box::pin(self.walk(called, &inner, depth + 1)).await;
                    let prefix = std::mem::replace(&mut self.prefix, outer.1);
                    let theirs = std::mem::replace(&mut self.outputs, outer.0);
                    self.outputs
                        .extend(theirs.into_iter().map(|(k, v)| (format!("{prefix}{k}"), v)));
                    ended?
                }
            };
            if ended.is_some() {
                return Ok(ended);
            }
        }
        Ok(None)
    }

    fn push(&mut self, step: &ir::Step, plan: StepPlan) {
        let on_fail = match &step.on_fail {
            OnFail::Goto(to) => OnFail::Goto(self.named(to)),
            other => other.clone(),
        };
        self.steps.push(PlannedStep {
            id: self.named(&step.id),
            plan,
            on_fail,
        });
    }

    fn named(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    async fn probe(&mut self, step: &ir::Step, params: &Record) -> Result<Option<PlanResult>, EngineError> {
        let StepBody::Probe {
            uses,
            with,
            continue_if,
            expect,
            declined_as,
        } = &step.body
        else {
            return Ok(None);
        };
        let probe = self.engine.catalogue().find_probe(uses)?;
        let with = ir::resolve_all(with, params, &self.outputs).map_err(|e| unusable(&step.id, e))?;
        let outputs = probe.read(&self.scope, &with).await?;
        let holds = |c: &Option<String>| match c {
            None => Ok(true),
            Some(c) => condition::holds(c, &outputs, probe.signature()).map_err(|e| unusable(&step.id, e)),
        };
        let (go_on, expected) = (holds(continue_if)?, holds(expect)?);
        let said = |c: &Option<String>| {
            c.as_ref().map_or(String::new(), |c| {
                format!("`{c}` does not hold ({})", condition::values(c, &outputs))
            })
        };
        let ended = if !go_on {
            Some(PlanResult::Nothing {
                why: said(continue_if),
            })
        } else if !expected {
            let summary = outputs
                .get("summary")
                .and_then(|v| v.as_str())
                .filter(|s| !s.is_empty());
            let why = summary.map_or_else(|| said(expect), |s| format!("{}: {s}", said(expect)));
            let named = declined_as.as_ref().and_then(|(from, out)| {
                let record = if *from == step.id {
                    Some(&outputs)
                } else {
                    self.outputs.get(from)
                };
                record
                    .and_then(|r| r.get(out))
                    .and_then(|v| v.as_str())
                    .map(str::to_owned)
            });
            Some(PlanResult::Declined {
                step: step.id.clone(),
                why,
                named,
            })
        } else {
            None
        };
        self.outputs.insert(step.id.clone(), outputs);
        self.push(
            step,
            StepPlan::Probe {
                uses: uses.clone(),
                with,
                continue_if: continue_if.clone(),
                expect: expect.clone(),
            },
        );
        Ok(ended)
    }

    async fn action(
        &mut self,
        step: &ir::Step,
        runbook: &Runbook,
        params: &Record,
    ) -> Result<(), EngineError> {
        let StepBody::Action {
            uses,
            with,
            for_each,
            limits,
            abort_if,
        } = &step.body
        else {
            return Ok(());
        };
        let aborts = abort_if.iter().map(|c| {
            let (uses, with) = self.repeated(&c.step, &c.with, runbook, params)?;
            Ok::<_, EngineError>(AbortIf {
                step: self.named(&c.step),
                uses,
                with,
                when: c.when.clone(),
            })
        });
        let abort_if: Vec<AbortIf> = aborts.collect::<Result<_, _>>()?;
        let action = self.engine.catalogue().find_action(uses)?;
        let with = ir::resolve_all(with, params, &self.outputs).map_err(|e| unusable(&step.id, e))?;
        let targets = self.targets(step, for_each.as_ref())?;
        if for_each.is_some() && targets.is_empty() {
            let blast = Blast {
                summary: "nothing to do".to_owned(),
                ..Blast::default()
            };
            let undo = UndoPlan::None {
                why: "nothing is done".to_owned(),
            };
            let risk = Risk::Read;
            let plan = StepPlan::Action {
                uses: uses.clone(),
                with,
                targets,
                limits: limits.clone(),
                risk,
                blast,
                undo,
                abort_if,
            };
            self.push(step, plan);
            return Ok(());
        }
        let planned = action
            .plan(&self.scope, &self.named(&step.id), &with, &targets)
            .await?;
        let risk = action.signature().risk;
        self.risk = self.risk.max(risk);
        if self.no_return.is_none() && matches!(planned.undo, UndoPlan::None { .. }) {
            self.no_return = Some(self.named(&step.id));
        }
        self.facts.targets.extend(planned.facts);
        for privilege in planned.missing_privileges {
            if !self.facts.missing_privileges.contains(&privilege) {
                self.facts.missing_privileges.push(privilege);
            }
        }
        self.push(
            step,
            StepPlan::Action {
                uses: uses.clone(),
                with,
                targets: planned.targets,
                limits: limits.clone(),
                risk,
                blast: planned.blast,
                undo: planned.undo,
                abort_if,
            },
        );
        Ok(())
    }

    fn targets(
        &self,
        step: &ir::Step,
        from: Option<&(String, String)>,
    ) -> Result<Vec<FrozenTarget>, EngineError> {
        let Some((from, out)) = from else {
            return Ok(Vec::new());
        };
        let arg = Arg::Output {
            step: from.clone(),
            out: out.clone(),
        };
        let value = ir::resolve(&arg, &Record::new(), &self.outputs).map_err(|e| unusable(&step.id, e))?;
        let items = value
            .as_array()
            .ok_or_else(|| unusable(&step.id, format!("`{from}.{out}` is not a list")))?;
        items
            .iter()
            .map(|v| FrozenTarget::from_value(v).map_err(|e| unusable(&step.id, e)))
            .collect()
    }

    fn check(&self, check: &VerifyCheck, runbook: &Runbook, params: &Record) -> Result<Check, EngineError> {
        let (uses, with) = self.repeated(&check.step, &check.with, runbook, params)?;
        Ok(Check {
            step: self.named(&check.step),
            uses,
            with,
            until: check.until.clone(),
        })
    }

    /// The code and the inputs of an earlier probe step that is repeated, with what differs.
    fn repeated(
        &self,
        step: &str,
        differs: &[(String, Arg)],
        runbook: &Runbook,
        params: &Record,
    ) -> Result<(String, Record), EngineError> {
        let Some(StepBody::Probe { uses, with, .. }) = runbook.step(step).map(|s| &s.body) else {
            return Err(unusable(step, "not a probe step".to_owned()));
        };
        let resolved = |with: &[(String, Arg)]| {
            ir::resolve_all(with, params, &self.outputs).map_err(|e| unusable(step, e))
        };
        let mut all = resolved(with)?;
        all.extend(resolved(differs)?);
        Ok((uses.clone(), all))
    }

    fn result(&self, runbook: &Runbook) -> PlanResult {
        let acts = self
            .steps
            .iter()
            .any(|s| matches!(&s.plan, StepPlan::Action { targets, .. } if !targets.is_empty()));
        if acts {
            return PlanResult::Changes;
        }
        let recorded = self.steps.iter().rev().find_map(|s| match &s.plan {
            StepPlan::Record { values } => Some(values),
            _ => None,
        });
        let text = |key: &str| {
            recorded
                .and_then(|r| r.get(key))
                .and_then(|v| v.as_str())
                .map(str::to_owned)
        };
        match (runbook.read_only(), text("verdict"), text("summary")) {
            (true, Some(verdict), summary) => PlanResult::Report {
                verdict,
                summary: summary.unwrap_or_default(),
            },
            _ => PlanResult::Nothing {
                why: "no target is left".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_must_be_where_the_targets_are() {
        let survey = Survey {
            can_act: true,
            unarmed: vec!["shop/b".to_owned()],
            ..Survey::default()
        };
        let at = |address: &str| {
            let mut facts = guards::fixture::plan(1).facts.targets;
            facts[0].fingerprint = format!("{address}#4711@1/2");
            facts
        };
        assert!(can_act(&survey, &at("shop/a")));
        assert!(!can_act(&survey, &at("shop/b")));
        assert!(
            can_act(&survey, &at("shop/bb")),
            "another server, whose name begins so"
        );
        assert!(
            can_act(&survey, &[]),
            "nothing is to be changed: the scope decides"
        );
    }
}
