//! The words of a text without literals: what it calls, which operators and names it uses. No parser: what is found may be too
//! much, never too little.

use std::collections::BTreeSet;

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name or keyword; a quoted one without its quotes.
    Word {
        /// In lower case unless it was quoted.
        text: String,
        /// Whether it was quoted, and so is no keyword.
        quoted: bool,
    },
    /// An operator.
    Operator(String),
    /// Anything else, one character.
    Sign(char),
}

/// The pieces of a text.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let from = i;
        let c = chars[i];
        if c.is_whitespace() {
            i += 1;
        } else if c == '"' {
            let mut name = String::new();
            i += 1;
            while i < chars.len() && (chars[i] != '"' || chars.get(i + 1) == Some(&'"')) {
                if chars[i] == '"' {
                    i += 1;
                }
                name.push(chars[i]);
                i += 1;
            }
            i += 1;
            out.push(Token::Word {
                text: name,
                quoted: true,
            });
        } else if c.is_alphanumeric() || c == '_' || c == '$' {
            while i < chars.len() && (chars[i].is_alphanumeric() || chars[i] == '_' || chars[i] == '$') {
                i += 1;
            }
            let word: String = chars[from..i].iter().flat_map(|c| c.to_lowercase()).collect();
            out.push(Token::Word {
                text: word,
                quoted: false,
            });
        } else if is_operator(c) {
            while i < chars.len() && is_operator(chars[i]) {
                i += 1;
            }
            out.push(Token::Operator(chars[from..i].iter().collect()));
        } else {
            out.push(Token::Sign(c));
            i += 1;
        }
    }
    out
}

fn is_operator(c: char) -> bool {
    "+-*/<>=~!@#%^&|`?".contains(c)
}

/// What a text calls, its operators, and all its words.
#[must_use]
pub fn names(text: &str) -> (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>) {
    let tokens = tokens(text);
    let (mut calls, mut operators, mut words) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Word { text, .. } => {
                if tokens.get(i + 1) == Some(&Token::Sign('(')) {
                    calls.insert(text.clone());
                }
                words.insert(text.clone());
            }
            Token::Operator(o) => {
                operators.insert(o.trim_matches('?').to_owned());
                operators.insert(o.clone());
            }
            Token::Sign(_) => {}
        }
    }
    (calls, operators, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_found_however_it_is_written() {
        let (calls, operators, words) =
            names("SELECT App.\"Do it\"(a), nextval (?) FROM \"T 1\" WHERE b #> ? AND lower(x)=$1");
        let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
        assert_eq!(calls, ["Do it", "lower", "nextval"]);
        assert!(operators.contains("#>") && operators.contains("="));
        assert!(words.contains("T 1") && words.contains("app"));
    }
}
