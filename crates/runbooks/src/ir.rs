//! A checked runbook: typed steps with everything resolved that can be resolved without looking at the world.

use std::collections::BTreeMap;

use muster_model::{Digest, Limits, OnFail, Record, Risk, Span, Type};
use serde::Serialize;
use serde_json::Value;

/// Which address a runbook is run against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A cluster.
    #[default]
    Cluster,
    /// One server.
    Server,
    /// One pooler.
    Pooler,
}

/// A parameter of a runbook.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Param {
    /// Name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// What holds when it is not given.
    pub default: Option<Value>,
    /// Least value.
    pub min: Option<Value>,
    /// Greatest value.
    pub max: Option<Value>,
    /// What it means.
    pub about: String,
}

/// An input of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arg {
    /// Written in the file.
    Literal(Value),
    /// A parameter of the runbook.
    Param(String),
    /// An output of an earlier step.
    Output {
        /// Step.
        step: String,
        /// Output.
        out: String,
    },
}

/// A condition under which a run stops.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AbortCheck {
    /// Earlier probe step that it repeats.
    pub step: String,
    /// Inputs that differ from it.
    pub with: Vec<(String, Arg)>,
    /// CEL; must not hold.
    pub when: String,
}

/// One condition of a verify step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifyCheck {
    /// Earlier probe step that it repeats.
    pub step: String,
    /// Inputs that differ from it.
    pub with: Vec<(String, Arg)>,
    /// CEL; must hold.
    pub until: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepBody {
    /// Reads.
    Probe {
        /// Versioned name.
        uses: String,
        /// Inputs.
        with: Vec<(String, Arg)>,
        /// CEL; false: nothing to do.
        continue_if: Option<String>,
        /// CEL; false: another runbook's business.
        expect: Option<String>,
        /// The output that names it rightly then.
        declined_as: Option<(String, String)>,
    },
    /// Changes.
    Action {
        /// Versioned name.
        uses: String,
        /// Inputs.
        with: Vec<(String, Arg)>,
        /// `(step, output)` that lists its targets.
        for_each: Option<(String, String)>,
        /// Bounds.
        limits: Limits,
        /// Any of them stops the run.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        abort_if: Vec<AbortCheck>,
    },
    /// Proves.
    Verify {
        /// All must hold.
        checks: Vec<VerifyCheck>,
        /// For how long.
        hold: Span,
        /// How long it may take.
        within: Span,
    },
    /// Waits for a person.
    Approve {
        /// The question.
        question: String,
    },
    /// Waits.
    Wait {
        /// How long.
        span: Span,
    },
    /// Does what another runbook says.
    Call {
        /// Its id.
        runbook: String,
        /// Its parameters.
        with: Vec<(String, Arg)>,
    },
    /// Writes values into the incident.
    Record {
        /// Values.
        values: Vec<(String, Arg)>,
    },
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Id.
    pub id: String,
    /// What it does.
    pub body: StepBody,
    /// What happens when it fails.
    pub on_fail: OnFail,
}

/// A checked runbook.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Runbook {
    /// Id; the file's stem.
    pub id: String,
    /// Title.
    pub title: String,
    /// Prose for people.
    pub about: String,
    /// Documents it came from.
    pub source: Vec<String>,
    /// Who looks after it.
    pub owner: String,
    /// Worst case.
    pub risk: Risk,
    /// Which address it is run against.
    pub target: TargetKind,
    /// Finding kinds that it answers.
    pub answers: Vec<String>,
    /// How long an incident is watched after it was proven.
    pub settle: Span,
    /// When it is due, as people write it.
    pub schedule: Option<String>,
    /// How long it takes.
    pub duration: Option<Span>,
    /// How often a person reviews it.
    pub review_every: Option<Span>,
    /// What must be there.
    pub requires: Vec<String>,
    /// Parameters.
    pub params: Vec<Param>,
    /// Steps.
    pub steps: Vec<Step>,
    /// Digest of everything above.
    pub digest: Digest,
}

impl Runbook {
    /// Whether it changes nothing.
    #[must_use]
    pub fn read_only(&self) -> bool {
        !self
            .steps
            .iter()
            .any(|s| matches!(s.body, StepBody::Action { .. } | StepBody::Call { .. }))
    }

    /// A step by its id.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|s| s.id == id)
    }
}

/// The value of an input, from parameters and the outputs read so far.
///
/// # Errors
/// A sentence, when it is not there.
pub fn resolve(arg: &Arg, params: &Record, outputs: &BTreeMap<String, Record>) -> Result<Value, String> {
    match arg {
        Arg::Literal(value) => Ok(value.clone()),
        Arg::Param(name) => params
            .get(name)
            .cloned()
            .ok_or_else(|| format!("parameter `{name}` has no value")),
        Arg::Output { step, out } => outputs
            .get(step)
            .and_then(|o| o.get(out))
            .cloned()
            .ok_or_else(|| format!("step `{step}` gave no `{out}`")),
    }
}

/// All inputs of a step.
///
/// # Errors
/// A sentence that names the first input without a value.
pub fn resolve_all(
    with: &[(String, Arg)],
    params: &Record,
    outputs: &BTreeMap<String, Record>,
) -> Result<Record, String> {
    with.iter()
        .map(|(name, arg)| {
            Ok((
                name.clone(),
                resolve(arg, params, outputs).map_err(|e| format!("`{name}`: {e}"))?,
            ))
        })
        .collect()
}
