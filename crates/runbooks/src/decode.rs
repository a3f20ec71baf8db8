//! From a located tree to a checked [`Runbook`]: every problem at once, each with line and column.

use std::collections::BTreeMap;

use muster_model::{Risk, Signature, Span, Type, digest_of};
use serde_json::Value;

use crate::ir::{Param, Runbook, Step, StepBody, TargetKind};
use crate::params::{bounded, value_of};
use crate::problem::{Level, Problem};
use crate::tree::{At, Problems, Tree, parse};

mod steps;

/// The schema line of a file.
pub const SCHEMA: &str = "muster.runbook/1";

const KEYS: [&str; 16] = [
    "schema",
    "id",
    "title",
    "about",
    "source",
    "owner",
    "risk",
    "target",
    "answers",
    "settle",
    "schedule",
    "duration",
    "review_every",
    "requires",
    "params",
    "steps",
];

/// Checks a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(file: &str, text: &str, signatures: &[Signature]) -> Result<Runbook, Vec<Problem>> {
    let (runbook, problems) = read(file, text, signatures);
    let errors: Vec<Problem> = problems.into_iter().filter(|p| p.level == Level::Error).collect();
    match runbook {
        Some(runbook) if errors.is_empty() => Ok(runbook),
        _ => Err(errors),
    }
}

/// Errors and warnings of a file, in its order.
#[must_use]
pub fn lint(file: &str, text: &str, signatures: &[Signature]) -> Vec<Problem> {
    let mut problems = read(file, text, signatures).1;
    problems.sort_by_key(|p| (p.line, p.column));
    problems
}

fn read(file: &str, text: &str, signatures: &[Signature]) -> (Option<Runbook>, Vec<Problem>) {
    let tree = match parse(file, text) {
        Ok(tree) => tree,
        Err(problem) => return (None, vec![problem]),
    };
    let mut decoder = Decoder {
        problems: Problems::new(file),
        signatures,
        text,
    };
    let runbook = decoder.runbook(file, &tree);
    let mut problems = decoder.problems.found;
    if runbook.is_none() && problems.is_empty() {
        problems.push(Problem {
            rule: "missing-key",
            level: Level::Error,
            file: file.to_owned(),
            line: 1,
            column: 1,
            message: "the runbook is not complete".to_owned(),
            help: None,
        });
    }
    (runbook, problems)
}

pub(crate) struct Decoder<'a> {
    pub(crate) problems: Problems,
    pub(crate) signatures: &'a [Signature],
    pub(crate) text: &'a str,
}

impl Decoder<'_> {
    fn runbook(&mut self, file: &str, tree: &Tree) -> Option<Runbook> {
        self.problems.map(tree, "the runbook", &KEYS)?;
        let mut missing = false;
        for key in ["schema", "id", "title", "about", "owner", "risk", "steps"] {
            if tree.get(key).is_none() {
                self.problems
                    .error("missing-key", tree.at(), format!("`{key}` is missing"), None);
                missing = true;
            }
        }
        if let Some(schema) = tree.get("schema").and_then(Tree::text)
            && schema != SCHEMA
        {
            let at = tree.get("schema").map_or(tree.at(), Tree::at);
            let help = Some(format!("this version reads `{SCHEMA}`"));
            self.problems
                .error("schema", at, format!("unknown schema `{schema}`"), help);
        }
        let id = tree.get("id").and_then(|t| self.problems.text(t, "id"))?;
        let stem = file
            .rsplit('/')
            .next()
            .unwrap_or(file)
            .trim_end_matches(".yaml")
            .trim_end_matches(".yml");
        let id_at = tree.get("id").map_or(tree.at(), Tree::at);
        if stem != id && stem != "-" {
            let help = Some(format!("name the file {id}.yaml"));
            self.problems.error(
                "id",
                id_at,
                format!("the id is `{id}`, but the file is `{stem}`"),
                help,
            );
        }
        if !is_name(&id) {
            self.problems.error(
                "id",
                id_at,
                format!("`{id}` is not a name of small letters, digits and dashes"),
                None,
            );
        }
        let params = self.params(tree.get("params"));
        let risk = self.risk(tree.get("risk"));
        let target = self.target(tree.get("target"));
        let answers = self.kinds(tree.get("answers"));
        let steps = match tree.get("steps") {
            Some(list) => self.steps(list, &params)?,
            None => Vec::new(),
        };
        if missing {
            return None;
        }
        let mut runbook = Runbook {
            id,
            title: self.text_of(tree, "title"),
            about: self.text_of(tree, "about").trim().to_owned(),
            source: self.texts(tree.get("source"), "source"),
            owner: self.text_of(tree, "owner"),
            risk: risk?,
            target,
            answers,
            settle: self.span(tree.get("settle"), "settle").unwrap_or(Span::ZERO),
            schedule: tree
                .get("schedule")
                .and_then(|t| self.problems.text(t, "schedule")),
            duration: self.span(tree.get("duration"), "duration"),
            review_every: self.span(tree.get("review_every"), "review_every"),
            requires: self.texts(tree.get("requires"), "requires"),
            params,
            steps,
            digest: String::new(),
        };
        self.whole(&runbook, tree);
        runbook.digest = digest_of(&runbook);
        Some(runbook)
    }

    fn text_of(&mut self, tree: &Tree, key: &str) -> String {
        tree.get(key)
            .and_then(|t| self.problems.text(t, key))
            .unwrap_or_default()
    }

    pub(crate) fn span(&mut self, tree: Option<&Tree>, what: &str) -> Option<Span> {
        self.problems
            .parsed(tree?, what, "a duration such as 10s, 5m or 24h")
    }

    fn texts(&mut self, tree: Option<&Tree>, what: &str) -> Vec<String> {
        let Some(items) = tree.and_then(|t| self.problems.list(t, what)) else {
            return Vec::new();
        };
        let items = items.to_vec();
        items.iter().filter_map(|t| self.problems.text(t, what)).collect()
    }

    fn risk(&mut self, tree: Option<&Tree>) -> Option<Risk> {
        let tree = tree?;
        let text = self.problems.text(tree, "risk")?;
        match text.as_str() {
            "read" => Some(Risk::Read),
            "reversible" => Some(Risk::Reversible),
            "disruptive" => Some(Risk::Disruptive),
            "irreversible" => Some(Risk::Irreversible),
            other => {
                let help = Some("one of: read, reversible, disruptive, irreversible".to_owned());
                self.problems
                    .error("wrong-type", tree.at(), format!("unknown risk `{other}`"), help);
                None
            }
        }
    }

    fn target(&mut self, tree: Option<&Tree>) -> TargetKind {
        let Some(tree) = tree else {
            return TargetKind::Cluster;
        };
        match tree.text() {
            Some("cluster") => TargetKind::Cluster,
            Some("server") => TargetKind::Server,
            Some("pooler") => TargetKind::Pooler,
            _ => {
                let help = Some("one of: cluster, server, pooler".to_owned());
                self.problems
                    .error("wrong-type", tree.at(), "unknown target".to_owned(), help);
                TargetKind::Cluster
            }
        }
    }

    fn kinds(&mut self, tree: Option<&Tree>) -> Vec<String> {
        let Some(Tree::List { items, .. }) = tree else {
            if let Some(tree) = tree {
                self.problems.list(tree, "answers");
            }
            return Vec::new();
        };
        let mut kinds = Vec::new();
        for item in items {
            let Some(kind) = self.problems.text(item, "answers") else {
                continue;
            };
            match kind.split_once('.') {
                Some((a, b)) if is_name(a) && is_name(b) => kinds.push(kind),
                _ => self.problems.error(
                    "kind",
                    item.at(),
                    format!("`{kind}` is not a finding kind"),
                    Some("finding kinds look like pool.exhausted".to_owned()),
                ),
            }
        }
        kinds
    }

    fn params(&mut self, tree: Option<&Tree>) -> Vec<Param> {
        let Some(Tree::Map { entries, .. }) = tree else {
            if let Some(tree) = tree
                && !tree.is_null()
            {
                self.problems.map(tree, "params", &[]);
            }
            return Vec::new();
        };
        entries
            .iter()
            .filter_map(|(name, at, value)| self.param(name, *at, value))
            .collect()
    }

    fn param(&mut self, name: &str, at: At, tree: &Tree) -> Option<Param> {
        let what = format!("parameter `{name}`");
        self.problems
            .map(tree, &what, &["type", "default", "min", "max", "about"])?;
        let Some(type_tree) = tree.get("type") else {
            self.problems
                .error("missing-key", at, format!("{what} has no `type`"), None);
            return None;
        };
        let ty = match type_tree.text() {
            Some("bool") => Type::Bool,
            Some("int") => Type::Int,
            Some("float") => Type::Float,
            Some("text") => Type::Text,
            Some("duration") => Type::Duration,
            Some("bytes") => Type::Bytes,
            Some("time") => Type::Time,
            _ => {
                let help = Some("one of: bool, int, float, text, duration, time, bytes".to_owned());
                self.problems.error(
                    "wrong-type",
                    type_tree.at(),
                    format!("{what} has an unknown type"),
                    help,
                );
                return None;
            }
        };
        let mut param = Param {
            name: name.to_owned(),
            ty,
            default: None,
            min: None,
            max: None,
            about: String::new(),
        };
        param.min = self.literal(tree.get("min"), &param.ty, "min");
        param.max = self.literal(tree.get("max"), &param.ty, "max");
        param.about = tree
            .get("about")
            .and_then(|t| self.problems.text(t, "about"))
            .unwrap_or_default();
        if let Some(default) = tree.get("default") {
            let value = self.literal(Some(default), &param.ty, "default")?;
            match bounded(&param, value) {
                Ok(value) => param.default = Some(value),
                Err(e) => self.problems.error(
                    "bounds",
                    default.at(),
                    format!("the default of {what}: {e}"),
                    None,
                ),
            }
        }
        Some(param)
    }

    /// A literal of a type.
    pub(crate) fn literal(&mut self, tree: Option<&Tree>, ty: &Type, what: &str) -> Option<Value> {
        let tree = tree?;
        let wrong = |me: &mut Self, seen: &str| {
            let message = format!("`{what}` must be {}, not {seen}", ty.name());
            let help = (*ty == Type::Duration).then(|| "write a number and a unit, such as 10s".to_owned());
            me.problems.error("type-mismatch", tree.at(), message, help);
        };
        match (tree, ty) {
            (Tree::List { items, .. }, Type::List(of)) => {
                let values: Vec<Option<Value>> =
                    items.iter().map(|i| self.literal(Some(i), of, what)).collect();
                values
                    .into_iter()
                    .collect::<Option<Vec<Value>>>()
                    .map(Value::Array)
            }
            (Tree::Scalar { text, plain, .. }, ty) if !tree.is_null() => {
                if !*plain && matches!(ty, Type::Bool | Type::Int | Type::Float | Type::Bytes) {
                    wrong(self, &format!("the text '{text}'"));
                    return None;
                }
                if matches!(ty, Type::List(_) | Type::Record(_) | Type::Identity(_)) {
                    wrong(self, &format!("`{text}`"));
                    return None;
                }
                match value_of(text, ty) {
                    Ok(value) => Some(value),
                    Err(_) => {
                        wrong(self, &format!("`{text}`"));
                        None
                    }
                }
            }
            _ => {
                wrong(self, tree.noun());
                None
            }
        }
    }

    /// What only the whole file can show.
    fn whole(&mut self, runbook: &Runbook, tree: &Tree) {
        let at = |key: &str| tree.get(key).map_or(tree.at(), Tree::at);
        let mut riskiest = Risk::Read;
        for step in &runbook.steps {
            if let StepBody::Action { uses, .. } = &step.body
                && let Some(s) = self.signatures.iter().find(|s| s.name == *uses)
            {
                riskiest = riskiest.max(s.risk);
            }
        }
        if runbook.risk < riskiest {
            self.problems.error(
                "risk-too-low",
                at("risk"),
                format!(
                    "the risk is `{}`, but a step is `{}`",
                    runbook.risk.word(),
                    riskiest.word()
                ),
                Some(format!("write `risk: {}`", riskiest.word())),
            );
        }
        let verifies = runbook
            .steps
            .iter()
            .rposition(|s| matches!(s.body, StepBody::Verify { .. }));
        let acts = runbook
            .steps
            .iter()
            .rposition(|s| matches!(s.body, StepBody::Action { .. }));
        if let Some(acts) = acts
            && verifies.is_none_or(|v| v < acts)
        {
            self.problems.error(
                "no-verify",
                at("steps"),
                "the last action is not followed by a verify step".to_owned(),
                Some("prove symptom and cause gone, with `verify`".to_owned()),
            );
        }
        if runbook.read_only() {
            let recorded = runbook.steps.last().is_some_and(|s| match &s.body {
                StepBody::Record { values } => ["verdict", "summary"]
                    .iter()
                    .all(|k| values.iter().any(|(n, _)| n == k)),
                _ => false,
            });
            // A step that could not be read may have been the one.
            if !recorded && !self.problems.any_error() {
                self.problems.error(
                    "no-verdict",
                    at("steps"),
                    "a runbook that only reads must end in a `record` with `verdict` and `summary`"
                        .to_owned(),
                    None,
                );
            }
        }
        if runbook.about.len() < 40 {
            self.problems.warning(
                "about",
                at("about"),
                "`about` says too little for the person who reads it at night".to_owned(),
                Some("say what is wrong, what this does and what it never does".to_owned()),
            );
        }
        for param in &runbook.params {
            let used = self.text.matches(&format!("param: {}", param.name)).count();
            if used == 0 {
                self.problems.warning(
                    "unused-param",
                    at("params"),
                    format!("parameter `{}` is never used", param.name),
                    None,
                );
            }
        }
    }
}

/// Small letters, digits, dashes and underscores, beginning with a letter.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

pub(crate) type Earlier = BTreeMap<String, Step>;
