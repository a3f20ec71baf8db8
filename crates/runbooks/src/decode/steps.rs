//! The steps of a runbook: kinds, inputs, references, conditions, limits.

use muster_model::{Field, Kind, Limits, OnFail, Signature, Span, Type};

use super::{Decoder, Earlier, is_name};
use crate::cel;
use crate::ir::{AbortCheck, Arg, Param, Step, StepBody, VerifyCheck};
use crate::problem::did_you_mean;
use crate::tree::{At, Tree};

const KINDS: [&str; 7] = ["probe", "action", "verify", "approve", "wait", "call", "record"];

/// Holds when a verify step says nothing; the engine lengthens it by what it observes.
const HOLD: Span = Span::from_secs(10);
const WITHIN: Span = Span::from_mins(2);

/// A probe step that is repeated, the inputs that differ, and a condition.
type Repeated = (String, Vec<(String, Arg)>, String);

impl Decoder<'_> {
    pub(super) fn steps(&mut self, tree: &Tree, params: &[Param]) -> Option<Vec<Step>> {
        let items = self.problems.list(tree, "steps")?.to_vec();
        if items.is_empty() {
            self.problems.error(
                "missing-key",
                tree.at(),
                "a runbook needs at least one step",
                None,
            );
        }
        let mut earlier = Earlier::new();
        let mut steps = Vec::new();
        let mut gotos: Vec<(String, At, usize)> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let Some(step) = self.step(item, params, &earlier, &steps) else {
                continue;
            };
            if earlier.contains_key(&step.id) {
                let at = item.get("id").map_or(item.at(), Tree::at);
                self.problems
                    .error("step-id", at, format!("step `{}` is there twice", step.id), None);
            }
            if let OnFail::Goto(to) = &step.on_fail {
                gotos.push((to.clone(), item.get("on_fail").map_or(item.at(), Tree::at), index));
            }
            earlier.insert(step.id.clone(), step.clone());
            steps.push(step);
        }
        for (to, at, from) in gotos {
            if !steps.iter().skip(from + 1).any(|s| s.id == to) {
                self.problems.error(
                    "goto",
                    at,
                    format!("`goto` must name a later step; `{to}` is none"),
                    None,
                );
            }
        }
        Some(steps)
    }

    fn step(&mut self, tree: &Tree, params: &[Param], earlier: &Earlier, order: &[Step]) -> Option<Step> {
        let Tree::Map { entries, .. } = tree else {
            self.problems.map(tree, "a step", &[]);
            return None;
        };
        let kinds: Vec<&str> = entries
            .iter()
            .map(|(k, ..)| k.as_str())
            .filter(|k| KINDS.contains(k))
            .collect();
        let [kind] = kinds[..] else {
            let message = if kinds.is_empty() {
                "a step must say what it does".to_owned()
            } else {
                format!("a step does one thing, not {}", kinds.join(" and "))
            };
            let hint = entries.iter().find_map(|(k, ..)| did_you_mean(k, KINDS));
            let help = hint.unwrap_or_else(|| format!("one of: {}", KINDS.join(", ")));
            self.problems.error("step-kind", tree.at(), message, Some(help));
            return None;
        };
        let known: &[&str] = match kind {
            "probe" => &[
                "id",
                "probe",
                "with",
                "continue_if",
                "expect",
                "declined_as",
                "on_fail",
            ],
            "action" => &[
                "id", "action", "with", "for_each", "limits", "abort_if", "on_fail",
            ],
            "call" => &["id", "call", "with", "on_fail"],
            _ => &["id", kind, "on_fail"],
        };
        self.problems.map(tree, "the step", known)?;
        let Some(id) = tree.get("id").and_then(|t| self.problems.text(t, "id")) else {
            self.problems
                .error("missing-key", tree.at(), "a step needs an `id`", None);
            return None;
        };
        if !is_name(&id) {
            let at = tree.get("id").map_or(tree.at(), Tree::at);
            self.problems.error(
                "step-id",
                at,
                format!("`{id}` is not a name of small letters, digits and dashes"),
                None,
            );
        }
        let on_fail = self.on_fail(tree.get("on_fail"))?;
        let value = tree.get(kind)?;
        let scope = Scope { params, earlier };
        let body = match kind {
            "probe" => self.probe(tree, value, &scope)?,
            "action" => self.action(tree, value, &scope)?,
            "verify" => self.verify(value, &scope)?,
            "approve" => StepBody::Approve {
                question: self.problems.text(value, "approve")?,
            },
            "wait" => StepBody::Wait {
                span: self.span(Some(value), "wait")?,
            },
            "call" => {
                let runbook = self.problems.text(value, "call")?;
                StepBody::Call {
                    runbook,
                    with: self.untyped(tree.get("with"), &scope),
                }
            }
            _ => StepBody::Record {
                values: self.untyped(Some(value), &scope),
            },
        };
        let undoable = order.iter().any(|s| self.undoable(&s.body)) || self.undoable(&body);
        if on_fail == OnFail::Undo && !undoable {
            let at = tree.get("on_fail").map_or(tree.at(), Tree::at);
            self.problems.error(
                "undo",
                at,
                "nothing before this step can be undone",
                Some("write `on_fail: escalate`".to_owned()),
            );
        }
        Some(Step { id, body, on_fail })
    }

    fn undoable(&self, body: &StepBody) -> bool {
        let StepBody::Action { uses, .. } = body else {
            return false;
        };
        self.signatures
            .iter()
            .find(|s| s.name == *uses)
            .and_then(|s| s.undo.as_deref())
            .is_some_and(|u| !u.starts_with("none"))
    }

    fn on_fail(&mut self, tree: Option<&Tree>) -> Option<OnFail> {
        let Some(tree) = tree else {
            return Some(OnFail::Escalate);
        };
        match tree {
            Tree::Scalar { text, .. } if text == "undo" => Some(OnFail::Undo),
            Tree::Scalar { text, .. } if text == "escalate" => Some(OnFail::Escalate),
            Tree::Map { entries, .. } if entries.len() == 1 && entries[0].0 == "goto" => {
                self.problems.text(&entries[0].2, "goto").map(OnFail::Goto)
            }
            _ => {
                let help = Some("one of: undo, escalate, {goto: step}".to_owned());
                self.problems
                    .error("wrong-type", tree.at(), "unknown `on_fail`", help);
                None
            }
        }
    }

    fn signature(&mut self, tree: &Tree, kind: Kind) -> Option<Signature> {
        let name = self.problems.text(tree, "a step's code")?;
        let all: Vec<&Signature> = self.signatures.iter().filter(|s| s.kind == kind).collect();
        if let Some(found) = all.iter().find(|s| s.name == name) {
            return Some((*found).clone());
        }
        let word = if kind == Kind::Probe { "probe" } else { "action" };
        let other = self.signatures.iter().any(|s| s.name == name);
        let help = if other {
            format!("`{name}` is not a {word}")
        } else {
            did_you_mean(&name, all.iter().map(|s| s.name.as_str())).unwrap_or_else(|| {
                format!(
                    "there are: {}",
                    all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
                )
            })
        };
        self.problems.error(
            "unknown-code",
            tree.at(),
            format!("there is no {word} `{name}`"),
            Some(help),
        );
        None
    }

    fn probe(&mut self, tree: &Tree, value: &Tree, scope: &Scope<'_>) -> Option<StepBody> {
        let signature = self.signature(value, Kind::Probe)?;
        let with = self.with(tree.get("with"), &signature, scope, tree.at(), true);
        let continue_if = self.condition(tree.get("continue_if"), &signature);
        let expect = self.condition(tree.get("expect"), &signature);
        let declined_as = match tree.get("declined_as") {
            None => None,
            Some(t) => {
                let own = Step {
                    id: tree.get("id").and_then(Tree::text).unwrap_or_default().to_owned(),
                    body: StepBody::Probe {
                        uses: signature.name.clone(),
                        with: Vec::new(),
                        continue_if: None,
                        expect: None,
                        declined_as: None,
                    },
                    on_fail: OnFail::Escalate,
                };
                let mut earlier = scope.earlier.clone();
                earlier.insert(own.id.clone(), own);
                let reference = self.reference(
                    t,
                    &Scope {
                        params: scope.params,
                        earlier: &earlier,
                    },
                )?;
                if reference.1 != Type::Text {
                    self.problems.error(
                        "type-mismatch",
                        t.at(),
                        "`declined_as` must be a text output",
                        None,
                    );
                }
                match reference.0 {
                    Arg::Output { step, out } => Some((step, out)),
                    _ => None,
                }
            }
        };
        Some(StepBody::Probe {
            uses: signature.name,
            with,
            continue_if,
            expect,
            declined_as,
        })
    }

    fn action(&mut self, tree: &Tree, value: &Tree, scope: &Scope<'_>) -> Option<StepBody> {
        let signature = self.signature(value, Kind::Action)?;
        let with = self.with(tree.get("with"), &signature, scope, tree.at(), true);
        let mut for_each = None;
        match (tree.get("for_each"), &signature.target) {
            (Some(t), Some(target)) => {
                let (arg, ty) = self.reference(t, scope)?;
                if ty != Type::identities(target) {
                    let message = format!("`for_each` must be a list of {target}, not {}", ty.name());
                    self.problems.error("type-mismatch", t.at(), message, None);
                }
                if let Arg::Output { step, out } = arg {
                    for_each = Some((step, out));
                }
            }
            (None, Some(target)) => {
                let help = Some("write `for_each: {step: …, out: …}`".to_owned());
                self.problems.error(
                    "missing-key",
                    tree.at(),
                    format!("`{}` works on a {target} each", signature.name),
                    help,
                );
            }
            (Some(t), None) => {
                self.problems.error(
                    "for-each",
                    t.at(),
                    format!("`{}` has no targets", signature.name),
                    None,
                );
            }
            (None, None) => {}
        }
        let limits = self.limits(tree, signature.target.is_some())?;
        let aborts = match tree.get("abort_if") {
            Some(list) => self.problems.list(list, "abort_if")?.to_vec(),
            None => Vec::new(),
        };
        let abort_if = aborts.iter().filter_map(|t| {
            let (step, with, when) = self.repeated(t, scope, "when")?;
            Some(AbortCheck { step, with, when })
        });
        let abort_if = abort_if.collect();
        Some(StepBody::Action {
            uses: signature.name,
            with,
            for_each,
            limits,
            abort_if,
        })
    }

    fn limits(&mut self, tree: &Tree, needed: bool) -> Option<Limits> {
        let Some(t) = tree.get("limits") else {
            if needed {
                let help = Some(
                    "write `limits: {max_targets: 20, max_percent: 50, canary: 1, max_errors: 0}`".to_owned(),
                );
                self.problems.error(
                    "missing-key",
                    tree.at(),
                    "an action on targets needs `limits`",
                    help,
                );
                return None;
            }
            return Some(Limits {
                max_targets: 1,
                max_percent: 100.0,
                canary: 0,
                max_errors: 0,
            });
        };
        self.problems.map(
            t,
            "limits",
            &["max_targets", "max_percent", "canary", "max_errors"],
        )?;
        let mut limits = Limits::default();
        if let Some(v) = t.get("max_targets") {
            limits.max_targets = self.problems.parsed(v, "max_targets", "a whole number")?;
            if limits.max_targets == 0 {
                self.problems
                    .error("limits", v.at(), "`max_targets` must be at least 1", None);
            }
        }
        if let Some(v) = t.get("max_percent") {
            limits.max_percent = self.problems.parsed(v, "max_percent", "a number")?;
            if !(limits.max_percent > 0.0 && limits.max_percent <= 100.0) {
                self.problems.error(
                    "limits",
                    v.at(),
                    "`max_percent` must be above 0 and at most 100",
                    None,
                );
            }
        }
        if let Some(v) = t.get("canary") {
            limits.canary = self.problems.parsed(v, "canary", "a whole number")?;
        }
        if let Some(v) = t.get("max_errors") {
            limits.max_errors = self.problems.parsed(v, "max_errors", "a whole number")?;
        }
        Some(limits)
    }

    fn verify(&mut self, tree: &Tree, scope: &Scope<'_>) -> Option<StepBody> {
        self.problems.map(tree, "verify", &["all", "hold", "within"])?;
        let Some(all) = tree.get("all") else {
            self.problems.error(
                "missing-key",
                tree.at(),
                "`verify` needs `all`: the conditions that must hold",
                None,
            );
            return None;
        };
        let items = self.problems.list(all, "all")?.to_vec();
        let checks = items.iter().filter_map(|t| {
            let (step, with, until) = self.repeated(t, scope, "until")?;
            Some(VerifyCheck { step, with, until })
        });
        let checks: Vec<VerifyCheck> = checks.collect();
        if items.is_empty() {
            self.problems.error(
                "missing-key",
                all.at(),
                "`verify` without a condition proves nothing",
                None,
            );
        }
        let hold = self.span(tree.get("hold"), "hold").unwrap_or(HOLD);
        let within = self.span(tree.get("within"), "within").unwrap_or(WITHIN);
        if hold >= within {
            let message = format!("it cannot hold for {hold} within {within}");
            self.problems.error(
                "verify",
                tree.at(),
                message,
                Some("make `within` longer than `hold`".to_owned()),
            );
        }
        Some(StepBody::Verify { checks, hold, within })
    }

    /// An earlier probe step that is repeated, with what differs, and a condition over what it says.
    fn repeated(&mut self, tree: &Tree, scope: &Scope<'_>, condition: &str) -> Option<Repeated> {
        self.problems
            .map(tree, "a condition", &["probe", "with", condition])?;
        let (Some(probe), Some(text)) = (tree.get("probe"), tree.get(condition)) else {
            let message = format!("a condition needs `probe` and `{condition}`");
            self.problems.error("missing-key", tree.at(), message, None);
            return None;
        };
        let step = self.problems.text(probe, "probe")?;
        let Some(StepBody::Probe { uses, .. }) = scope.earlier.get(&step).map(|s| &s.body) else {
            let probes = scope
                .earlier
                .values()
                .filter(|s| matches!(s.body, StepBody::Probe { .. }));
            let help = did_you_mean(&step, probes.map(|s| s.id.as_str()));
            self.problems.error(
                "unknown-step",
                probe.at(),
                format!("`{step}` is not an earlier probe step"),
                help,
            );
            return None;
        };
        let signature = self.signatures.iter().find(|s| s.name == *uses)?.clone();
        let with = self.with(tree.get("with"), &signature, scope, tree.at(), false);
        let text = self.condition(Some(text), &signature)?;
        Some((step, with, text))
    }

    fn condition(&mut self, tree: Option<&Tree>, signature: &Signature) -> Option<String> {
        let tree = tree?;
        let text = self.problems.text(tree, "a condition")?;
        if let Err(fault) = cel::lint(&text, signature) {
            let quoted = matches!(tree, Tree::Scalar { plain: false, .. });
            let at = At {
                line: tree.at().line,
                column: tree.at().column + fault.offset + usize::from(quoted),
            };
            self.problems.error(fault.rule, at, fault.message, fault.help);
        }
        Some(text)
    }

    fn with(
        &mut self,
        tree: Option<&Tree>,
        signature: &Signature,
        scope: &Scope<'_>,
        step_at: At,
        complete: bool,
    ) -> Vec<(String, Arg)> {
        let mut out: Vec<(String, Arg)> = Vec::new();
        let mut named = Vec::new();
        if let Some(tree) = tree {
            let known: Vec<&str> = signature.params.iter().map(|p| p.name.as_str()).collect();
            let Some(entries) =
                self.problems
                    .map(tree, &format!("the inputs of `{}`", signature.name), &known)
            else {
                return out;
            };
            for (name, _, value) in entries {
                named.push(name.clone());
                if let Some(field) = signature.param(name).cloned()
                    && let Some(arg) = self.arg(value, &field, scope)
                {
                    out.push((name.clone(), arg));
                }
            }
        }
        for field in signature
            .params
            .iter()
            .filter(|f| complete && !named.contains(&f.name))
        {
            match &field.default {
                Some(value) => out.push((field.name.clone(), Arg::Literal(value.clone()))),
                None if field.optional => {}
                None => {
                    let message = format!("`{}` needs the input `{}`", signature.name, field.name);
                    self.problems.error(
                        "missing-input",
                        step_at,
                        message,
                        Some(format!("{}: {}", field.ty.name(), field.about)),
                    );
                }
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    fn arg(&mut self, tree: &Tree, field: &Field, scope: &Scope<'_>) -> Option<Arg> {
        if !matches!(tree, Tree::Map { .. }) {
            return self.literal(Some(tree), &field.ty, &field.name).map(Arg::Literal);
        }
        let (arg, ty) = self.reference(tree, scope)?;
        let fits = ty == field.ty || (ty == Type::Int && field.ty == Type::Float);
        if !fits {
            let message = format!("`{}` must be {}, not {}", field.name, field.ty.name(), ty.name());
            self.problems.error("type-mismatch", tree.at(), message, None);
            return None;
        }
        Some(arg)
    }

    fn untyped(&mut self, tree: Option<&Tree>, scope: &Scope<'_>) -> Vec<(String, Arg)> {
        let Some(Tree::Map { entries, .. }) = tree else {
            if let Some(tree) = tree {
                self.problems.map(tree, "the values", &[]);
            }
            return Vec::new();
        };
        entries
            .iter()
            .filter_map(|(name, _, value)| {
                let arg = match value {
                    Tree::Map { .. } => self.reference(value, scope)?.0,
                    other => Arg::Literal(other.json()),
                };
                Some((name.clone(), arg))
            })
            .collect()
    }

    fn reference(&mut self, tree: &Tree, scope: &Scope<'_>) -> Option<(Arg, Type)> {
        self.problems
            .map(tree, "a reference", &["param", "step", "out"])?;
        match (tree.get("param"), tree.get("step"), tree.get("out")) {
            (Some(param), None, None) => {
                let name = self.problems.text(param, "param")?;
                let found = scope.params.iter().find(|p| p.name == name);
                if found.is_none() {
                    let help = did_you_mean(&name, scope.params.iter().map(|p| p.name.as_str()));
                    self.problems.error(
                        "unknown-param",
                        param.at(),
                        format!("there is no parameter `{name}`"),
                        help,
                    );
                }
                found.map(|p| (Arg::Param(name), p.ty.clone()))
            }
            (None, Some(step), Some(out)) => {
                let (step_name, out_name) =
                    (self.problems.text(step, "step")?, self.problems.text(out, "out")?);
                let Some(StepBody::Probe { uses, .. }) = scope.earlier.get(&step_name).map(|s| &s.body)
                else {
                    let help = did_you_mean(&step_name, scope.earlier.keys().map(String::as_str));
                    self.problems.error(
                        "unknown-step",
                        step.at(),
                        format!("`{step_name}` is not an earlier probe step"),
                        help,
                    );
                    return None;
                };
                let signature = self.signatures.iter().find(|s| s.name == *uses)?;
                if let Some(field) = signature.output(&out_name) {
                    return Some((
                        Arg::Output {
                            step: step_name,
                            out: out_name,
                        },
                        field.ty.clone(),
                    ));
                }
                let names: Vec<&str> = signature.outputs.iter().map(|f| f.name.as_str()).collect();
                let help = did_you_mean(&out_name, names.iter().copied())
                    .unwrap_or_else(|| format!("its outputs are: {}", names.join(", ")));
                let message = format!("`{}` has no output `{out_name}`", signature.name);
                self.problems
                    .error("unknown-output", out.at(), message, Some(help));
                None
            }
            _ => {
                let help = Some("write {param: name} or {step: id, out: name}".to_owned());
                self.problems
                    .error("reference", tree.at(), "not a reference", help);
                None
            }
        }
    }
}

struct Scope<'a> {
    params: &'a [Param],
    earlier: &'a Earlier,
}
