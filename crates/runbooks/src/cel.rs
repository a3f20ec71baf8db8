//! Conditions: CEL over the declared outputs of a probe. Checked when a file is loaded, evaluated when a plan is made.
//!
//! CEL itself checks nothing, so [`type_of`] walks its tree against the closed type language. Durations and times are
//! whole milliseconds inside CEL; `duration('10s')` writes one.

use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, ExecutionError, Program, Value as Cel};
use muster_model::{Record, Signature, Span, Time, Type};
use serde_json::Value;

/// Why a condition has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the condition `{condition}` cannot be evaluated: {why}")]
pub struct EvalError {
    /// The condition.
    pub condition: String,
    /// Why.
    pub why: String,
}

/// A problem inside a condition: message, help, and the offset in characters where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable name of the lint.
    pub rule: &'static str,
    /// One sentence.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Characters from the beginning of the condition.
    pub offset: usize,
}

/// Evaluates a condition over the outputs of a probe. With a signature, durations and times are read by their type.
///
/// # Errors
/// A missing or wrong value, or a condition that does not yield true or false.
pub fn eval(condition: &str, outputs: &Record, signature: Option<&Signature>) -> Result<bool, EvalError> {
    let fail = |why: String| EvalError {
        condition: condition.to_owned(),
        why,
    };
    let program = Program::compile(condition).map_err(|e| fail(e.to_string()))?;
    let mut context = Context::default();
    context
        .add_function("duration", |text: Arc<String>| {
            text.parse::<Span>()
                .map(|s| i64::try_from(s.millis()).unwrap_or(i64::MAX))
                .map_err(|e| ExecutionError::function_error("duration", e))
        })
        .map_err(|e| fail(e.to_string()))?;
    // A missing or wrong-typed output must not hide behind a short-circuit: everything declared is checked first.
    for field in signature.into_iter().flat_map(|s| &s.outputs) {
        let value = outputs
            .get(&field.name)
            .ok_or_else(|| fail(format!("`{}` was not read", field.name)))?;
        if !fits(value, &field.ty) {
            return Err(fail(format!("`{}` is not {}", field.name, field.ty.name())));
        }
    }
    for (name, value) in outputs {
        let ty = signature.and_then(|s| s.output(name)).map(|f| &f.ty);
        let value = cel_value(value, ty).map_err(|e| fail(format!("`{name}`: {e}")))?;
        context.add_variable_from_value(name.clone(), value);
    }
    match program.execute(&context) {
        Ok(Cel::Bool(b)) => Ok(b),
        Ok(other) => Err(fail(format!("it yields {other:?}, not true or false"))),
        Err(e) => Err(fail(e.to_string())),
    }
}

/// Whether a value has a type; null has none.
fn fits(value: &Value, ty: &Type) -> bool {
    match ty {
        Type::Bool => value.is_boolean(),
        Type::Int | Type::Bytes => value.is_i64() || value.is_u64(),
        Type::Float => value.is_number(),
        Type::Text => value.is_string(),
        Type::Duration => value.as_str().is_some_and(|t| t.parse::<Span>().is_ok()),
        Type::Time => value.as_str().is_some_and(|t| t.parse::<Time>().is_ok()),
        Type::List(of) => value
            .as_array()
            .is_some_and(|items| items.iter().all(|i| fits(i, of))),
        Type::Record(fields) => value.as_object().is_some_and(|map| {
            fields
                .iter()
                .all(|f| map.get(&f.name).is_some_and(|v| fits(v, &f.ty)))
        }),
        Type::Identity(kind) => value.get("type").and_then(Value::as_str) == Some(kind),
    }
}

fn cel_value(value: &Value, ty: Option<&Type>) -> Result<Cel, String> {
    Ok(match (value, ty) {
        (Value::String(text), Some(Type::Duration)) => {
            Cel::Int(i64::try_from(text.parse::<Span>()?.millis()).unwrap_or(i64::MAX))
        }
        (Value::String(text), Some(Type::Time)) => Cel::Int(text.parse::<Time>()?.millis()),
        (Value::Number(n), Some(Type::Float)) => Cel::Float(n.as_f64().ok_or("not a number")?),
        (Value::Array(items), Some(Type::List(of))) => {
            let items: Result<Vec<Cel>, String> = items.iter().map(|i| cel_value(i, Some(of))).collect();
            Cel::List(Arc::new(items?))
        }
        (Value::Object(map), Some(Type::Record(fields))) => {
            let mut out = std::collections::HashMap::new();
            for (key, value) in map {
                let ty = fields.iter().find(|f| f.name == *key).map(|f| &f.ty);
                out.insert(key.clone(), cel_value(value, ty)?);
            }
            Cel::from(out)
        }
        (Value::Null, _) => Cel::Null,
        (Value::Bool(b), _) => Cel::Bool(*b),
        (Value::Number(n), _) => match n.as_i64() {
            Some(i) => Cel::Int(i),
            None => Cel::Float(n.as_f64().ok_or("not a number")?),
        },
        (Value::String(text), _) => Cel::String(Arc::new(text.clone())),
        (Value::Array(items), _) => {
            let items: Result<Vec<Cel>, String> = items.iter().map(|i| cel_value(i, None)).collect();
            Cel::List(Arc::new(items?))
        }
        (Value::Object(map), _) => {
            let mut out = std::collections::HashMap::new();
            for (key, value) in map {
                out.insert(key.clone(), cel_value(value, None)?);
            }
            Cel::from(out)
        }
    })
}

/// Checks a condition against the outputs it may speak of.
///
/// # Errors
/// The first fault.
pub fn lint(condition: &str, signature: &Signature) -> Result<(), Fault> {
    let program = Program::compile(condition).map_err(|e| {
        let offset = e
            .errors
            .first()
            .map_or(0, |p| usize::try_from(p.pos.1).unwrap_or(0));
        let message = e.errors.first().map_or_else(|| e.to_string(), |p| p.msg.clone());
        Fault {
            rule: "condition",
            message: format!("not a condition: {message}"),
            help: None,
            offset,
        }
    })?;
    let mut walk = Walk {
        program: &program,
        signature,
        bound: Vec::new(),
    };
    match walk.type_of(program.expression())? {
        Ty::Known(Type::Bool) | Ty::Any => Ok(()),
        Ty::Known(other) => Err(Fault {
            rule: "condition-type",
            message: format!("the condition yields {}, not true or false", other.name()),
            help: Some("compare it with something, such as `waiting > 0`".to_owned()),
            offset: 0,
        }),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Ty {
    Known(Type),
    Any,
}

struct Walk<'a> {
    program: &'a Program,
    signature: &'a Signature,
    bound: Vec<(String, Ty)>,
}

impl Walk<'_> {
    fn fault<T>(
        &self,
        at: &IdedExpr,
        rule: &'static str,
        message: String,
        help: Option<String>,
    ) -> Result<T, Fault> {
        let offset = self
            .program
            .source_info()
            .offset_for(at.id)
            .map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0));
        Err(Fault {
            rule,
            message,
            help,
            offset,
        })
    }

    fn type_of(&mut self, e: &IdedExpr) -> Result<Ty, Fault> {
        Ok(match &e.expr {
            Expr::Literal(literal) => Ty::Known(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Int,
                LiteralValue::Double(_) => Type::Float,
                LiteralValue::String(_) => Type::Text,
                _ => return Ok(Ty::Any),
            }),
            Expr::Ident(name) => self.ident(e, name)?,
            Expr::Select(select) => self.select(e, &select.operand, &select.field, select.test)?,
            Expr::List(list) => {
                let mut of = Ty::Any;
                for item in &list.elements {
                    of = self.type_of(item)?;
                }
                match of {
                    Ty::Known(of) => Ty::Known(Type::list(of)),
                    Ty::Any => Ty::Any,
                }
            }
            Expr::Call(call) => self.call(e, &call.func_name, call.target.as_deref(), &call.args)?,
            Expr::Comprehension(c) => {
                let of = match self.type_of(&c.iter_range)? {
                    Ty::Known(Type::List(of)) => Ty::Known(*of),
                    Ty::Any => Ty::Any,
                    Ty::Known(other) => {
                        let message = format!("`{}` is not a list", other.name());
                        return self.fault(&c.iter_range, "condition-type", message, None);
                    }
                };
                self.bound.push((c.iter_var.clone(), of));
                let accu = self.type_of(&c.accu_init)?;
                self.bound.push((
                    c.accu_var.clone(),
                    if matches!(c.accu_init.expr, Expr::List(_)) {
                        Ty::Any
                    } else {
                        accu
                    },
                ));
                self.type_of(&c.loop_cond)?;
                self.type_of(&c.loop_step)?;
                let result = self.type_of(&c.result);
                self.bound.truncate(self.bound.len() - 2);
                result?
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                return self.fault(
                    e,
                    "condition",
                    "only comparisons of outputs are allowed here".to_owned(),
                    None,
                );
            }
        })
    }

    fn ident(&self, e: &IdedExpr, name: &str) -> Result<Ty, Fault> {
        if let Some((_, ty)) = self.bound.iter().rev().find(|(n, _)| n == name) {
            return Ok(ty.clone());
        }
        if let Some(field) = self.signature.output(name) {
            return Ok(Ty::Known(field.ty.clone()));
        }
        let names: Vec<&str> = self.signature.outputs.iter().map(|f| f.name.as_str()).collect();
        let help = crate::problem::did_you_mean(name, names.iter().copied())
            .unwrap_or_else(|| format!("its outputs are: {}", names.join(", ")));
        self.fault(
            e,
            "unknown-output",
            format!("`{}` has no output `{name}`", self.signature.name),
            Some(help),
        )
    }

    fn select(&mut self, e: &IdedExpr, operand: &IdedExpr, field: &str, test: bool) -> Result<Ty, Fault> {
        match self.type_of(operand)? {
            Ty::Known(Type::Record(fields)) => match fields.iter().find(|f| f.name == field) {
                Some(_) if test => Ok(Ty::Known(Type::Bool)),
                Some(f) => Ok(Ty::Known(f.ty.clone())),
                None => {
                    let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
                    self.fault(
                        e,
                        "unknown-output",
                        format!("no field `{field}`"),
                        Some(format!("there are: {}", names.join(", "))),
                    )
                }
            },
            Ty::Known(Type::Identity(_)) if matches!(field, "label" | "fingerprint" | "type") => {
                Ok(Ty::Known(Type::Text))
            }
            Ty::Any => Ok(Ty::Any),
            Ty::Known(other) => self.fault(
                e,
                "condition-type",
                format!("{} has no fields", other.name()),
                None,
            ),
        }
    }

    fn call(
        &mut self,
        e: &IdedExpr,
        name: &str,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
    ) -> Result<Ty, Fault> {
        let mut types = Vec::new();
        for arg in target.into_iter().chain(args) {
            types.push(self.type_of(arg)?);
        }
        let known = |t: Type| Ok(Ty::Known(t));
        match name {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
                for t in &types {
                    if !matches!(t, Ty::Known(Type::Bool) | Ty::Any) {
                        return self.fault(e, "condition-type", format!("{} is not true or false", ty_name(t)), None);
                    }
                }
                known(Type::Bool)
            }
            operators::NOT_STRICTLY_FALSE => known(Type::Bool),
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS => {
                self.comparable(e, &types)?;
                known(Type::Bool)
            }
            operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => {
                self.comparable(e, &types)?;
                Ok(types.into_iter().next().unwrap_or(Ty::Any))
            }
            operators::NEGATE => Ok(types.into_iter().next().unwrap_or(Ty::Any)),
            operators::CONDITIONAL => Ok(types.into_iter().nth(1).unwrap_or(Ty::Any)),
            operators::INDEX => match types.first() {
                Some(Ty::Known(Type::List(of))) => Ok(Ty::Known((**of).clone())),
                _ => Ok(Ty::Any),
            },
            operators::IN => known(Type::Bool),
            "size" => match types.first() {
                Some(Ty::Known(Type::List(_) | Type::Text) | Ty::Any) => known(Type::Int),
                other => {
                    let name = other.map_or_else(|| "nothing".to_owned(), ty_name);
                    self.fault(e, "condition-type", format!("size() needs a list or text, not {name}"), None)
                }
            },
            "duration" => match args.first().map(|a| &a.expr) {
                Some(Expr::Literal(LiteralValue::String(text))) if text.parse::<Span>().is_ok() => known(Type::Duration),
                _ => self.fault(e, "condition-type", "duration() needs a text such as '10s'".to_owned(), None),
            },
            "contains" | "startsWith" | "endsWith" | "matches" => known(Type::Bool),
            "max" | "min" => Ok(types.into_iter().next().unwrap_or(Ty::Any)),
            other => self.fault(
                e,
                "condition",
                format!("the function `{other}` is not known here"),
                Some("known: size, duration, contains, startsWith, endsWith, matches, min, max, exists, all, filter".to_owned()),
            ),
        }
    }

    fn comparable(&self, e: &IdedExpr, types: &[Ty]) -> Result<(), Fault> {
        let [Ty::Known(a), Ty::Known(b)] = types else {
            return Ok(());
        };
        let number = |t: &Type| matches!(t, Type::Int | Type::Float | Type::Bytes);
        if a == b && matches!(a, Type::Record(_) | Type::Identity(_)) {
            return self.fault(
                e,
                "condition-type",
                format!("{} cannot be compared", a.name()),
                None,
            );
        }
        if a == b || (number(a) && number(b)) {
            return Ok(());
        }
        let help = if *a == Type::Duration || *b == Type::Duration {
            Some("write a duration as duration('10s')".to_owned())
        } else {
            None
        };
        self.fault(
            e,
            "condition-type",
            format!("{} cannot be compared with {}", a.name(), b.name()),
            help,
        )
    }
}

fn ty_name(ty: &Ty) -> String {
    match ty {
        Ty::Known(t) => t.name(),
        Ty::Any => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use muster_model::{Field, Kind, Risk};

    use super::*;

    fn signature() -> Signature {
        Signature {
            name: "pool@1".into(),
            kind: Kind::Probe,
            risk: Risk::Read,
            about: String::new(),
            params: vec![],
            outputs: vec![
                Field::new("waiting", Type::Int, ""),
                Field::new("maxwait", Type::Duration, ""),
                Field::new("share", Type::Float, ""),
                Field::new("verdict", Type::Text, ""),
                Field::new("sessions", Type::identities("session"), ""),
                Field::new(
                    "pools",
                    Type::list(Type::Record(vec![Field::new("size", Type::Int, "")])),
                    "",
                ),
            ],
            target: None,
            undo: None,
        }
    }

    fn outputs() -> Record {
        serde_json::from_str(
            r#"{"waiting":7,"maxwait":"6s","share":80,"verdict":"connections.leak","sessions":[{"type":"session"}],"pools":[{"size":4}]}"#,
        )
        .expect("record")
    }

    #[test]
    fn conditions_are_evaluated_by_type() {
        for (condition, expected) in [
            ("waiting > 0", true),
            ("maxwait >= duration('5s')", true),
            ("maxwait >= duration('7s')", false),
            ("size(sessions) == 1 && verdict == 'connections.leak'", true),
            ("share >= 80.0", true),
            ("pools.exists(p, p.size > 3)", true),
            ("pools.all(p, p.size > 4)", false),
        ] {
            assert_eq!(lint(condition, &signature()), Ok(()), "{condition}");
            assert_eq!(
                eval(condition, &outputs(), Some(&signature())),
                Ok(expected),
                "{condition}"
            );
        }
    }

    #[test]
    fn faults_name_the_place() {
        for (condition, rule, offset) in [
            ("waitin > 0", "unknown-output", 0),
            ("waiting > 0 && siz > 1", "unknown-output", 15),
            ("maxwait > 5", "condition-type", 8),
            ("waiting", "condition-type", 0),
            ("size(waiting) > 1", "condition-type", 4),
            ("pools.exists(p, p.sise > 3)", "unknown-output", 17),
            ("now() > 1", "condition", 3),
        ] {
            let fault = lint(condition, &signature()).expect_err(condition);
            assert_eq!(
                (fault.rule, fault.offset),
                (rule, offset),
                "{condition}: {fault:?}"
            );
        }
        assert_eq!(
            lint("waiting >", &signature()).expect_err("syntax").rule,
            "condition"
        );
        assert_eq!(
            lint("waitin > 0", &signature()).expect_err("x").help,
            Some("did you mean `waiting`?".into())
        );
    }

    #[test]
    fn a_missing_value_is_an_error_and_never_false() {
        assert!(eval("waiting > 0", &Record::new(), Some(&signature())).is_err());
        assert!(eval("waiting", &outputs(), Some(&signature())).is_err());
        for (name, wrong) in [
            ("waiting", "null"),
            ("waiting", "\"0\""),
            ("verdict", "null"),
            ("sessions", "[{}]"),
        ] {
            let mut spoiled = outputs();
            spoiled.insert(name.into(), serde_json::from_str(wrong).expect("json"));
            let short_circuit = "true || waiting > 0";
            assert!(
                eval(short_circuit, &spoiled, Some(&signature())).is_err(),
                "{name} = {wrong}"
            );
        }
    }
}
