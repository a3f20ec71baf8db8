//! The id of a statement's text: the same on every server and after every upgrade, unlike the server's own `queryid`.
//!
//! Knows one normal form and its version. Takes texts whose literals are out already, and so never sees one. Refuses to
//! parse: two spellings that only a parser knows to be the same stay two, and lists of values of any length are one.

use std::collections::BTreeSet;

use crate::digest::digest_of_bytes;

/// Version of the normal form; a change of the form is a new version, and ids of two versions are never compared.
pub const VERSION: &str = "q1";
/// Hexadecimal digits of the digest that an id carries.
const DIGITS: usize = 16;
/// After these a sign belongs to the number that follows.
const BEFORE_SIGN: [&str; 18] = [
    "select",
    "where",
    "and",
    "or",
    "not",
    "in",
    "then",
    "else",
    "when",
    "limit",
    "offset",
    "between",
    "return",
    "returning",
    "by",
    "case",
    "like",
    "set",
];

/// The id of a text without literals (`?` stands for each, or `$1`).
#[must_use]
pub fn of(text: &str) -> String {
    let digest = digest_of_bytes(normal_form(text).as_bytes());
    format!("{VERSION}:{}", &digest[..DIGITS])
}

/// The normal form: words in lower case, one space between all tokens, parameters as `?`, lists of them as one.
#[must_use]
pub fn normal_form(text: &str) -> String {
    let mut tokens = tokens(text);
    while tokens.last().is_some_and(|t| t == ";") {
        tokens.pop();
    }
    rows(&lists(tokens)).join(" ")
}

/// Whether a text names something, by itself or after its schema.
#[must_use]
pub fn names(text: &str, what: &str) -> bool {
    words(text).name(what)
}

/// The words of a text, taken apart once for many questions.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeSet<String>);

/// Takes a text apart.
#[must_use]
pub fn words(text: &str) -> Words {
    Words(tokens(text).into_iter().collect())
}

impl Words {
    /// Whether they name something, as [`names`] does.
    #[must_use]
    pub fn name(&self, what: &str) -> bool {
        self.0.contains(what) || self.0.contains(&format!("\"{}\"", what.replace('"', "\"\"")))
    }
}

fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<String> = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        let from = i;
        if c.is_whitespace() {
            i += 1;
        } else if c == '"' {
            i = end_of_quoted(&chars, i);
            out.push(unquoted(&chars[from..i]));
        } else if c == '?' || (c == '$' && chars.get(i + 1).is_some_and(char::is_ascii_digit)) {
            i += 1;
            while c == '$' && chars.get(i).is_some_and(char::is_ascii_digit) {
                i += 1;
            }
            drop_sign(&mut out);
            out.push("?".to_owned());
        } else if in_word(c) {
            while i < chars.len() && in_word(chars[i]) {
                i += 1;
            }
            let word: String = chars[from..i].iter().map(char::to_ascii_lowercase).collect();
            // What is left of E'…', B'…', X'…', N'…' and U&'…'.
            if matches!(word.as_str(), "e" | "b" | "x" | "n") && chars.get(i) == Some(&'?') {
                continue;
            }
            if word == "u" && chars[i..].starts_with(&['&', '?']) {
                i += 1;
                continue;
            }
            out.push(word);
        } else if in_operator(c) {
            while i < chars.len() && in_operator(chars[i]) {
                i += 1;
            }
            // As the server reads it: such an operator does not end in a sign, the sign is the number's.
            let plain = chars[from..i].iter().all(|c| "+-*/<>=".contains(*c));
            while plain && i - from > 1 && matches!(chars[i - 1], '+' | '-') {
                i -= 1;
            }
            out.push(chars[from..i].iter().collect());
        } else {
            i += 1;
            out.push(c.to_string());
        }
    }
    out
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn in_operator(c: char) -> bool {
    "+-*/<>=~!@#%^&|`".contains(c)
}

fn end_of_quoted(chars: &[char], from: usize) -> usize {
    let mut i = from + 1;
    while i < chars.len() {
        if chars[i] == '"' {
            if chars.get(i + 1) != Some(&'"') {
                return i + 1;
            }
            i += 1;
        }
        i += 1;
    }
    chars.len()
}

/// A quoted name that needs no quotes is the name.
fn unquoted(quoted: &[char]) -> String {
    let whole: String = quoted.iter().collect();
    let inner = whole.strip_prefix('"').and_then(|w| w.strip_suffix('"'));
    let plain = |n: &&str| {
        n.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && n.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    inner.filter(plain).map_or(whole.clone(), str::to_owned)
}

/// A sign before a parameter is a part of it, as the server has it.
fn drop_sign(out: &mut Vec<String>) {
    while let Some(sign) = out.last()
        && (sign == "-" || sign == "+")
    {
        let before = out.len().checked_sub(2).map(|i| out[i].as_str());
        let signs = before.is_none_or(|b| {
            matches!(b, "(" | "," | "[") || b.starts_with(in_operator) || BEFORE_SIGN.contains(&b)
        });
        if !signs {
            return;
        }
        out.pop();
    }
}

/// `( ? , ? , ? )` is `( ? )`, in brackets too.
fn lists(tokens: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if token == ")" || token == "]" {
            let open = if token == ")" { "(" } else { "[" };
            let list = out
                .iter()
                .rposition(|t| t != "?" && t != ",")
                .filter(|at| out[*at] == open && out[at + 1..].iter().any(|t| t == "?"));
            if let Some(at) = list {
                out.truncate(at + 1);
                out.push("?".to_owned());
            }
        }
        out.push(token);
    }
    out
}

/// `values ( ? ) , ( ? )` is `values ( ? )`.
fn rows(tokens: &[String]) -> Vec<String> {
    const ROW: [&str; 3] = ["(", "?", ")"];
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    let mut i = 0;
    let is_row = |at: usize| {
        tokens
            .get(at..at + 3)
            .is_some_and(|t| t.iter().zip(ROW).all(|(a, b)| a == b))
    };
    while i < tokens.len() {
        let first = is_row(i) && i > 0 && tokens[i - 1] == "values";
        if !first {
            out.push(tokens[i].clone());
            i += 1;
            continue;
        }
        out.extend(ROW.map(str::to_owned));
        i += 3;
        while tokens.get(i).is_some_and(|t| t == ",") && is_row(i + 1) {
            i += 4;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_means_the_same_has_one_id() {
        for (a, b) in [
            (
                "SELECT *\n FROM notes WHERE id=?",
                "select * from notes where id = $1",
            ),
            ("select ? where a in (?, ?,?)", "select ? where a in ($1)"),
            (
                "insert into t (a,b) values (?,?), (?, ?),(?,?);",
                "insert into t (a, b) values ($1, $2)",
            ),
            ("select a from t where b > - ?", "select a from t where b >-?"),
            ("select a from t where b = -?", "select a from t where b = $1"),
            ("select E?, U&?, B?", "select $1, $2, $3"),
            (
                "select \"notes\".\"id\" from \"notes\"",
                "select notes.id from notes",
            ),
            (
                "select * from t where x = any (array[?, ?])",
                "select * from t where x = any(array[$1])",
            ),
        ] {
            assert_eq!(normal_form(a), normal_form(b), "{a}");
        }
    }

    #[test]
    fn what_is_another_statement_has_another_id() {
        for (a, b) in [
            ("select a from t", "select a from u"),
            ("select a - ? from t", "select a ? from t"),
            ("select \"A\" from t", "select a from t"),
            ("select a from t where b > ?", "select a from t where b >= ?"),
            ("insert into t values (?, default)", "insert into t values (?)"),
        ] {
            assert_ne!(of(a), of(b), "{a}");
        }
    }

    #[test]
    fn an_id_says_the_version_of_its_form_and_never_changes() {
        // Pinned: what is stored elsewhere under it would be lost.
        assert_eq!(of("SELECT 1 FROM notes WHERE id = $1"), "q1:635d73907c7f1f4e");
    }

    #[test]
    fn a_name_is_found_as_a_word_only() {
        let text = "select * from public.orders o join \"Items\" i on o.id = i.order_id";
        assert!(names(text, "orders") && names(text, "Items"));
        assert!(!names(text, "order") && !names(text, "items"));
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(text in "[a-zA-Z0-9_?$(),;:'\"<>=+\\-*/ \\[\\]\u{e9}&|!.]{0,80}") {
            let once = normal_form(&text);
            prop_assert_eq!(normal_form(&once), once);
        }

        #[test]
        fn spaces_case_and_the_length_of_a_list_do_not_matter(
            table in "[a-z]{1,8}", many in 1usize..20, gap in "[ \n\t]{1,4}", upper: bool
        ) {
            let list = vec!["?"; many].join(",");
            let written = format!("select{gap}a from{gap}{table} where b in ({list}){gap}");
            let written = if upper { written.to_uppercase() } else { written };
            prop_assert_eq!(of(&written), of(&format!("select a from {table} where b in ($1)")));
        }
    }
}
