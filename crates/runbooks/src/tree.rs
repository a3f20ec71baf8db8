//! A YAML document as a small tree in which every key and value knows its line and column.
//!
//! Strict: one document, no anchors, aliases, merge keys or tags, no key twice. Used for runbooks, drills and the config.

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::problem::{Level, Problem, did_you_mean};

/// A place in the text, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// A scalar.
    Scalar {
        /// Where.
        at: At,
        /// Text.
        text: String,
        /// Whether it was written without quotes (only then `true` and `3` are not text).
        plain: bool,
    },
    /// A sequence.
    List {
        /// Where.
        at: At,
        /// Items.
        items: Vec<Tree>,
    },
    /// A mapping.
    Map {
        /// Where.
        at: At,
        /// Keys with their places, and values.
        entries: Vec<(String, At, Tree)>,
    },
}

/// How deep a document may nest.
const DEEP: usize = 32;

impl Tree {
    /// Where it is.
    #[must_use]
    pub fn at(&self) -> At {
        match self {
            Self::Scalar { at, .. } | Self::List { at, .. } | Self::Map { at, .. } => *at,
        }
    }

    /// As people call it.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "a single value",
            Self::List { .. } => "a list",
            Self::Map { .. } => "a mapping",
        }
    }

    /// Text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map { entries, .. } => entries.iter().find(|(k, ..)| k == key).map(|(.., v)| v),
            _ => None,
        }
    }

    /// Whether it is `null`, `~` or nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar { text, plain: true, .. } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// As JSON: plain scalars by the YAML 1.2 core rules, the rest as text.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Scalar {
                text, plain: true, ..
            } => match text.as_str() {
                "" | "~" | "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                other => other
                    .parse::<i64>()
                    .map(Value::from)
                    .or_else(|_| {
                        other
                            .parse::<f64>()
                            .ok()
                            .filter(|f| f.is_finite())
                            .map(Value::from)
                            .ok_or(())
                    })
                    .unwrap_or_else(|()| Value::String(other.to_owned())),
            },
            Self::Scalar { text, .. } => Value::String(text.clone()),
            Self::List { items, .. } => Value::Array(items.iter().map(Self::json).collect()),
            Self::Map { entries, .. } => {
                Value::Object(entries.iter().map(|(k, _, v)| (k.clone(), v.json())).collect())
            }
        }
    }
}

/// Collects problems of one file.
#[derive(Clone, Debug)]
pub struct Problems {
    file: String,
    /// What was found.
    pub found: Vec<Problem>,
}

impl Problems {
    /// None yet.
    #[must_use]
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            found: Vec::new(),
        }
    }

    /// Adds an error.
    pub fn error(&mut self, rule: &'static str, at: At, message: impl Into<String>, help: Option<String>) {
        self.add(Level::Error, rule, at, message.into(), help);
    }

    /// Adds a warning.
    pub fn warning(&mut self, rule: &'static str, at: At, message: impl Into<String>, help: Option<String>) {
        self.add(Level::Warning, rule, at, message.into(), help);
    }

    fn add(&mut self, level: Level, rule: &'static str, at: At, message: String, help: Option<String>) {
        self.found.push(Problem {
            rule,
            level,
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            message,
            help,
        });
    }

    /// Checks that a value is a mapping with none but these keys; the entries, or none with a problem added.
    pub fn map<'t>(
        &mut self,
        tree: &'t Tree,
        what: &str,
        known: &[&str],
    ) -> Option<&'t [(String, At, Tree)]> {
        let Tree::Map { entries, .. } = tree else {
            self.error(
                "wrong-type",
                tree.at(),
                format!("{what} must be a mapping, not {}", tree.noun()),
                None,
            );
            return None;
        };
        for (key, at, _) in entries {
            if !known.contains(&key.as_str()) {
                let help = did_you_mean(key, known.iter().copied())
                    .unwrap_or_else(|| format!("known keys: {}", known.join(", ")));
                self.error(
                    "unknown-key",
                    *at,
                    format!("unknown key `{key}` in {what}"),
                    Some(help),
                );
            }
        }
        Some(entries)
    }

    /// The text of a scalar, or none with a problem added.
    pub fn text(&mut self, tree: &Tree, what: &str) -> Option<String> {
        match tree {
            Tree::Scalar { text, .. } if !tree.is_null() => Some(text.clone()),
            _ => {
                let noun = if tree.is_null() { "empty" } else { tree.noun() };
                self.error(
                    "wrong-type",
                    tree.at(),
                    format!("{what} must be text, not {noun}"),
                    None,
                );
                None
            }
        }
    }

    /// A list's items, or none with a problem added.
    pub fn list<'t>(&mut self, tree: &'t Tree, what: &str) -> Option<&'t [Tree]> {
        match tree {
            Tree::List { items, .. } => Some(items),
            _ => {
                self.error(
                    "wrong-type",
                    tree.at(),
                    format!("{what} must be a list, not {}", tree.noun()),
                    None,
                );
                None
            }
        }
    }

    /// Text that parses, or none with a problem added.
    pub fn parsed<T: std::str::FromStr>(&mut self, tree: &Tree, what: &str, shape: &str) -> Option<T> {
        let text = self.text(tree, what)?;
        if let Ok(value) = text.parse() {
            return Some(value);
        }
        self.error(
            "wrong-type",
            tree.at(),
            format!("{what} is `{text}`, which is not {shape}"),
            None,
        );
        None
    }

    /// Whether there is an error among them.
    #[must_use]
    pub fn any_error(&self) -> bool {
        self.found.iter().any(|p| p.level == Level::Error)
    }
}

/// Parses a document.
///
/// # Errors
/// The first thing that is not strict YAML.
pub fn parse(file: &str, text: &str) -> Result<Tree, Problem> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        file,
    };
    let tree = reader.document()?;
    Ok(tree)
}

struct Reader<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    file: &'a str,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        // Comments are no data.
        match self.events.find(|e| !matches!(e, Ok((Event::Comment(..), _)))) {
            Some(Ok(event)) => Ok(event),
            Some(Err(e)) => {
                let at = At {
                    line: e.marker().line(),
                    column: e.marker().col() + 1,
                };
                Err(self.problem("yaml", at, format!("not valid YAML: {}", e.info()), None))
            }
            None => Err(self.problem(
                "yaml",
                At { line: 1, column: 1 },
                "the file ends too early".to_owned(),
                None,
            )),
        }
    }

    fn problem(&self, rule: &'static str, at: At, message: String, help: Option<String>) -> Problem {
        Problem {
            rule,
            level: Level::Error,
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            message,
            help,
        }
    }

    fn document(&mut self) -> Result<Tree, Problem> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd | Event::DocumentEnd, span) => {
                    return Err(self.problem("yaml", place(span), "the file is empty".to_owned(), None));
                }
                (event, span) => {
                    let tree = self.value(event, span, 0)?;
                    self.only_one()?;
                    return Ok(tree);
                }
            }
        }
    }

    fn only_one(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, span) => {
                    return Err(self.problem(
                        "yaml",
                        place(span),
                        "only one document a file".to_owned(),
                        None,
                    ));
                }
            }
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Tree, Problem> {
        let at = place(span);
        if depth > DEEP {
            return Err(self.problem("yaml", at, format!("nested deeper than {DEEP} levels"), None));
        }
        let refuse = |me: &Self, what: &str| {
            let help = Some("write the value out; there is no templating here".to_owned());
            Err(me.problem("yaml", at, format!("{what} are not allowed"), help))
        };
        match event {
            Event::Scalar(_, _, anchor, tag) if anchor != 0 || tag.is_some() => {
                refuse(self, "anchors and tags")
            }
            Event::SequenceStart(_, anchor, tag) if anchor != 0 || tag.is_some() => {
                refuse(self, "anchors and tags")
            }
            Event::MappingStart(_, anchor, tag) if anchor != 0 || tag.is_some() => {
                refuse(self, "anchors and tags")
            }
            Event::Scalar(text, style, ..) => {
                let plain = matches!(style, ScalarStyle::Plain);
                Ok(Tree::Scalar {
                    at,
                    text: text.into_owned(),
                    plain,
                })
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => return Ok(Tree::List { at, items }),
                        (event, span) => items.push(self.value(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => self.mapping(at, depth),
            Event::Alias(_) => refuse(self, "aliases"),
            other => Err(self.problem("yaml", at, format!("unexpected {other:?}"), None)),
        }
    }

    fn mapping(&mut self, at: At, depth: usize) -> Result<Tree, Problem> {
        let mut entries: Vec<(String, At, Tree)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Tree::Map { at, entries });
            }
            let key_at = place(span);
            let Tree::Scalar { text: key, .. } = self.value(event, span, depth + 1)? else {
                return Err(self.problem("yaml", key_at, "a key must be a single word".to_owned(), None));
            };
            if key == "<<" {
                return Err(self.problem("yaml", key_at, "merge keys are not allowed".to_owned(), None));
            }
            if entries.iter().any(|(k, ..)| *k == key) {
                return Err(self.problem("yaml", key_at, format!("key `{key}` is there twice"), None));
            }
            let (event, span) = self.next()?;
            let value = self.value(event, span, depth + 1)?;
            entries.push((key, key_at, value));
        }
    }
}

fn place(span: Span) -> At {
    At {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_know_their_places() {
        let tree = parse("f", "a: 1\nb:\n  - x\n  - {c: \"2\"}\n").expect("parses");
        assert_eq!(tree.json(), serde_json::json!({"a": 1, "b": ["x", {"c": "2"}]}));
        let Tree::Map { entries, .. } = &tree else {
            panic!("a map")
        };
        assert_eq!(entries[1].1, At { line: 2, column: 1 });
        assert_eq!(
            tree.get("b").and_then(|b| match b {
                Tree::List { items, .. } => items.get(1).map(Tree::at),
                _ => None,
            }),
            Some(At { line: 4, column: 5 })
        );
    }

    #[test]
    fn what_is_not_strict_is_refused_with_its_place() {
        for (text, line) in [
            ("a: 1\na: 2\n", 2),
            ("a: &x 1\nb: *x\n", 1),
            ("a: !!str 1\n", 1),
            ("x: 1\n<<: {a: 1}\n", 2),
            ("a: 1\n---\nb: 2\n", 2),
            ("a: [1\n", 2),
            ("", 1),
        ] {
            let problem = parse("f", text).expect_err(text);
            assert!(problem.line.abs_diff(line) <= 1, "{text:?}: {problem}");
        }
    }
}
