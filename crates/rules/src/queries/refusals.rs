//! May a statement be carried out only to be measured? One SELECT, VALUES or TABLE that locks and writes nothing and calls
//! nothing that could have an effect.
//!
//! Judges the text without its literals, the plan, and what the server says of the functions. A read-only transaction does not
//! protect: functions that signal, reset or call out work in one. Refuses when in doubt.

use super::tree::Node;
use super::words::{Token, tokens};

/// Functions that are not volatile by their label and run SQL that they are given as text.
const RUN_TEXT: [&str; 10] = [
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstabn",
    "connectby",
    "xpath_table",
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
];

/// Why not, as a sentence, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

fn refusal(why: impl Into<String>, remedy: &str) -> Refusal {
    Refusal {
        why: why.into(),
        remedy: remedy.to_owned(),
    }
}

const PLAIN: &str = "leave out `--analyze`: a plain EXPLAIN carries nothing out";

/// By the text alone. `text` is without literals and comments.
#[must_use]
pub fn of_text(text: &str) -> Option<Refusal> {
    if let Some(r) = of_number(text) {
        return Some(r);
    }
    let tokens = tokens(text);
    let first = tokens.iter().find_map(|t| match t {
        Token::Word {
            text, quoted: false, ..
        } => Some(text.as_str()),
        _ => None,
    });
    match first {
        Some("select" | "values" | "table" | "with") => {}
        other => {
            let word = other.unwrap_or_default().to_uppercase();
            let why = format!(
                "only a SELECT, VALUES or TABLE is carried out, and this begins with {word}; nothing was sent"
            );
            return Some(refusal(why, PLAIN));
        }
    }
    let has = |word: &str| {
        tokens
            .iter()
            .any(|t| matches!(t, Token::Word { text, quoted: false } if text == word))
    };
    if has("into") {
        return Some(refusal(
            "it has INTO, which makes a table; nothing was sent",
            "measure it without INTO",
        ));
    }
    let call = tokens.windows(2).find_map(|pair| match pair {
        [Token::Word { text, .. }, Token::Sign('(')] if RUN_TEXT.contains(&text.as_str()) => Some(text),
        _ => None,
    });
    call.map(|name| {
        let why = format!("it calls {name}, which runs SQL that it is given as a text; nothing was sent");
        refusal(why, PLAIN)
    })
}

/// More than one statement, or none: refused for a plain EXPLAIN too.
#[must_use]
pub fn of_number(text: &str) -> Option<Refusal> {
    let tokens = tokens(text);
    if tokens.is_empty() {
        return Some(refusal(
            "there is no statement; nothing was sent",
            "give one with `--sql` or `--file`",
        ));
    }
    let end = tokens.iter().position(|t| *t == Token::Sign(';'));
    let more = end.is_some_and(|at| tokens[at..].iter().any(|t| *t != Token::Sign(';')));
    more.then(|| {
        refusal(
            "these are several statements, and only one is looked at; nothing was sent",
            "give them one by one",
        )
    })
}

/// By the plan.
#[must_use]
pub fn of_plan(root: &Node) -> Option<Refusal> {
    let mut found = None;
    root.each(&mut |n| {
        let why = match n.kind.as_str() {
            "ModifyTable" => "it changes rows",
            "LockRows" => "it locks rows (FOR UPDATE or FOR SHARE)",
            "Foreign Scan" => "it reads a foreign table, and what the other server does is not known here",
            _ => return,
        };
        found.get_or_insert_with(|| refusal(format!("{why}; it was planned and not carried out"), PLAIN));
    });
    found
}

/// By what the server says of the functions, operators and types in it: `(what, name)`.
#[must_use]
pub fn of_doubts(doubts: &[(String, String)]) -> Option<Refusal> {
    if doubts.is_empty() {
        return None;
    }
    let list: Vec<String> = doubts
        .iter()
        .map(|(what, name)| format!("{what} {name}"))
        .collect();
    let why = format!(
        "it uses what the server calls volatile: {}; such a thing may have an effect, so it was planned and not carried out",
        list.join(", ")
    );
    Some(refusal(why, PLAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_statement_that_reads_passes() {
        for good in [
            "SELECT a FROM t WHERE b = ?",
            "( select ? ) union all (select ?);",
            "WITH x AS (SELECT ?) TABLE x",
            "VALUES (?)",
            "select \"into\" from t",
        ] {
            assert_eq!(of_text(good), None, "{good}");
        }
        for (bad, word) in [
            ("", "no statement"),
            (" ; ", "begins with"),
            ("DELETE FROM t", "DELETE"),
            ("select ?; delete from t", "several"),
            ("SELECT a INTO b FROM t", "INTO"),
            ("EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN"),
            ("EXECUTE muster_trial", "EXECUTE"),
            ("select * from crosstab(?)", "crosstab"),
            ("CREATE TABLE a AS SELECT ?", "CREATE"),
        ] {
            let why = of_text(bad).map(|r| r.why).unwrap_or_default();
            assert!(why.contains(word), "{bad}: {why}");
        }
    }

    #[test]
    fn a_plan_that_writes_or_locks_is_refused() {
        let node = |kind: &str| Node {
            kind: "Limit".into(),
            children: vec![Node {
                kind: kind.into(),
                ..Node::default()
            }],
            ..Node::default()
        };
        assert!(of_plan(&node("ModifyTable")).is_some_and(|r| r.why.contains("changes rows")));
        assert!(of_plan(&node("LockRows")).is_some_and(|r| r.why.contains("locks rows")));
        assert_eq!(of_plan(&node("Seq Scan")), None);
        let doubts = [("function".to_owned(), "nextval".to_owned())];
        assert!(of_doubts(&doubts).is_some_and(|r| r.why.contains("function nextval")));
        assert_eq!(of_doubts(&[]), None);
    }
}
